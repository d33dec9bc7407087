//! The notes (`.gcno`) of what a target's programs count with gcov: found before the target is touched.
//!
//! What enters is programs and where the user keeps notes; what leaves is checks for each reading, units for reports,
//! and the notes beside the `.gcda` files, where gcov, gcovr and lcov look for them. What always holds: notes are of the
//! stamp that the image has; what has none is said, and is neither checked nor in a report.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use clap::Args;

use super::formats::Formats;
use super::gcda::GcdaOutput;
use super::inputs::Inputs;
use super::notes::{self, NotesFileError, NotesFiles, Wanted};
use super::programs::Programs;
use crate::collect::Coherence;
use crate::coverage::Coverage;
use crate::coverage::gcov::{FlowCheck, FunctionCounters, Notes, UncheckedReason};
use crate::profile::gcov::GcovProfile;
use crate::write;

/// More are not named one by one.
const MAX_NAMED: usize = 20;

/// Where notes are.
#[derive(Debug, Args)]
pub(super) struct NotesArgs {
    /// Where GCC's .gcno files are, beside those that stand where the objects were compiled: a file, or a folder to
    /// search; may be given again
    #[arg(long, value_name = "PATH")]
    notes: Vec<PathBuf>,
}

/// The notes of one object.
struct ObjectNotes {
    path: PathBuf,
    notes: Notes,
}

/// The notes of all objects.
pub(super) struct LiveNotes {
    /// Of the objects of all programs, in their order.
    by_object: Vec<Option<ObjectNotes>>,
}

impl LiveNotes {
    /// Finds notes by the names and stamps of all objects. `note` is told which are missing: one by one if `all_needed`
    /// or the user said where they are.
    ///
    /// # Errors
    ///
    /// What the user named cannot be read, or is no notes.
    pub(super) fn find(
        args: &NotesArgs,
        programs: &Programs,
        all_needed: bool,
        note: &dyn Fn(&str),
    ) -> Result<Self> {
        let files = NotesFiles::new(Inputs::sort(&args.notes)?.notes);
        let (mut by_object, mut named, mut missing) = (Vec::new(), Vec::new(), 0usize);
        let is_named = all_needed || !args.notes.is_empty();
        for object in programs.gcov().flat_map(|(_, image)| &image.objects) {
            let name = Path::new(OsStr::from_bytes(&object.filename));
            by_object.push(match find_one(&files, Wanted { name, stamp: object.stamp }) {
                Ok(found) => Some(found),
                Err(error) => {
                    missing = missing.saturating_add(1);
                    let is_nowhere = matches!(error, NotesFileError::Nowhere { .. });
                    named.extend((is_named || !is_nowhere).then(|| format!("{:#}", Error::from(error))));
                    None
                }
            });
        }
        say_some(&named, note);
        if missing > 0 {
            note(&format!(
                "{missing} of {} objects have no notes (.gcno): whether their counters are of one moment cannot be told; \
                 --notes says where they are",
                by_object.len()
            ));
        }
        Ok(Self { by_object })
    }

    /// What tells of a reading whether it can be of one moment; `None` if there is nothing to tell it by.
    pub(super) fn checks(&self, programs: &Programs, note: &dyn Fn(&str)) -> Option<Box<dyn Coherence>> {
        let mut check = FlowCheck::default();
        let mut rest = self.by_object.iter();
        let mut unchecked = Vec::new();
        for (image, first_region) in programs.gcov_regions() {
            let of_image = rest.by_ref().take(image.objects.len());
            let notes = of_image.map(|found| found.as_ref().map(|found| &found.notes));
            unchecked.extend(check.add(image, first_region, notes));
        }
        // Objects without notes were named when those were looked for.
        unchecked.retain(|it| it.reason != UncheckedReason::NoNotes);
        let lines: Vec<_> = unchecked.iter().map(|it| format!("not checked: {}", it.reason)).collect();
        say_some(&lines, note);
        (check.num_functions() > 0).then(|| Box::new(check) as Box<dyn Coherence>)
    }

    /// Adds what the objects counted to a report.
    pub(super) fn add_to(&self, coverage: &mut Coverage, formats: &Formats<'_>, profiles: &[GcovProfile]) {
        let files = profiles.iter().flat_map(|profile| &profile.files);
        for (file, found) in files.zip(&self.by_object) {
            let Some(ObjectNotes { path, notes }) = found else { continue };
            let unit = formats.unit(notes, FunctionCounters::of(file));
            coverage.add_unit(&path.display().to_string(), &unit);
        }
    }

    /// Puts the notes beside the `.gcda` files. `note` is told of other notes that are there and stay.
    ///
    /// # Errors
    ///
    /// One cannot be read or written.
    pub(super) fn place(&self, output: &GcdaOutput, note: &dyn Fn(&str)) -> Result<()> {
        let mut placed = Vec::new();
        for (data, found) in output.paths().zip(&self.by_object) {
            let Some(ObjectNotes { path, .. }) = found else { continue };
            let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
            let beside = data.with_extension("gcno");
            match fs::read(&beside) {
                Ok(there) if there == bytes => {}
                Ok(_) if !output.is_replacing() => note(&format!(
                    "{} is of another compile, and gcov will not take {} with it; --gcda-replace replaces it",
                    beside.display(),
                    data.display()
                )),
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("read {}", beside.display()));
                }
                Ok(_) | Err(_) => placed.push((beside, bytes)),
            }
        }
        Ok(write::write_all_whole(&placed)?)
    }
}

/// Says the first ones, and how many more there are.
fn say_some(lines: &[String], note: &dyn Fn(&str)) {
    lines.iter().take(MAX_NAMED).for_each(|line| note(line));
    if lines.len() > MAX_NAMED {
        note(&format!("and {} more like these", lines.len().saturating_sub(MAX_NAMED)));
    }
}

fn find_one(files: &NotesFiles, wanted: Wanted<'_>) -> Result<ObjectNotes, NotesFileError> {
    let path = files.find(wanted)?;
    let notes = notes::read(&path)?;
    Ok(ObjectNotes { path, notes })
}
