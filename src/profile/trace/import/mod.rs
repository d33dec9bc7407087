//! Traces that other tools wrote.
//!
//! What enters is a trace as it is stored, maybe compressed by gzip or zstd; what leaves is a [`Trace`], and where the
//! file was damaged also what is wrong with it: all that was whole before that place is in the trace.
//!
//! What always holds: a file is read once, from its beginning to its end, and only different blocks are kept. Nothing in
//! it is believed before it was checked. Where a format does not say how often code ran, or says too little to know, the
//! trace says [`Counting::Reached`], and [`Counting::Samples`] if code is known to be left out.

mod detect;
mod drcov;
mod execlog;
mod gnatcov;
mod hotblocks;
mod input;
mod pcs;
mod qemu_log;
mod renode;
mod tfa;
mod unpack;

use std::fmt;
use std::io::BufRead;

use input::Input;
pub use input::{Fault, Place};

use super::{Counting, Trace, TraceBuilder, is_trace};

/// A form that a trace has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// What TF-A's plugin for Arm's models writes.
    Tfa,
    /// DynamoRIO's drcov, which many tools write.
    Drcov,
    /// Renode's binary execution trace.
    Renode,
    /// QEMU's log, with `exec` or `in_asm`.
    QemuLog,
    /// QEMU's plugin `execlog`.
    Execlog,
    /// QEMU's plugin `hotblocks`.
    Hotblocks,
    /// GNATcoverage's object trace.
    Gnatcov,
    /// An address on each line.
    Pcs,
}

/// What cannot be seen in a trace.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// Addresses of drcov blocks are no offsets into modules: QEMU's plugin writes them so.
    pub is_absolute: bool,
    /// The one drcov module that counts; without it all do.
    pub module: Option<Module>,
    /// How long each instruction is, where the instruction set has one length, for formats that count instructions.
    pub insn_bytes: Option<u64>,
    /// Counts are not believed.
    pub only_reached: bool,
}

/// A module of a drcov file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// The end of its path, by whole components.
    pub name: String,
    /// Where its image begins, as its ELF has it.
    pub image_base: u64,
}

/// A trace that was read.
#[derive(Debug)]
pub struct Imported {
    /// What was executed.
    pub trace: Trace,
    /// The form that it has.
    pub format: Format,
    /// What kept the rest from being read.
    pub fault: Option<ImportError>,
}

/// A trace cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is not a byte.
    #[error("import {name}: it is empty")]
    Empty {
        /// The file's name.
        name: String,
    },
    /// It begins as nothing known.
    #[error("import {name}: it begins as no trace that is known")]
    Unknown {
        /// The file's name.
        name: String,
    },
    /// Nothing is to be done.
    #[error("import {name}: it is a trace of covtap's")]
    Own {
        /// The file's name.
        name: String,
    },
    /// It has no code.
    #[error("import {name}: as {format}, nothing in it was executed")]
    Nothing {
        /// The file's name.
        name: String,
        /// The form that it was read in.
        format: Format,
    },
    /// It is damaged, or of another form.
    #[error("import {name}: as {format}, {fault}")]
    Damaged {
        /// The file's name.
        name: String,
        /// The form that it was read in.
        format: Format,
        /// Where, and what is wrong.
        fault: Fault,
    },
    /// Its first bytes cannot be read.
    #[error("import {name}: {fault}")]
    Begin {
        /// The file's name.
        name: String,
        /// What is wrong.
        fault: Fault,
    },
}

/// Reads one form into a trace.
type Decode = fn(&mut Input<'_>, &Options, &mut TraceBuilder) -> Result<(), Fault>;

/// Forms by their names, with what their counts say at most.
const FORMATS: [(Format, &str, Counting, Decode); 8] = [
    (Format::Tfa, "tfa", Counting::Times, tfa::decode),
    (Format::Drcov, "drcov", Counting::Reached, drcov::decode),
    (Format::Renode, "renode", Counting::Times, renode::decode),
    (Format::QemuLog, "qemu-log", Counting::Times, qemu_log::decode),
    (Format::Execlog, "execlog", Counting::Times, execlog::decode),
    (Format::Hotblocks, "hotblocks", Counting::Times, hotblocks::decode),
    (Format::Gnatcov, "gnatcov", Counting::Reached, gnatcov::decode),
    (Format::Pcs, "pcs", Counting::Times, pcs::decode),
];

impl Format {
    /// The names of all forms.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FORMATS.iter().map(|(_, name, ..)| *name)
    }

    /// The form of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        FORMATS.iter().find(|(_, other, ..)| *other == name).map(|(format, ..)| *format)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = FORMATS.iter().find(|(format, ..)| format == self);
        f.write_str(row.map_or("", |(_, name, ..)| name))
    }
}

/// Reads a trace. `name` is what messages call it; without a format its first bytes tell.
///
/// # Errors
///
/// There is nothing to be read: it is empty, of no known form, or has no code. If it is damaged after that, that is in
/// what comes back.
pub fn import(
    name: &str,
    input: impl BufRead,
    format: Option<Format>,
    options: &Options,
) -> Result<Imported, ImportError> {
    let name = || name.to_owned();
    let unpacked = unpack::unpack(input).map_err(|fault| ImportError::Begin { name: name(), fault })?;
    if unpacked.head().is_empty() {
        return Err(match unpacked.into_fault() {
            Some(fault) => ImportError::Begin { name: name(), fault },
            None => ImportError::Empty { name: name() },
        });
    }
    if is_trace(unpacked.head()) {
        return Err(ImportError::Own { name: name() });
    }
    let format = format.or_else(|| detect::format(unpacked.head()));
    let row = FORMATS.iter().find(|(known, ..)| Some(*known) == format);
    let Some((format, _, counting, decode)) = row.copied() else {
        return Err(ImportError::Unknown { name: name() });
    };
    let mut trace = TraceBuilder::new(if options.only_reached { Counting::Reached } else { counting });
    let mut reader = unpacked.into_reader();
    let decoded = decode(&mut Input::new(&mut reader), options, &mut trace);
    let fault = decoded.err().map(|fault| ImportError::Damaged { name: name(), format, fault });
    let trace = trace.finish();
    if trace.is_empty() {
        return Err(fault.unwrap_or_else(|| ImportError::Nothing { name: name(), format }));
    }
    Ok(Imported { trace, format, fault })
}

#[cfg(test)]
mod tests;
