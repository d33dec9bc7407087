//! Where the kernel is in the guest's memory, which is not where the ELF says: it moves at each boot.

use std::path::Path;
use std::time::{Duration, Instant};

use ::covtap::collect::PhysicalLink;
use ::covtap::collect::find_image::{self, Found};
use ::covtap::image::Image;
use anyhow::{Context, Result};
use covtap_qemu::{self as qemu, QemuLink};

use super::guest::LinuxGuest;

/// A kernel that was found in a guest.
pub(super) struct Search {
    /// The link that found it.
    pub(super) link: PhysicalLink,
    pub(super) found: Found,
    /// How long that took.
    pub(super) took: Duration,
}

/// Opens the ELF as covtap does: what is not used is not read.
pub(super) fn open(vmlinux: &Path) -> Result<Image> {
    let file = std::fs::File::open(vmlinux).with_context(|| format!("open {}", vmlinux.display()))?;
    Ok(Image::read(&vmlinux.display().to_string(), file)?)
}

/// Searches the guest's memory.
pub(super) fn find(guest: &LinuxGuest, image: &Image) -> Result<Search> {
    let endpoint = guest.qmp().display().to_string().parse()?;
    let link = QemuLink::connect(&endpoint, &qemu::Options::default())?;
    let mut link = PhysicalLink::new(Box::new(link))?;
    let started = Instant::now();
    let found = find_image::find(&mut link, image)?;
    Ok(Search { link, found, took: started.elapsed() })
}
