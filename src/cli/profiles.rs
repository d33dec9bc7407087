//! Profiles from disk, added up.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::terminal::say;
use crate::locate::llvm::LlvmImage;
use crate::profile::{self, StoredProfile};

/// The sum of profiles that are added one after the other. What does not fit together is said on stderr, one line for
/// each function, and the rest is added.
#[derive(Default)]
pub(super) struct Sum {
    sum: Option<StoredProfile>,
    said: usize,
}

impl Sum {
    /// Adds the profile in a file; `images` is asked for the programs only if the profile does not say by itself what
    /// it counts.
    ///
    /// # Errors
    ///
    /// It is no profile, or counts something else than those before it.
    pub(super) fn add_file(
        &mut self,
        path: &Path,
        images: impl FnOnce() -> Result<Vec<LlvmImage>>,
    ) -> Result<()> {
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let images = if profile::needs_image(&bytes) { images()? } else { Vec::new() };
        let images: Vec<&LlvmImage> = images.iter().collect();
        self.add(path, profile::read_of(&path.display().to_string(), &bytes, &images)?)
    }

    /// Adds a profile that is in a file.
    ///
    /// # Errors
    ///
    /// It counts something else than those before it.
    pub(super) fn add(&mut self, path: &Path, profile: StoredProfile) -> Result<()> {
        match &mut self.sum {
            None => self.sum = Some(profile),
            Some(sum) => sum.merge(profile).with_context(|| format!("add {}", path.display()))?,
        }
        let conflicts = self.sum.as_ref().map(StoredProfile::conflicts).unwrap_or_default();
        for conflict in conflicts.iter().skip(self.said) {
            say(&format!("{}: {conflict}", path.display()));
        }
        self.said = conflicts.len();
        Ok(())
    }

    /// The sum; `None` if nothing was added.
    pub(super) fn finish(self) -> Option<StoredProfile> {
        let sum = self.sum?;
        if sum.value_sites_left_out() > 0 {
            say(&format!(
                "value profiles (call targets, sizes) are left out: {} sites in all profiles together",
                sum.value_sites_left_out()
            ));
        }
        for what in sum.left_out() {
            say(&format!("{what} are left out"));
        }
        Some(sum)
    }
}
