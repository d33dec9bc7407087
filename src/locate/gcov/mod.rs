//! Counters of gcov: what `--coverage` of GCC, and of clang, leaves in an image.
//!
//! What enters is an [`Image`] and its [`Slide`], or memory of a target; what leaves is the [`CounterRegion`]s to read
//! from the target and a [`GcovImage`], what the counters count. Nothing of gcov need run in the target: all that a
//! `.gcda` file says beside the counters is constant when the image is linked, and found by its shape, also in an image
//! that is stripped.
//!
//! What always holds: all counters of all functions are in the regions, each in its own bytes.

mod clang;
mod error;
pub mod layout;
mod lists;
mod memory;
mod objects;
mod regions;

use std::fmt;

use covtap_link::{Endianness, PointerWidth};

use super::CounterRegion;
use crate::image::{Image, ImageAddr, ImageType, Slide};

pub use error::GcovError;
pub use layout::{CounterKind, Dialect, Layout, MergeFn, Version};
pub use memory::Piece;

use memory::Memory;
use objects::{COUNTER_BYTES, CountersDraft, Draft, FunctionDraft, Misfit, Objects, Slot};
use regions::{Array, Regions};

/// How many structures that do not fit are told one by one: memory may hold any number of them.
const MAX_LEFT_OUT: usize = 16;

/// What was found in an image.
#[derive(Clone, Debug)]
pub struct Located {
    /// The counters, by address.
    pub regions: Vec<CounterRegion>,
    /// What they count.
    pub image: GcovImage,
    /// What is to be known about the result.
    pub cautions: Vec<Caution>,
}

/// Something that the image alone cannot settle.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Caution {
    /// A compiler that is newer than all known here: its structures fit the newest layout without exception.
    NewerVersion(Version),
    /// What looks like an object's `gcov_info` does not fit and is left out.
    LeftOut {
        /// Where it is.
        address: ImageAddr,
        /// The file that it is written to.
        filename: Vec<u8>,
        /// What does not fit.
        detail: String,
    },
    /// There are so many more that only their number is told.
    MoreLeftOut {
        /// How many.
        objects: usize,
    },
    /// Counters of clang without a table that tells whose they are, because it was optimised away: they are left out.
    WithoutTable {
        /// How many functions have such counters.
        functions: usize,
    },
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewerVersion(version) => {
                write!(
                    f,
                    "GCC {version} is newer than all that are known; its structures fit those of the newest one"
                )
            }
            Self::LeftOut { address, filename, detail } => {
                let filename = filename.escape_ascii();
                write!(
                    f,
                    "the counters for {filename} are left out: its gcov_info at {address} does not fit: {detail}"
                )
            }
            Self::MoreLeftOut { objects } => {
                write!(f, "{objects} more that look like a gcov_info do not fit and are left out")
            }
            Self::WithoutTable { functions } => {
                write!(
                    f,
                    "the counters of {functions} functions are left out: clang, which optimised them, keeps no table"
                )
            }
        }
    }
}

/// The static side of an image's `.gcda` files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GcovImage {
    /// What messages call the image.
    pub name: String,
    /// The order of the bytes in a counter.
    pub endianness: Endianness,
    /// The width of a pointer, of which lists of most frequent values are made.
    pub pointer_width: PointerWidth,
    /// The object files, by the addresses of their structures.
    pub objects: Vec<Object>,
}

/// What one object file has counters for, and the file they go to (`gcov_info`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Whose it is, and so what its file looks like.
    pub dialect: Dialect,
    /// The compiler's version.
    pub version: Version,
    /// By which a `.gcno` file of the same compilation is known.
    pub stamp: u32,
    /// The checksum of the object's functions, from GCC 12 on.
    pub checksum: Option<u32>,
    /// The name of the `.gcda` file as the image has it: not to be trusted, and not always UTF-8.
    pub filename: Vec<u8>,
    /// The functions, in the file's order; `None` for one that the linker took from another object, or dropped. In
    /// the file that is a function without content.
    pub functions: Vec<Option<Function>>,
}

