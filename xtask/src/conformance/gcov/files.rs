//! The files that covtap makes of a program's memory.
//!
//! What enters is a program that has stopped itself; what leaves is the bytes of its `.gcda` files by name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use covtap::collect::{MeteredLink, Reader};
use covtap::image::{Image, ImageAddr, Slide};
use covtap::locate::gcov;
use covtap::profile::gcov::GcovProfile;
use covtap::write::gcda;
use covtap_link::{
    Effect, Link, LinkError, LinkInfo, Operation, ReadMemory, ReadReport, ReadRequest, TargetAddr,
};
use covtap_testbed::Stopped;

/// What is in the memory of the program `exe`, as files.
pub(super) fn of_memory(process: &Stopped, exe: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let bytes = fs::read(exe).with_context(|| format!("read {}", exe.display()))?;
    let image = Image::parse("program", bytes)?;
    let slide = if image.is_position_independent() {
        Slide::between(ImageAddr::new(0), TargetAddr::new(process.load_address()?))
    } else {
        Slide::ZERO
    };
    let located = gcov::locate(&image, slide)?;
    ensure!(located.cautions.is_empty(), "the image calls for caution: {:?}", located.cautions);
    let link = MeteredLink::new(Box::new(StoppedLink(process.memory()?)));
    let mut reader = Reader::new(link, located.regions)?.with_lists(located.image.lists(0));
    let snapshot =
        reader.take(Duration::ZERO)?.snapshot().context("the program ended while it was stopped")?;
    let lists = snapshot.lists.iter().map(|list| list.as_deref().ok());
    let profile = GcovProfile::with_lists(&located.image, snapshot.counters.regions(), lists)?;
    ensure!(!profile.has_lists, "lists of values could not be followed: {:?}", snapshot.lists);
    let names = located.image.objects.iter().map(|object| PathBuf::from(OsStr::from_bytes(&object.filename)));
    Ok(names.zip(profile.files.iter().map(gcda::encode)).collect())
}

/// The memory of a process that is stopped.
struct StoppedLink(File);

impl ReadMemory for StoppedLink {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        for read in reads {
            let len_bytes = u64::try_from(read.buf.len()).unwrap_or(u64::MAX);
            let error = |source: io::Error| LinkError::Io {
                operation: Operation::Read { addr: read.addr, len_bytes },
                endpoint: self.info().endpoint,
                source,
            };
            self.0.read_exact_at(read.buf, read.addr.get()).map_err(error)?;
        }
        Ok(ReadReport::default())
    }
}

impl Link for StoppedLink {
    fn info(&self) -> LinkInfo {
        LinkInfo {
            endpoint: "a stopped process".to_owned(),
            server: String::new(),
            architecture: None,
            endianness: None,
            pointer_width: None,
            effect: Effect::NeedsHalt,
            attach_pause: Duration::ZERO,
        }
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        Ok(Duration::ZERO)
    }
}
