//! `--lcov`: lines and their counts for the usual viewers, kept up to date beside the profile.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::status::Status;
use crate::coverage::{Counts, Coverage, Mapping};
use crate::image::Image;
use crate::locate::llvm::LlvmImage;
use crate::profile::llvm::LlvmProfile;
use crate::write::{self, lcov};

/// An lcov trace, and the coverage mapping that tells which lines the counters count.
pub(super) struct LcovOutput {
    path: PathBuf,
    mapping: Mapping,
}

impl LcovOutput {
    /// Decodes the mapping once, and checks that the file could be written, before the target is touched.
    ///
    /// # Errors
    ///
    /// The image has no coverage mapping, or the folder cannot be written to.
    pub(super) fn prepare(path: &Path, image: &Image, located: &LlvmImage, status: &Status) -> Result<Self> {
        let mapping = Mapping::decode(image, located.names())?;
        for problem in mapping.problems() {
            status.note(&format!("left out of the lcov trace: {problem}"));
        }
        write::check_writable(path)?;
        Ok(Self { path: path.to_owned(), mapping })
    }

    /// Writes the trace of one snapshot.
    ///
    /// # Errors
    ///
    /// The file could not be written.
    pub(super) fn write(&self, profile: &LlvmProfile) -> Result<()> {
        let mut coverage = Coverage::default();
        coverage.add(&self.mapping, &Counts::from(profile));
        write::write_whole(&self.path, &lcov::encode(&coverage))?;
        Ok(())
    }
}
