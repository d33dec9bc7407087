//! The profiles of tests: a folder with a profile of each, and an index.
//!
//! What enters is what a test counted; what leaves is its files, and the index with its name (`docs/tests.md`). What always
//! holds: names of files are made of numbers and plain letters, whatever a test is called; the index names nothing that is
//! not written yet.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::gcda::{GcdaArgs, GcdaOutput};
use super::live_notes::LiveNotes;
use super::output::Output;
use super::programs::Programs;
use super::status::Status;
use crate::collect::TestCounts;
use crate::profile::test_index::{INDEX_FILE, TestEntry, TestIndex};
use crate::write;

/// So much of a test's name is in those of its files.
const MAX_STEM_CHARS: usize = 48;

/// The folder.
pub(super) struct TestDir {
    dir: PathBuf,
    entries: Vec<TestEntry>,
}

impl TestDir {
    /// Makes the folder, if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be made or written to, or has another session's tests.
    pub(super) fn prepare(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let test_dir = Self { dir: dir.to_owned(), entries: Vec::new() };
        let index = test_dir.dir.join(INDEX_FILE);
        if index.exists() {
            return Err(TestsExist { path: index }.into());
        }
        write::check_writable(&index)?;
        Ok(test_dir)
    }

    /// Writes the files of a test that has ended.
    ///
    /// # Errors
    ///
    /// The host has no memory or no room on the disk for them.
    pub(super) fn write(
        &mut self,
        test: &TestCounts,
        (programs, output, notes): (&Programs, &Output, &LiveNotes),
        gcda: &GcdaArgs,
        status: &Status,
    ) -> Result<()> {
        let counters = test.counters(&programs.regions()).context("make room for a test's counters")?;
        let stem = format!("{}-{}", stem(&test.name), test.index.saturating_add(1));
        let has_profile = programs.llvm().next().is_some();
        let profile = has_profile.then(|| format!("{stem}.profraw"));
        if let Some(profile) = &profile {
            output.write_alone(programs, &counters, &self.dir.join(profile))?;
        }
        let has_data = programs.gcov().next().is_some();
        let folder = has_data.then(|| stem.clone());
        if let Some(folder) = &folder {
            let mut gcda = GcdaOutput::prepare(&gcda.below(&self.dir.join(folder)), programs, |_| {})?;
            gcda.write(&programs.profiles(&counters, &[], false)?)?;
            notes.place(&gcda, &|line| status.note(line))?;
        }
        let entry = TestEntry {
            name: test.name.clone(),
            runs: test.runs,
            is_cut: test.is_cut,
            profile,
            gcda: folder,
        };
        match self.entries.get_mut(test.index) {
            Some(there) => *there = entry,
            None => self.entries.push(entry),
        }
        self.write_index()
    }

    fn write_index(&self) -> Result<()> {
        let index = TestIndex::new(self.entries.clone())?;
        Ok(write::write_whole(&self.dir.join(INDEX_FILE), &index.encode())?)
    }
}

/// The folder has the tests of another session.
#[derive(Debug, thiserror::Error)]
#[error("write {}: it is there already, from another session", path.display())]
pub(super) struct TestsExist {
    path: PathBuf,
}

/// A test's name as part of a file's.
fn stem(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().take(MAX_STEM_CHARS).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain_whatever_a_test_is_called() {
        assert_eq!(stem("boot/self test"), "boot_self_test");
        assert_eq!(stem("../../etc/passwd"), "______etc_passwd");
        assert_eq!(stem("größe"), "gr__e");
        assert_eq!(stem(&"x".repeat(200)).len(), MAX_STEM_CHARS);
    }
}
