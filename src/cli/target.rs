//! The target flags, and the one table that maps each to its link.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
#[cfg(feature = "probe")]
use covtap_debug_probe::Swo;
use covtap_gdb_remote::{self as gdb_remote, GdbRemote};
use covtap_link::{Link, LinkError};
use covtap_memory_image::{MemoryImage, RawFile};
use covtap_process::ProcessLink;
use covtap_qemu::{self as qemu, QemuLink};

#[cfg(feature = "probe")]
use super::probe::{ProbeArg, ProbeArgs};
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
    /// With --qemu, or a dump that has physical addresses: search the memory for the ELFs, and read it past all page
    /// tables; an ELF with a slide is not searched for: its physical addresses are so far from its own
    #[arg(long, conflicts_with_all = ["qemu_address", "gdb", "pid"])]
    find_image: bool,
    #[cfg(feature = "probe")]
    #[command(flatten)]
    probe: ProbeArgs,
}

/// A chip's name goes with a probe, and may stand for the only one there is; else there is one kind.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct TargetKind {
    /// A GDB remote server: HOST:PORT, unix:PATH, serial:/dev/ttyX:BAUD or exec:COMMAND
    #[arg(long, value_name = "ADDR", group = "server")]
    gdb: Option<gdb_remote::Endpoint>,
    /// A QEMU monitor that speaks QMP: a Unix socket's path or HOST:PORT; the guest is not stopped to be read
    #[arg(long, value_name = "QMP", group = "server")]
    qemu: Option<qemu::QmpEndpoint>,
    /// A process of this host; programs and libraries are found where it has them, and it is never stopped
    #[arg(long, value_name = "PID", group = "server")]
    pid: Option<i32>,
    /// A dump: a file that has memory from an address on, as QEMU's pmemsave writes it; may be repeated
    #[arg(long, value_name = "FILE@ADDR", group = "server")]
    memory: Vec<RawFile>,
    /// A dump: an ELF core of a process, or of QEMU's dump-guest-memory
    #[arg(long, value_name = "FILE", group = "server")]
    core: Option<PathBuf>,
    /// A debug probe: VID:PID[-INTERFACE][:SERIAL], as `covtap probes` lists them, or auto for the only one there is; the
    /// processor is not halted, unless there is no other way and --allow-halt allows it
    #[cfg(feature = "probe")]
    #[arg(long, value_name = "PROBE", conflicts_with = "server")]
    probe: Option<ProbeArg>,
    /// The chip behind a debug probe, by probe-rs's name of it: it tells which access port leads to the memory, and how the
    /// debug port is woken
    #[cfg(feature = "probe")]
    #[arg(long, value_name = "CHIP", conflicts_with = "server")]
    chip: Option<String>,
}

/// A way to open one kind of target: `None` if the flag of its kind was not given.
type Open = fn(&TargetArgs) -> Option<Result<OpenLink>>;

/// Every kind of target. A new link is one more line.
const KINDS: &[Open] = &[
    open_gdb_remote,
    open_qemu,
    open_process,
    open_memory,
    open_core,
    #[cfg(feature = "probe")]
    open_probe,
];

/// An open link, and why it is not the best there could be.
pub(super) struct OpenLink {
    /// The link.
    pub(super) link: Box<dyn Link>,
    /// Why memory is not read in the fastest way, if it is not.
    pub(super) fallback: Option<String>,
    /// What else is to be known of the target.
    pub(super) notes: Vec<String>,
}

impl OpenLink {
    /// A link of which nothing more is to be said.
    fn new(link: impl Link + 'static) -> Self {
        Self { link: Box::new(link), fallback: None, notes: Vec::new() }
    }
}

impl TargetArgs {
    /// Connects to the target.
    fn connect(&self) -> Result<OpenLink> {
        let opened = KINDS.iter().find_map(|open| open(self));
        opened.unwrap_or_else(|| anyhow::bail!("choose a target, with --gdb say"))
    }

    /// Connects once more.
    fn connect_again(&self) -> Result<MeteredLink, CollectError> {
        let link = self.connect().map_err(as_link_error)?.link;
        Ok(MeteredLink::new(if self.find_image { Box::new(PhysicalLink::new(link)?) } else { link }))
    }

    /// Has the processor behind a debug probe send where it is, or not.
    #[cfg(feature = "probe")]
    pub(super) fn receive(&mut self, swo: Option<Swo>) {
        self.probe.receive(swo);
    }

