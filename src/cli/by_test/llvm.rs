//! LLVM's part of a report by test: programs whose mapping is decoded once, and a profile for each test.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::ByTestError;
use crate::cli::formats::Formats;
use crate::cli::profiles::Sum;
use crate::cli::report::{self, MappingOf};
use crate::coverage::{Counts, Coverage, Mapping};
use crate::locate::llvm::LlvmImage;
use crate::profile::{self, StoredProfile};

/// Programs, and the sum of the profiles so far.
pub(super) struct LlvmPart<'a> {
    elves: Vec<&'a Path>,
    mappings: Vec<Mapping>,
    /// What the programs' own records say, once a profile needs it.
    located: OnceLock<Vec<LlvmImage>>,
    sum: Sum,
}

impl<'a> LlvmPart<'a> {
    /// Decodes the programs' mappings.
    ///
    /// # Errors
    ///
    /// One has none.
    pub(super) fn new(formats: &Formats<'_>, elves: Vec<&'a Path>) -> Result<Self> {
        let decode = |path: &&Path| Ok(MappingOf::decode(formats, path)?.say());
        let mappings = elves.iter().map(decode).collect::<Result<_>>()?;
        Ok(Self { elves, mappings, located: OnceLock::new(), sum: Sum::default() })
    }

    /// Reads a test's profile.
    ///
    /// # Errors
    ///
    /// It is none, or damaged.
    pub(super) fn read(&self, path: &Path) -> Result<StoredProfile> {
        let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let located = if profile::needs_image(&bytes) { self.locate()? } else { &[] };
        let images: Vec<&LlvmImage> = located.iter().collect();
        Ok(profile::read_of(&path.display().to_string(), &bytes, &images)?)
    }

    /// What the programs' own records say. Two tests may find it out at the same time: a lock would be held while their
    /// thread takes over another test, which would wait for it.
    fn locate(&self) -> Result<&[LlvmImage]> {
        if let Some(images) = self.located.get() {
            return Ok(images);
        }
        let images = report::locate(&self.elves)?;
        Ok(self.located.get_or_init(|| images))
    }

    /// Puts the counts of a test on lines.
    ///
    /// # Errors
    ///
    /// The programs have none of the functions.
    pub(super) fn add_test(
        &self,
        coverage: &mut Coverage,
        test: &str,
        profile: &StoredProfile,
    ) -> Result<()> {
        self.add(coverage, &Counts::from(profile));
        let functions = profile.functions().count();
        if functions > 0 && coverage.num_found() == 0 {
            let images = report::listed(&self.elves);
            return Err(ByTestError::OtherProgram { test: test.to_owned(), functions, images }.into());
        }
        Ok(())
    }

    fn add(&self, coverage: &mut Coverage, counts: &Counts<'_>) {
        self.mappings.iter().for_each(|mapping| coverage.add(mapping, counts));
    }

    /// Adds a test's counts to those of the tests before.
    ///
    /// # Errors
    ///
    /// They do not count the same.
    pub(super) fn sum_up(&mut self, path: &Path, profile: StoredProfile) -> Result<()> {
        self.sum.add(path, profile)
    }

    /// Puts the sum on lines.
    pub(super) fn add_sum(&mut self, coverage: &mut Coverage) {
        let sum = std::mem::take(&mut self.sum).finish().unwrap_or_default();
        self.add(coverage, &Counts::from(&sum));
    }
}
