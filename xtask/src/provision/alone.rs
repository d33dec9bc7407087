//! An apt that has its lists, its archives and its idea of what is installed in a folder of its own.
//!
//! What enters is the text of a source; what leaves is files that it fetched. What always holds: nothing that this
//! system's own apt knows is read or changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::apt;
use crate::child;

/// Such an apt.
#[derive(Debug)]
pub(super) struct Alone {
    dir: PathBuf,
    settings: Vec<String>,
}

impl Alone {
    /// One below `dir` that knows only the source `text`, which is written as files with that extension are.
    ///
    /// # Errors
    ///
    /// Its folders cannot be made.
    pub(super) fn prepare(dir: &Path, extension: &str, text: &str) -> Result<Self> {
        let sources = dir.join("sources");
        for folder in ["sources", "state/lists/partial", "cache/archives/partial"] {
            let folder = dir.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        }
        for (path, text) in [(sources.join(format!("suite.{extension}")), text), (dir.join("status"), "")] {
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        let settings = [
            format!("Dir::Etc::SourceList={}", dir.join("none").display()),
            format!("Dir::Etc::SourceParts={}", sources.display()),
            format!("Dir::State={}", dir.join("state").display()),
            format!("Dir::State::Status={}", dir.join("status").display()),
            format!("Dir::Cache={}", dir.join("cache").display()),
            "APT::Install-Recommends=false".to_owned(),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "Debug::NoLocking=true".to_owned(),
        ];
        Ok(Self { dir: dir.to_owned(), settings: settings.into() })
    }

    /// Runs `apt-get` in its folder.
    ///
    /// # Errors
    ///
    /// It did not end well.
    pub(super) fn get(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new(apt::APT_GET);
        command.arg("-qq").args(self.settings.iter().flat_map(|setting| ["-o", setting.as_str()]));
        child::run_well(command.args(args).current_dir(&self.dir).stdout(Stdio::null()))
    }
}
