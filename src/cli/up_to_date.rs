//! A profile that is kept up to date in place (`%c`): what of each snapshot goes where.
//!
//! What enters is snapshots and where each may differ from the one before; what leaves is writes of what differs. What
//! always holds: after a write that failed, and where nothing is known of what changed, all counters are written.

use std::ops::Range;
use std::path::PathBuf;
use std::{io, slice};

use anyhow::Result;

use super::programs::Programs;
use crate::collect::Snapshot;
use crate::write::profraw::Encoded;
use crate::write::{Change, Continuous};

/// A file that is kept up to date.
pub(super) struct UpToDate {
    file: Continuous,
    /// By program, where its regions are in the file.
    offsets: Vec<[usize; 2]>,
    /// Of the snapshot that the file has; `None` if it could not be written.
    number: Option<u64>,
}

/// All programs' profiles, one after the other.
pub(super) struct OneFile<'a>(pub(super) Vec<Encoded<'a>>);

impl OneFile<'_> {
    /// Writes all of it.
    pub(super) fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.0.iter().try_for_each(|program| program.write_to(out))
    }

    /// By program, where its regions are.
    fn offsets(&self) -> Vec<[usize; 2]> {
        let mut start = 0usize;
        let offsets = self.0.iter().map(|program| {
            let begun = start;
            start = start.saturating_add(program.len_bytes());
            program.region_offsets.map(|offset| begun.saturating_add(offset))
        });
        offsets.collect()
    }
}

impl UpToDate {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { file: Continuous::new(path), offsets: Vec::new(), number: None }
    }

    /// Whether the file is there as it was left, so that it can be [updated](Self::update).
    pub(super) fn is_there(&self) -> bool {
        self.file.is_there()
    }

    /// Puts the whole file there, which has that snapshot.
    pub(super) fn put(&mut self, file: &OneFile<'_>, number: u64) -> Result<()> {
        self.number = None;
        self.file.put(|out| file.write_to(out))?;
        (self.offsets, self.number) = (file.offsets(), Some(number));
        Ok(())
    }

    /// Writes what changed since the snapshot that was written last.
    pub(super) fn update(&mut self, programs: &Programs, snapshot: &Snapshot) -> Result<()> {
        let changes = self.number.take().and_then(|number| snapshot.changes_since(number));
        let llvm = programs.counters(&snapshot.counters).filter_map(|it| Some((it.first_region, it.llvm?.1)));
        let regions = llvm.zip(&self.offsets).flat_map(|((first, regions), offsets)| {
            (first..).zip(regions.iter().zip(offsets)).map(|(index, (bytes, offset))| (index, bytes, *offset))
        });
        self.file.update(regions.flat_map(|(index, bytes, offset)| {
            let all = 0..bytes.len();
            let runs = changes.map_or(slice::from_ref(&all), |changes| changes.of_region(index));
            let change = |run: &Range<usize>| {
                let offset = offset.saturating_add(run.start);
                Some(Change { offset, bytes: bytes.get(run.clone())? })
            };
            runs.iter().filter_map(change).collect::<Vec<_>>()
        }))?;
        self.number = Some(snapshot.number);
        Ok(())
    }

    /// Waits until the content is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        Ok(self.file.sync()?)
    }
}
