//! Where LLVM's profiles go: the pattern of their names, made into files.
//!
//! What always holds: a file that is kept up to date in place, and was written once, does not end a session when it
//! cannot be written; the next snapshot writes what is missing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use covtap_link::Endianness;
use jiff::Timestamp;

use super::causes;
use super::pattern::{Pattern, Values};
use super::programs::{Program, Programs};
use super::up_to_date::{OneFile, UpToDate};
use crate::collect::{Counters, Snapshot};
use crate::locate::llvm::{LlvmImage, RawVersion, Variant};
use crate::profile::pool::RawParts;
use crate::write::profraw::{self, Style};
use crate::write::{self, Pool};

/// The form of every program's profile.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// As covtap writes them.
    Normalised,
    /// As the program's own runtime would have.
    RuntimeIdentical,
    /// In another raw version.
    Transcoded {
        /// The version.
        version: RawVersion,
    },
}

impl Form {
    fn style(self, program: &Program) -> Style {
        match self {
            Self::Normalised => Style::Normalised,
            Self::RuntimeIdentical => Style::RuntimeIdentical { slide: program.slide },
            Self::Transcoded { version } => Style::Transcoded { version },
        }
    }
}

/// Where profiles go, and in which form.
///
/// Several programs have a file each if the pattern has their signature (`%m`), and else one file: LLVM's tools read
/// raw profiles one after the other, if they are of one kind.
pub(super) struct Output {
    pattern: Pattern,
    form: Form,
    values: Values,
    kept: Kept,
    /// What kept the last snapshot from being written.
    failed: Option<Error>,
    /// What is to be said of that, if it was not before.
    note: Option<String>,
}

/// What is known of the files from one snapshot to the next.
enum Kept {
    /// Nothing: each snapshot replaces or makes files.
    Nothing,
    /// One file is kept up to date (`%c`).
    UpToDate(Option<UpToDate>),
    /// Each program's share of a file that programs merge into (`%m`).
    Pools(Vec<Pool>),
}

impl Output {
    /// Checks that the first profiles could be written, before the target is touched.
    ///
    /// # Errors
    ///
    /// A program's profile cannot be written in this form, the pattern is wrong, a file that is merged into is of
    /// another program, the folder cannot be written to, or the programs' profiles do not go into one file and would
    /// have to.
    pub(super) fn prepare(pattern: &str, form: Form, programs: &Programs) -> Result<Self> {
        for (program, image) in programs.llvm() {
            profraw::check(image, form.style(program))?;
        }
        let pattern = Pattern::parse(pattern)?;
        let values = Values {
            process_id: std::process::id(),
            host_name: nix::unistd::gethostname()
                .context("ask for the host's name")?
                .to_string_lossy()
                .into(),
            signature: 0,
            snapshot: 1,
            time: Timestamp::now(),
        };
        let kept = match (pattern.merges(), pattern.is_continuous()) {
            (true, _) => Kept::Pools(programs.llvm().map(|_| Pool::default()).collect()),
            (false, true) => Kept::UpToDate(None),
            (false, false) => Kept::Nothing,
        };
        let output = Self { pattern, form, values, kept, failed: None, note: None };
        for (program, image) in programs.llvm() {
            let path = output.path(image, &output.values);
            write::check_writable(&path)?;
            if output.pattern.merges() {
                let nothing = program.nothing_counted_by_llvm()?;
                Pool::check(&path, &output.pool_forms(program, image, nothing.regions())?)?;
            }
        }
        if !output.pattern.merges() {
            check_one_kind(form, programs)?;
        }
        Ok(output)
    }

    /// Writes a snapshot and gives the files' names.
    ///
    /// # Errors
    ///
    /// The snapshot does not fit the programs, or a file could not be written that is not kept up to date already.
    pub(super) fn write(&mut self, programs: &Programs, snapshot: &Snapshot) -> Result<Vec<PathBuf>> {
        let values = Values { snapshot: snapshot.number, time: Timestamp::now(), ..self.values.clone() };
        let mut paths = Vec::new();
        let mut failed = None;
        if self.pattern.merges() {
            let all = programs.counters(&snapshot.counters).filter_map(|it| Some((it.program, it.llvm?)));
            for (index, (program, (image, regions))) in all.enumerate() {
                let path = self.path(image, &values);
                let forms = self.pool_forms(program, image, regions)?;
                failed = self.merge(index, &path, &forms)?.or(failed);
                paths.push(path);
            }
        } else if let Some((_, image)) = programs.llvm().next() {
            let path = self.path(image, &values);
            failed = self.put(&path, programs, snapshot)?;
            paths.push(path);
        }
        self.see(failed);
        Ok(paths)
    }

    /// Checks that the profiles of all programs can be in one file.
    ///
    /// # Errors
    ///
    /// They cannot.
    pub(super) fn check_one_file(&self, programs: &Programs) -> Result<()> {
        Ok(check_one_kind(self.form, programs)?)
    }

    /// Writes one file of other counters than a snapshot's, whatever the pattern.
    ///
    /// # Errors
    ///
    /// The counters do not fit the programs, or the file could not be written.
    pub(super) fn write_alone(&self, programs: &Programs, counters: &Counters, path: &Path) -> Result<()> {
        let file = self.one_file(programs, counters)?;
        Ok(write::write_whole_with(path, |out| file.write_to(out))?)
    }