/// A function (`gcov_fn_info`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its number in the object.
    pub ident: u32,
    /// The checksum of its line and name.
    pub lineno_checksum: u32,
    /// The checksum of its flow graph.
    pub cfg_checksum: u32,
    /// Its counters, one for each kind that the object has, by index: also where the function has none of them.
    pub counters: Vec<Counters>,
}

/// Counters of one kind of one function (`gcov_ctr_info`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counters {
    /// The kind's index in the compiler's table, of which the tag in the file is made.
    pub index: usize,
    /// What they count.
    pub kind: CounterKind,
    /// How those of two runs combine.
    pub merge: MergeFn,
    /// How many there are, each of eight bytes.
    pub num: u32,
    /// Where they are; `None` if there are none.
    pub place: Option<Place>,
}

/// Where counters are in what was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The index of the region.
    pub region: usize,
    /// In bytes from the region's start.
    pub offset: usize,
}

impl Counters {
    /// Their bytes in a reading of all regions; `None` if it is of other regions.
    #[must_use]
    pub fn bytes<'r>(&self, regions: &'r [Vec<u8>]) -> Option<&'r [u8]> {
        let Some(Place { region, offset }) = self.place else { return Some(&[]) };
        let len = usize::try_from(len_bytes(self.num)).ok()?;
        regions.get(region)?.get(offset..offset.checked_add(len)?)
    }
}

fn len_bytes(num: u32) -> u64 {
    u64::from(num).saturating_mul(COUNTER_BYTES)
}

/// What is looked at, and what its results are told in.
struct Subject<'a> {
    name: &'a str,
    endianness: Endianness,
    pointer_width: PointerWidth,
    /// The file whose symbols tell what is between counters.
    image: Option<&'a Image>,
    slide: Slide,
}

/// Finds the counters of an image that is loaded with `slide`, and what they count.
///
/// # Errors
///
/// The image is not instrumented for gcov, or its structures are damaged; the variants of [`GcovError`] say which.
pub fn locate(image: &Image, slide: Slide) -> Result<Located, GcovError> {
    let name = image.name();
    if image.image_type() == ImageType::Relocatable {
        return Err(GcovError::Relocatable { image: name.to_owned() });
    }
    let memory = Memory::of(image);
    let (endianness, pointer_width) = (image.endianness(), image.pointer_width());
    located(&Subject { name, endianness, pointer_width, image: Some(image), slide }, &memory)
}

