//! Coverage as a static site: `--html`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;

use crate::coverage::Coverage;
use crate::write::html::{self, ObjectProgram};
use crate::write::sources;

/// A site.
#[derive(Debug, Default, Args)]
pub(super) struct SiteArgs {
    /// Pages to read in a browser: a tree of files, and the sources with their counts; of a trace, instructions with theirs
    #[arg(long, value_name = "DIR")]
    html: Option<PathBuf>,
}

impl SiteArgs {
    /// Whether it was asked for.
    pub(super) fn any(&self) -> bool {
        self.html.is_some()
    }

    /// Checks that the site could be written.
    ///
    /// # Errors
    ///
    /// It cannot.
    pub(super) fn check(&self) -> Result<()> {
        match &self.html {
            Some(dir) => Ok(html::check(dir)?),
            None => Ok(()),
        }
    }

    /// Writes the site, and gives a line for each source that could not be read.
    ///
    /// # Errors
    ///
    /// It could not be written.
    pub(super) fn write(
        &self,
        coverage: &Coverage,
        images: &[PathBuf],
        profiles: &[PathBuf],
        programs: &[ObjectProgram<'_>],
        cautions: &[String],
    ) -> Result<Vec<String>> {
        let Some(dir) = &self.html else { return Ok(Vec::new()) };
        let (made_at, read_source) = (Timestamp::now(), &sources::read);
        let options = html::Options { images, profiles, cautions, made_at, read_source, programs };
        let site = html::write(coverage, dir, &options)?;
        Ok(site.without_text.iter().map(ToString::to_string).collect())
    }
}