    /// Whether it is a dump, which does not change.
    pub(super) fn is_dump(&self) -> bool {
        self.kind.core.is_some() || !self.kind.memory.is_empty()
    }
}

impl TargetKind {
    #[cfg(feature = "probe")]
    fn is_probe(&self) -> bool {
        self.probe.is_some() || self.chip.is_some()
    }

    #[cfg(not(feature = "probe"))]
    fn is_probe(&self) -> bool {
        false
    }
}

impl Target for TargetArgs {
    fn open(&mut self, _: &Status) -> Result<OpenLink> {
        self.connect()
    }

    fn finds_images(&self) -> bool {
        self.find_image
    }

    fn may_tell_mapped_files(&self) -> bool {
        self.kind.pid.is_some() || self.kind.core.is_some()
    }

    /// A process that is gone does not come back, and a dump does not go.
    fn again(&self) -> Option<Connect<'_>> {
        let is_served = self.kind.gdb.is_some() || self.kind.qemu.is_some() || self.kind.is_probe();
        is_served.then(|| Box::new(|| self.connect_again()) as Connect<'_>)
    }
}

/// What kept a link from being made, as the session knows it.
fn as_link_error(error: anyhow::Error) -> LinkError {
    error.downcast().unwrap_or_else(|other| LinkError::Connect {
        endpoint: "the target".to_owned(),
        source: io::Error::other(format!("{other:#}")),
    })
}

fn open_gdb_remote(args: &TargetArgs) -> Option<Result<OpenLink>> {
    let endpoint = args.kind.gdb.as_ref()?;
    let mut options = gdb_remote::Options::default();
    options.connect_timeout = args.connect_timeout;
    options.reply_timeout = args.reply_timeout;
    let opened = GdbRemote::connect(endpoint, &options);
    Some(opened.map(OpenLink::new).map_err(Into::into))
}

fn open_qemu(args: &TargetArgs) -> Option<Result<OpenLink>> {
    let endpoint = args.kind.qemu.as_ref()?;
    let mut options = qemu::Options::default();
    options.connect_timeout = args.connect_timeout;
    options.reply_timeout = args.reply_timeout;
    options.address_space = args.qemu_address;
    options.method = args.qemu_method;
    Some(QemuLink::connect(endpoint, &options).map(OpenLink::from).map_err(Into::into))
}

impl From<QemuLink> for OpenLink {
    fn from(link: QemuLink) -> Self {
        let fallback = link.fallback_reason().map(str::to_owned);
        Self { fallback, ..Self::new(link) }
    }
}

fn open_process(args: &TargetArgs) -> Option<Result<OpenLink>> {
    let pid = args.kind.pid?;
    Some(match ProcessLink::attach(pid) {
        Ok(link) => {
            let slower =
                link.fallback_reason().map(|reason| format!("memory is read through a file: {reason}"));
            let notes = slower.into_iter().chain(family(pid, &link.family())).collect();
            Ok(OpenLink { notes, ..OpenLink::new(link) })
        }
        Err(error) => Err(error.into()),
    })
}

/// What is to be known of other processes that run the program of process `pid`.
fn family(pid: i32, others: &[i32]) -> Option<String> {
    const MAX_NAMED: usize = 8;
    let named: Vec<String> = others.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    let more = match others.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!others.is_empty()).then(|| {
        format!(
            "the program of process {pid} runs in {}{more} too: each counts for itself, and one that was forked began \
             with its parent's counts",
            named.join(", ")
        )
    })
}

fn open_memory(args: &TargetArgs) -> Option<Result<OpenLink>> {
    let files = &args.kind.memory;
    (!files.is_empty()).then(|| Ok(OpenLink::new(MemoryImage::raw(files)?)))
}

fn open_core(args: &TargetArgs) -> Option<Result<OpenLink>> {
    let file = args.kind.core.as_ref()?;
    Some(MemoryImage::core(file).map(OpenLink::new).map_err(Into::into))
}

#[cfg(feature = "probe")]
fn open_probe(args: &TargetArgs) -> Option<Result<OpenLink>> {
    let TargetKind { probe, chip, .. } = &args.kind;
    args.kind.is_probe().then(|| {
        let options = args.probe.options(probe.as_ref(), chip.as_deref(), args.reply_timeout)?;
        Ok(OpenLink::new(covtap_debug_probe::DebugProbe::open(&options)?))
    })
}