/// Finds the counters in memory that was read from a target, and what they count: for images that have no data, or
/// where there is no image at all. `name` is what messages say that the memory is of.
///
/// A structure is found if it is in one piece, and only together with its counters: what borders on each other is to
/// be one piece, and what the target has for `.bss` a part of it. The memory need not be read at one moment. Copies
/// that start-up code leaves, such as `.data` in flash memory, are told apart. Addresses in the result, also those that
/// errors and cautions name, are the target's.
///
/// # Errors
///
/// There are no structures of gcov, or they are damaged; the variants of [`GcovError`] say which.
pub fn locate_in_memory(
    name: &str,
    pieces: &[Piece<'_>],
    endianness: Endianness,
    pointer_width: PointerWidth,
) -> Result<Located, GcovError> {
    let memory = Memory::of_pieces(pieces, endianness, pointer_width);
    let slide = Slide::ZERO;
    located(&Subject { name, endianness, pointer_width, image: None, slide }, &memory)
}

fn located(subject: &Subject<'_>, memory: &Memory<'_>) -> Result<Located, GcovError> {
    let name = || subject.name.to_owned();
    let found = objects::find(memory).map_err(|_| GcovError::Implausible { image: name() })?;
    let Objects { fitting, misfits } = found;
    if fitting.is_empty() {
        return Err(nothing(subject, misfits));
    }
    let regions = Regions::of(subject, arrays(&fitting))?;
    let mut cautions = cautions(&fitting, misfits);
    cautions.extend(without_table(subject, &regions));
    let objects = fitting.into_iter().map(|draft| object(draft, &regions)).collect();
    let Subject { endianness, pointer_width, .. } = *subject;
    Ok(Located {
        image: GcovImage { name: name(), endianness, pointer_width, objects },
        regions: regions.loaded(subject)?,
        cautions,
    })
}

/// Says which case of "no counters" it is.
fn nothing(subject: &Subject<'_>, misfits: Vec<Misfit>) -> GcovError {
    const CLANG_PREFIXES: [&str; 2] = ["__llvm_gcov_", "llvm_gcda_"];
    let name = subject.name.to_owned();
    if let Some(Misfit { address, version, filename, detail }) = misfits.into_iter().next() {
        let (address, filename) = (ImageAddr::new(address), filename.escape_ascii().to_string());
        return GcovError::Object { image: name, address, version, filename, detail };
    }
    let is_clang = |symbol: &&str| CLANG_PREFIXES.iter().any(|prefix| symbol.starts_with(prefix));
    let mut symbols = subject.image.into_iter().flat_map(Image::symbols).map(|symbol| symbol.name);
    match symbols.find(is_clang) {
        Some(symbol) => GcovError::Clang { image: name, evidence: format!("symbol {symbol}") },
        None if subject.image.is_none() => GcovError::NotInMemory { image: name },
        None => GcovError::NotInstrumented { image: name },
    }
}

/// Counters that clang's symbols name and no table does.
fn without_table(subject: &Subject<'_>, regions: &Regions) -> Option<Caution> {
    let symbols = subject.image.into_iter().flat_map(Image::symbols);
    let counters = symbols.filter(|symbol| symbol.name.starts_with("__llvm_gcov_ctr"));
    let functions = counters.filter(|symbol| regions.place(symbol.address.get()).is_none()).count();
    (functions > 0).then_some(Caution::WithoutTable { functions })
}

fn cautions(drafts: &[Draft], misfits: Vec<Misfit>) -> Vec<Caution> {
    let mut cautions = Vec::new();
    for version in drafts.iter().map(|draft| draft.version).filter(|version| !version.is_known()) {
        let caution = Caution::NewerVersion(version);
        // A program has a handful of compilers.
        if !cautions.contains(&caution) {
            cautions.push(caution);
        }
    }
    let more = misfits.len().saturating_sub(MAX_LEFT_OUT);
    cautions.extend(misfits.into_iter().take(MAX_LEFT_OUT).map(
        |Misfit { address, filename, detail, .. }| Caution::LeftOut {
            address: ImageAddr::new(address),
            filename,
            detail,
        },
    ));
    cautions.extend((more > 0).then_some(Caution::MoreLeftOut { objects: more }));
    cautions
}

/// Where all the counters are.
fn arrays(drafts: &[Draft]) -> Vec<Array> {
    let slots = drafts.iter().flat_map(|draft| &draft.slots);
    let functions = slots.filter_map(|slot| match slot {
        Slot::Own(function) => Some(function),
        Slot::Null | Slot::Lost { .. } => None,
    });
    let counters = functions.flat_map(|function| &function.counters).filter(|counters| counters.num > 0);
    let array = |counters: &CountersDraft| Array {
        start: counters.address,
        len_bytes: len_bytes(counters.num),
        rule: regions::rule(counters.kind),
    };
    counters.map(array).collect()
}

fn object(draft: Draft, regions: &Regions) -> Object {
    let Draft { dialect, version, stamp, checksum, filename, slots, table: _ } = draft;
    let function = |slot| match slot {
        Slot::Own(draft) => Some(function(draft, regions)),
        Slot::Null | Slot::Lost { .. } => None,
    };
    let functions = slots.into_iter().map(function).collect();
    Object { dialect, version, stamp, checksum, filename, functions }
}

fn function(draft: FunctionDraft, regions: &Regions) -> Function {
    let FunctionDraft { ident, lineno_checksum, cfg_checksum, counters } = draft;
    let counters = counters.into_iter().map(|counters| {
        let CountersDraft { index, kind, merge, num, address } = counters;
        let place = if num == 0 { None } else { regions.place(address) };
        Counters { index, kind, merge, num, place }
    });
    Function { ident, lineno_checksum, cfg_checksum, counters: counters.collect() }
}
