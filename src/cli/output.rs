//! Where LLVM's profiles go: the pattern of their names, made into files.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use covtap_link::Endianness;
use jiff::Timestamp;

use super::pattern::{Pattern, Values};
use super::programs::{Program, Programs};
use crate::collect::Snapshot;
use crate::locate::llvm::{LlvmImage, RawVersion, Variant};
use crate::write;
use crate::write::profraw::{self, Style};

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
/// Several programs have a file each if the pattern has their signature (`%m`), and else one file: LLVM's tools read raw
/// profiles one after the other, if they are of one kind.
pub(super) struct Output {
    pattern: Pattern,
    form: Form,
    values: Values,
}

impl Output {
    /// Checks that the first profiles could be written, before the target is touched.
    ///
    /// # Errors
    ///
    /// A program's profile cannot be written in this form, the pattern is wrong, a file would have to be merged into, the
    /// folder cannot be written to, or the programs' profiles do not go into one file and would have to.
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
        let output = Self { pattern, form, values };
        let mut first: Vec<PathBuf> = Vec::new();
        for (_, image) in programs.llvm() {
            let path = output.path(image, &output.values);
            if output.pattern.merges() && (path.exists() || first.contains(&path)) {
                bail!(ProfileExists { path });
            }
            write::check_writable(&path)?;
            first.push(path);
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
    /// The snapshot does not fit the programs, or a file could not be written.
    pub(super) fn write(&self, programs: &Programs, snapshot: &Snapshot) -> Result<Vec<PathBuf>> {
        let values = Values { snapshot: snapshot.number, time: Timestamp::now(), ..self.values.clone() };
        let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        for counters in programs.counters(snapshot) {
            let Some((image, regions)) = counters.llvm else { continue };
            let bytes = profraw::encode(image, regions, self.form.style(counters.program))?;
            let path = self.path(image, &values);
            match files.last_mut() {
                Some((last, before)) if *last == path => before.extend(bytes),
                _ => files.push((path, bytes)),
            }
        }
        for (path, bytes) in &files {
            write::write_whole(path, bytes)?;
        }
        Ok(files.into_iter().map(|(path, _)| path).collect())
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

/// LLVM's runtime would merge into this file.
#[derive(Debug, thiserror::Error)]
#[error("write {}: it is there already, and merging into it is not offered yet", path.display())]
pub(super) struct ProfileExists {
    path: PathBuf,
}
