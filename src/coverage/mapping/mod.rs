//! LLVM's coverage mapping: which regions of source which counters count.
//!
//! What enters is an [`Image`] and the names that its functions refer to; what leaves is a [`Mapping`]. The sections need
//! not be loaded; they are the same for 32 and 64 bits.
//!
//! ```text
//! __llvm_covfun: | u64 name_ref | u32 size | u64 func_hash | u64 filenames_ref | mapping, size bytes | padding to 8 |
//! ```
//!
//! What always holds: regions stay encoded, in a tenth of the room, until a function is asked for; a function is there
//! once. What is damaged is left out, and a [`Problem`] says where it was;
//! the rest stays. Source: `VersionedCovMapFuncRecordReader` in
//! `llvm/lib/ProfileData/Coverage/CoverageMappingReader.cpp`, llvmorg-19.1.7, which stops at the first fault.

pub(super) mod cursor;
mod files;
mod function;
mod region;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::ops::Range;

use covtap_link::Endianness;
use rayon::prelude::*;

use crate::image::{Image, ImageError};
use crate::locate::llvm::{NameRef, Names};

pub use files::FileName;
pub(super) use files::join;
pub use region::{Counter, Expression, LineCol, Operator, Region, RegionKind};

use cursor::{Cursor, Fault};
use files::Files;

const FILES: &str = "__llvm_covmap";
const FUNCTIONS: &str = "__llvm_covfun";

/// How many functions are worth distributing over processors.
const BATCH: usize = 4096;

/// The length of a function's record before its mapping.
const RECORD_BYTES: usize = 28;

/// An image has no mapping that could be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// A section is missing or empty: the program was compiled without a mapping, or it was removed.
    #[error("read the coverage mapping of {image}: it has no section {section}")]
    Absent {
        /// The image's name.
        image: String,
        /// The section.
        section: &'static str,
    },
    /// A section's bytes are not where its header says.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// A part of a mapping that was left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The image's name.
    pub image: String,
    /// The section it is in.
    pub section: &'static str,
    /// Where in the section, in bytes.
    pub offset: u64,
    /// What was found there.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image, section, offset, detail } = self;
        write!(f, "decode {section} of {image} at {offset:#x}: {detail}")
    }
}

/// A function's regions.
#[derive(Clone, Debug)]
pub struct MappedFunction<'a> {
    /// The function's name, by its reference.
    pub name_ref: NameRef,
    /// The name: mangled, and with a `file:` or `file;` prefix where it is local.
    pub name: &'a [u8],
    /// The hash of its control flow; 0 if it is only declared to be unused.
    pub func_hash: u64,
    /// The files that its regions are in: the one of its body first, then one for each expansion.
    pub files: Vec<FileName>,
    /// What counters refer to.
    pub expressions: Vec<Expression>,
    /// Its regions, by file.
    pub regions: Vec<Region>,
}

/// The functions of an image, with their regions.
#[derive(Clone, Debug)]
pub struct Mapping {
    functions: Vec<Encoded>,
    files: Files,
    /// The bytes of all functions' records.
    section: Vec<u8>,
    /// The names of all functions.
    names: Vec<u8>,
    problems: Vec<Problem>,
}

/// A function whose regions have been decoded once, so that nothing is wrong with them.
#[derive(Clone, Debug)]
struct Encoded {
    name_ref: NameRef,
    /// Where its name is among the names.
    name: Range<usize>,
    func_hash: u64,
    files_ref: u64,
    /// Where its mapping is in the section.
    mapping: Range<usize>,
    is_dummy: bool,
}

impl Mapping {
    /// Whether an image has one at all.
    #[must_use]
    pub fn is_in(image: &Image) -> bool {
        image.sections().any(|section| section.name() == FILES)
    }

    /// Decodes the mapping of an image.
    ///
    /// # Errors
    ///
    /// It has none. A damaged one is no error: see [`Self::problems`].
    pub fn decode(image: &Image, names: &Names) -> Result<Self, MappingError> {
        let files = section(image, FILES)?;
        let functions = section(image, FUNCTIONS)?;
        let (files, file_faults) = Files::decode(&files, image.endianness());
        let mut reader =
            Reader { files: &files, names, functions: Vec::new(), texts: Vec::new(), index: HashMap::new() };
        let function_faults = reader.read(&functions, image.endianness());
        let Reader { functions: mut encoded, mut texts, .. } = reader;
        encoded.shrink_to_fit();
        texts.shrink_to_fit();
        let problems = [(FILES, file_faults), (FUNCTIONS, function_faults)].into_iter();
        let problem = |section, fault: Fault| Problem {
            image: image.name().to_owned(),
            section,
            offset: fault.offset as u64,
            detail: fault.detail,
        };
        let problems = problems
            .flat_map(|(section, faults)| faults.into_iter().map(move |fault| problem(section, fault)))
            .collect();
        Ok(Self { functions: encoded, files, section: functions, names: texts, problems })
    }

