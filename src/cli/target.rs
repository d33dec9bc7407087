//! The target flags, and the one table that maps each to its link.

use std::io;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use covtap_gdb_remote::{self as gdb_remote, GdbRemote};
use covtap_link::{Link, LinkError};
use covtap_qemu::{self as qemu, QemuLink};

use super::status::Status;
use super::tap::{Connect, Target};
use super::units;
use crate::collect::{CollectError, MeteredLink, PhysicalLink};

/// Where the target is, and how to reach it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(super) struct TargetArgs {
    #[command(flatten)]
    kind: TargetKind,
    /// How long to wait for a connection
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::parse_duration)]
    connect_timeout: Duration,
    /// How long to wait for an answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = units::parse_duration)]
    reply_timeout: Duration,
    /// With --qemu: which addresses the ELF has: physical, virtual or virtual:CPU; auto asks the CPU once
    #[arg(long, value_name = "SPACE", default_value = "auto", requires = "qemu")]
    qemu_address: qemu::AddressSpace,
    /// With --qemu: how memory is read: process, shared-file or monitor; auto takes the first that works
    #[arg(long, value_name = "METHOD", default_value = "auto", requires = "qemu")]
    qemu_method: qemu::MethodChoice,
    /// With --qemu: search the guest's memory for the ELFs, and read it past all page tables; an ELF with a slide is not
    /// searched for: its physical addresses are so far from its own
    #[arg(long, requires = "qemu", conflicts_with = "qemu_address")]
    find_image: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TargetKind {
    /// A GDB remote server: HOST:PORT, unix:PATH, serial:/dev/ttyX:BAUD or exec:COMMAND
    #[arg(long, value_name = "ADDR")]
    gdb: Option<gdb_remote::Endpoint>,
    /// A QEMU monitor that speaks QMP: a Unix socket's path or HOST:PORT; the guest is never stopped
    #[arg(long, value_name = "QMP")]
    qemu: Option<qemu::QmpEndpoint>,
}

/// A way to open one kind of target: `None` if the flag of its kind was not given.
type Open = fn(&TargetArgs) -> Option<Result<OpenLink, LinkError>>;

/// Every kind of target. A new link is one more line.
const KINDS: &[Open] = &[open_gdb_remote, open_qemu];

/// An open link, and why it is not the best there could be.
pub(super) struct OpenLink {
    /// The link.
    pub(super) link: Box<dyn Link>,
    /// Why memory is not read in the fastest way, if it is not.
    pub(super) fallback: Option<String>,
}

impl TargetArgs {
    /// Connects to the target.
    fn connect(&self) -> Result<OpenLink, LinkError> {
        let opened = KINDS.iter().find_map(|open| open(self));
        // Clap has made sure that there is one.
        opened.unwrap_or_else(|| {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "choose --gdb or --qemu");
            Err(LinkError::Connect { endpoint: "a target".to_owned(), source })
        })
    }

    /// Connects once more.
    fn connect_again(&self) -> Result<MeteredLink, CollectError> {
        let link = self.connect()?.link;
        Ok(MeteredLink::new(if self.find_image { Box::new(PhysicalLink::new(link)?) } else { link }))
    }
}

impl Target for TargetArgs {
    fn open(&mut self, _: &Status) -> Result<OpenLink> {
        Ok(self.connect()?)
    }

    fn finds_images(&self) -> bool {
        self.find_image
    }

    fn again(&self) -> Option<Connect<'_>> {
        Some(Box::new(|| self.connect_again()))
    }
}

fn open_gdb_remote(args: &TargetArgs) -> Option<Result<OpenLink, LinkError>> {
    let endpoint = args.kind.gdb.as_ref()?;
    let mut options = gdb_remote::Options::default();
    options.connect_timeout = args.connect_timeout;
    options.reply_timeout = args.reply_timeout;
    let opened = GdbRemote::connect(endpoint, &options);
    Some(opened.map(|link| OpenLink { link: Box::new(link), fallback: None }))
}

fn open_qemu(args: &TargetArgs) -> Option<Result<OpenLink, LinkError>> {
    let endpoint = args.kind.qemu.as_ref()?;
    let mut options = qemu::Options::default();
    options.connect_timeout = args.connect_timeout;
    options.reply_timeout = args.reply_timeout;
    options.address_space = args.qemu_address;
    options.method = args.qemu_method;
    Some(QemuLink::connect(endpoint, &options).map(OpenLink::from))
}

impl From<QemuLink> for OpenLink {
    fn from(link: QemuLink) -> Self {
        let fallback = link.fallback_reason().map(str::to_owned);
        Self { link: Box::new(link), fallback }
    }
}