    /// What is to be said about the last snapshot, once it was written or not.
    pub(super) fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Has what was kept up to date sent to the disk, which the end of a session is the time for.
    ///
    /// # Errors
    ///
    /// The last snapshot was not written.
    pub(super) fn finish(self) -> Result<()> {
        if let Kept::UpToDate(Some(file)) = &self.kept {
            file.sync()?;
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// The target counts from zero again, and all of its next snapshot is to be added to what is merged into.
    pub(super) fn begin_anew(&mut self) {
        if let Kept::Pools(pools) = &mut self.kept {
            pools.iter_mut().for_each(Pool::begin_anew);
        }
    }

    /// Remembers what kept a snapshot from being written, and has it said when it begins and ends.
    fn see(&mut self, failed: Option<Error>) {
        self.note = match (&self.failed, &failed) {
            (None, Some(error)) => {
                Some(format!("error: {}; the next snapshot writes what is missing", causes(error)))
            }
            (Some(_), None) => Some("the profile is up to date again".to_owned()),
            _ => None,
        };
        self.failed = failed;
    }

    /// All programs' profiles, one after the other.
    fn one_file<'a>(&self, programs: &'a Programs, counters: &'a Counters) -> Result<OneFile<'a>> {
        let llvm = programs.counters(counters).filter_map(|it| Some((it.program, it.llvm?)));
        let files = llvm.map(|(program, (image, regions))| {
            Ok(profraw::encode_parts(image, regions, self.form.style(program))?)
        });
        files.collect::<Result<_>>().map(OneFile)
    }

    /// Writes the one file, and gives an error that does not end the session.
    fn put(&mut self, path: &Path, programs: &Programs, snapshot: &Snapshot) -> Result<Option<Error>> {
        if let Kept::UpToDate(Some(kept)) = &mut self.kept
            && kept.is_there()
        {
            return Ok(kept.update(programs, snapshot).err());
        }
        let file = self.one_file(programs, &snapshot.counters)?;
        match &mut self.kept {
            Kept::UpToDate(Some(kept)) => return Ok(kept.put(&file, snapshot.number).err()),
            Kept::UpToDate(none) => {
                let mut kept = UpToDate::new(path.to_owned());
                kept.put(&file, snapshot.number)?;
                *none = Some(kept);
            }
            Kept::Nothing | Kept::Pools(_) => write::write_whole_with(path, |out| file.write_to(out))?,
        }
        Ok(None)
    }

    /// Adds a program's share to a file, and gives an error that does not end the session.
    fn merge(&mut self, index: usize, path: &Path, forms: &[Vec<u8>]) -> Result<Option<Error>> {
        let Kept::Pools(pools) = &mut self.kept else { return Ok(None) };
        let Some(pool) = pools.get_mut(index) else { return Ok(None) };
        let was_begun = pool.is_begun();
        match pool.add(path, forms) {
            Err(error) if was_begun => Ok(Some(error.into())),
            done => Ok(done.map(|()| None)?),
        }
    }

    /// The forms that a program's profile may have in a file which others merge into; the first is that of a new file.
    ///
    /// A runtime merges only into what is laid out as it does that itself. Of correlation it writes no records, and
    /// readers need the program then: such a file is made if it is asked for, but merged into if it is there. Values
    /// are not read, and where there are sites for them a runtime merges into what says that there are none.
    fn pool_forms(&self, program: &Program, image: &LlvmImage, regions: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        let own = profraw::encode(image, regions, self.form.style(program))?;
        if !matches!(self.form, Form::Normalised) {
            return Ok(vec![own]);
        }
        let Ok(theirs) = profraw::encode(image, regions, Form::RuntimeIdentical.style(program)) else {
            return Ok(vec![own]);
        };
        let is_readable = RawParts::of(&theirs).is_ok_and(|parts| parts.is_read_by_llvm(&theirs));
        Ok(if is_readable && !image.is_correlated() { vec![theirs, own] } else { vec![own, theirs] })
    }

    fn path(&self, image: &LlvmImage, values: &Values) -> PathBuf {
        self.pattern.expand(&Values { signature: image.module_signature(), ..values.clone() })
    }
}

/// Tools read the profiles of one file by the width, byte order and version of the first.
fn check_one_kind(form: Form, programs: &Programs) -> Result<(), OtherKind> {
    let kind = |image: &LlvmImage| {
        let version = match form {
            Form::Transcoded { version } => version,
            Form::Normalised | Form::RuntimeIdentical => image.version(),
        };
        (image.pointer_width(), image.endianness(), version, image.variant().without(Variant::CORRELATE))
    };
    let mut images = programs.llvm().map(|(_, image)| image);
    let Some(first) = images.next() else { return Ok(()) };
    match images.find(|image| kind(image) != kind(first)) {
        None => Ok(()),
        Some(other) => Err(OtherKind { first: describe(first), second: describe(other) }),
    }
}

/// `a.elf (32-bit, little-endian, raw version 10)`
fn describe(image: &LlvmImage) -> String {
    let bits = image.pointer_width().bytes().saturating_mul(8);
    let order = match image.endianness() {
        Endianness::Little => "little",
        Endianness::Big => "big",
    };
    let variant = match image.variant().bits() {
        0 => String::new(),
        bits => format!(", variant {bits:#x}"),
    };
    format!("{} ({bits}-bit, {order}-endian, raw version {}{variant})", image.name(), image.version())
}

/// The profiles of two programs are not of one kind.
#[derive(Debug, thiserror::Error)]
#[error("write one profile of {first} and {second}: no tool reads both from one file")]
pub(super) struct OtherKind {
    first: String,
    second: String,
}