    /// The functions, in the section's order.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = MappedFunction<'_>> {
        self.functions.iter().map(|function| self.decoded(function))
    }

    /// The functions, some at a time, so that what is made of them need not be there for all at once.
    pub(super) fn batches(
        &self,
    ) -> impl Iterator<Item = impl IndexedParallelIterator<Item = MappedFunction<'_>>> {
        self.functions.chunks(BATCH).map(|some| some.par_iter().map(|function| self.decoded(function)))
    }

    fn decoded(&self, function: &Encoded) -> MappedFunction<'_> {
        let Encoded { name_ref, func_hash, .. } = *function;
        let unit = self.files.unit(function.files_ref).unwrap_or_default();
        let bytes = self.section.get(function.mapping.clone()).unwrap_or_default();
        // It has been decoded before, without a fault.
        let body = function::decode(&mut Cursor::new(bytes, function.mapping.start), unit);
        let function::Body { files, expressions, regions } = body.unwrap_or_default();
        let name = self.names.get(function.name.clone()).unwrap_or_default();
        MappedFunction { name_ref, name, func_hash, files, expressions, regions }
    }

    /// Gives files other names; `None` keeps the one they have.
    pub fn rename_files(&mut self, rename: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        self.files.rename(rename);
    }

    /// What was left out.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// The bytes of all sections of that name, each from a multiple of 8 on, as their records are.
fn section(image: &Image, name: &'static str) -> Result<Vec<u8>, MappingError> {
    let mut bytes: Vec<u8> = Vec::new();
    for section in image.sections().filter(|section| section.name() == name) {
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(&section.data()?);
    }
    if bytes.is_empty() {
        return Err(MappingError::Absent { image: image.name().to_owned(), section: name });
    }
    Ok(bytes)
}

struct Reader<'a> {
    files: &'a Files,
    names: &'a Names,
    functions: Vec<Encoded>,
    texts: Vec<u8>,
    index: HashMap<NameRef, usize>,
}

impl Reader<'_> {
    fn read(&mut self, section: &[u8], endianness: Endianness) -> Vec<Fault> {
        let (records, fault) = records(section, endianness);
        let mut faults = Vec::new();
        for some in records.chunks(BATCH) {
            let checked: Vec<_> = some.par_iter().map(|record| self.check(record)).collect();
            for (record, checked) in some.iter().zip(checked) {
                match checked {
                    Ok(is_dummy) => self.keep(record, is_dummy),
                    Err(fault) => faults.push(fault),
                }
            }
        }
        faults.extend(fault);
        faults
    }

    /// Finds out what is wrong with a function, and whether it is a dummy: stands for one that its unit did not use,
    /// and so did not compile.
    fn check(&self, record: &Record<'_>) -> Result<bool, Fault> {
        let at = |detail| Fault { offset: record.offset, detail };
        let Record { name_ref, func_hash, files_ref, .. } = *record;
        if self.names.get(name_ref).is_none() {
            return Err(at(format!("no name has the reference {name_ref}")));
        }
        let unit = self.files.unit(files_ref);
        let unit = unit.ok_or_else(|| at(format!("no file names have the reference {files_ref:#018x}")))?;
        let body = function::decode(&mut record.mapping.clone(), unit)?;
        Ok(func_hash == 0 && body.is_single_zero())
    }

    /// A function has a record in each unit that defines it, as inline ones do; a dummy gives way to a real one.
    fn keep(&mut self, record: &Record<'_>, is_dummy: bool) {
        let Record { name_ref, func_hash, files_ref, .. } = *record;
        let start = record.mapping.offset();
        let mapping = start..start.saturating_add(record.mapping.rest().len());
        let encoded = |name| Encoded { name_ref, name, func_hash, files_ref, mapping, is_dummy };
        match self.index.entry(name_ref) {
            Entry::Vacant(entry) => {
                entry.insert(self.functions.len());
                let start = self.texts.len();
                self.texts.extend_from_slice(self.names.get(name_ref).unwrap_or_default());
                self.functions.push(encoded(start..self.texts.len()));
            }
            Entry::Occupied(entry) => {
                if let Some(known) = self.functions.get_mut(*entry.get())
                    && known.is_dummy
                    && !is_dummy
                {
                    *known = encoded(known.name.clone());
                }
            }
        }
    }
}

/// The records of a section up to a damaged one, and what is wrong with that.
fn records(section: &[u8], endianness: Endianness) -> (Vec<Record<'_>>, Option<Fault>) {
    let (mut cursor, mut records) = (Cursor::new(section, 0), Vec::new());
    while !cursor.is_empty() {
        // Linkers pad with zeros; a record has a name.
        let mut padding = cursor.rest().iter().take(RECORD_BYTES);
        if padding.all(|byte| *byte == 0) {
            let _ = cursor.take(cursor.rest().len().min(8));
            continue;
        }
        match Record::take(&mut cursor, endianness) {
            Ok(record) => records.push(record),
            Err(fault) => return (records, Some(fault)),
        }
    }
    (records, None)
}

struct Record<'a> {
    offset: usize,
    name_ref: NameRef,
    func_hash: u64,
    files_ref: u64,
    mapping: Cursor<'a>,
}

impl<'a> Record<'a> {
    /// Takes a record and its padding.
    fn take(cursor: &mut Cursor<'a>, endianness: Endianness) -> Result<Self, Fault> {
        let offset = cursor.offset();
        let name_ref = NameRef::new(cursor.u64(endianness)?);
        let size = cursor.u32(endianness)?;
        let func_hash = cursor.u64(endianness)?;
        let files_ref = cursor.u64(endianness)?;
        let len = usize::try_from(size).map_err(|error| cursor.fault(error.to_string()))?;
        let mapping_offset = cursor.offset();
        let mapping = Cursor::new(cursor.take(len)?, mapping_offset);
        files::skip_padding(cursor)?;
        Ok(Self { offset, name_ref, func_hash, files_ref, mapping })
    }
}
