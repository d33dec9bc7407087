//! Where profiles go: the pattern of their names, made into files.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::pattern::{Pattern, Values};
use crate::collect::Snapshot;
use crate::locate::llvm::LlvmImage;
use crate::write;
use crate::write::profraw::{self, Style};

/// Where profiles go, and in which form.
pub(super) struct Output {
    pattern: Pattern,
    style: Style,
    values: Values,
}

impl Output {
    /// Checks that the first profile could be written, before the target is touched.
    ///
    /// # Errors
    ///
    /// The image's profiles cannot be written in this style, the pattern is wrong, a file would have to be merged into, or the folder cannot be written to.
    pub(super) fn prepare(pattern: &str, style: Style, image: &LlvmImage) -> Result<Self> {
        profraw::check(image, style)?;
        let pattern = Pattern::parse(pattern)?;
        let values = Values {
            process_id: std::process::id(),
            host_name: nix::unistd::gethostname()
                .context("ask for the host's name")?
                .to_string_lossy()
                .into(),
            signature: image.module_signature(),
            snapshot: 1,
            time: Timestamp::now(),
        };
        let first = pattern.expand(&values);
        if pattern.merges() && first.exists() {
            bail!(ProfileExists { path: first });
        }
        write::check_writable(&first)?;
        Ok(Self { pattern, style, values })
    }

    /// Writes a snapshot and gives the file's name.
    ///
    /// # Errors
    ///
    /// The snapshot does not fit the image, or the file could not be written.
    pub(super) fn write(&self, image: &LlvmImage, snapshot: &Snapshot) -> Result<PathBuf> {
        let bytes = profraw::encode(image, snapshot.counters.regions(), self.style)?;
        let values = Values { snapshot: snapshot.number, time: Timestamp::now(), ..self.values.clone() };
        let path = self.pattern.expand(&values);
        write::write_whole(&path, &bytes)?;
        Ok(path)
    }
}

/// LLVM's runtime would merge into this file.
#[derive(Debug, thiserror::Error)]
#[error("write {}: it is there already, and merging into it is not offered yet", path.display())]
pub(super) struct ProfileExists {
    path: PathBuf,
}
