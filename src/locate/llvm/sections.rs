//! Finds LLVM's sections: by section name first, by the linker's `__start_` and `__stop_` symbols second.
//!
//! Names first, because `__start_X` exists only where something refers to it, and custom linker scripts usually
//! lack it. Symbols second, for scripts that put the input sections into `.bss` or `.data`.
//! Source of the names: `INSTR_PROF_*_COMMON` in `InstrProfData.inc`, llvmorg-19.1.7; `__llvm_covdata` and
//! `__llvm_covnames` are binary correlation's.

use std::borrow::Cow;

use super::LocateError;
use crate::image::{Image, ImageAddr, ImageType, Symbol};

pub(in crate::locate) const COUNTERS: &str = "__llvm_prf_cnts";
pub(super) const DATA: &str = "__llvm_prf_data";
pub(super) const NAMES: &str = "__llvm_prf_names";
pub(super) const BITMAP: &str = "__llvm_prf_bits";
pub(super) const VTABLES: &str = "__llvm_prf_vtab";
pub(super) const CORRELATED_DATA: &str = "__llvm_covdata";
pub(super) const CORRELATED_NAMES: &str = "__llvm_covnames";

/// A variable that holds how far counters were moved at run time, and the default that a profiling runtime brings
/// for it, which no code reads: where no compiler emitted the variable, it is the default's alias.
type BiasNames = (&'static str, &'static str);

const COUNTER_BIAS: BiasNames = ("__llvm_profile_counter_bias", "__llvm_profile_counter_bias_default");
/// LLVM moves bitmaps since its release 20.
const BITMAP_BIAS: BiasNames = ("__llvm_profile_bitmap_bias", "__llvm_profile_bitmap_bias_default");

/// A section that was found.
#[derive(Clone, Debug)]
pub(super) struct Found<'a> {
    pub(super) name: &'static str,
    pub(super) address: ImageAddr,
    pub(super) len_bytes: u64,
    /// Whether the file has bytes for it.
    pub(super) is_in_file: bool,
    /// `None` where the file has none, and for counters: what they are in the file is of no interest, and may be much.
    bytes: Option<Cow<'a, [u8]>>,
}

impl<'a> Found<'a> {
    pub(super) fn bytes(&self, image: &Image) -> Result<&[u8], LocateError> {
        self.bytes.as_deref().ok_or_else(|| LocateError::NotInFile {
            image: image.name().to_owned(),
            section: self.name.to_owned(),
        })
    }

    fn by_name(image: &'a Image, name: &'static str) -> Result<Option<Self>, LocateError> {
        let mut sections =
            image.sections().filter(|section| section.name() == name && section.len_bytes() > 0);
        let Some(section) = sections.next() else { return Ok(None) };
        let more = sections.count();
        if more > 0 {
            return Err(LocateError::SeveralSections {
                image: image.name().to_owned(),
                section: name.to_owned(),
                count: more.saturating_add(1),
            });
        }
        section.check_in_file()?;
        let is_in_file = !section.is_nobits();
        let bytes = (is_in_file && name != COUNTERS).then(|| section.data()).transpose()?;
        let len_bytes = bytes.as_ref().map_or(section.len_bytes(), |bytes| bytes.len() as u64);
        Ok(Some(Self { name, address: section.address(), len_bytes, is_in_file, bytes }))
    }

    fn by_symbols(image: &'a Image, name: &'static str) -> Option<Self> {
        let start = image.symbol(&format!("__start_{name}"))?.address;
        let stop = image.symbol(&format!("__stop_{name}"))?.address;
        let len_bytes = stop.get().checked_sub(start.get()).filter(|len| *len > 0)?;
        let bytes = image.bytes_at(start, len_bytes).map(Cow::Borrowed);
        Some(Self { name, address: start, len_bytes, is_in_file: bytes.is_some(), bytes })
    }
}

/// Finds a section; `None` if it is absent or empty.
pub(super) fn find<'a>(image: &'a Image, name: &'static str) -> Result<Option<Found<'a>>, LocateError> {
    match Found::by_name(image, name)? {
        Some(found) => Ok(Some(found)),
        None => Ok(Found::by_symbols(image, name)),
    }
}

/// What an image needs for its counters to be understood.
#[derive(Debug)]
pub(super) struct Sections<'a> {
    pub(super) counters: Found<'a>,
    /// Absent where only debug information may tell what is counted.
    pub(super) told: Option<Told<'a>>,
    pub(super) bitmap: Option<Found<'a>>,
    pub(super) vtables: Option<Found<'a>>,
}

/// What tells what is counted.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) data: Found<'a>,
    pub(super) names: Found<'a>,
    /// The data records are for binary correlation: their pointers are absolute in every version.
    pub(super) is_correlated: bool,
}

impl<'a> Sections<'a> {
    pub(super) fn find(image: &'a Image) -> Result<Self, LocateError> {
        let name = || image.name().to_owned();
        if image.image_type() == ImageType::Relocatable {
            return Err(LocateError::Relocatable { image: name() });
        }
        let counters = find(image, COUNTERS)?;
        let (data, is_correlated) = data(image)?;
        let counters = match (counters, &data) {
            (Some(counters), _) => counters,
            (None, Some(data)) => {
                return Err(LocateError::NoCounters { image: name(), section: data.name.to_owned() });
            }
            (None, None) => return Err(nothing(image)),
        };
        let told = data.map(|data| Told::with(image, data, is_correlated)).transpose()?;
        let (bitmap, vtables) = (find(image, BITMAP)?, find(image, VTABLES)?);
        Ok(Self { counters, told, bitmap, vtables })
    }
}

/// The data records, and whether they are for binary correlation. A script may pad where there are none.
fn data(image: &Image) -> Result<(Option<Found<'_>>, bool), LocateError> {
    let is_padding =
        |found: &Found<'_>| found.bytes.as_ref().is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
    match find(image, DATA)?.filter(|found| !is_padding(found)) {
        Some(data) => Ok((Some(data), false)),
        None => Ok((find(image, CORRELATED_DATA)?, true)),
    }
}

impl<'a> Told<'a> {
    fn with(image: &'a Image, data: Found<'a>, is_correlated: bool) -> Result<Self, LocateError> {
        match find(image, if is_correlated { CORRELATED_NAMES } else { NAMES })? {
            Some(names) => Ok(Self { data, names, is_correlated }),
            None => {
                Err(LocateError::NoNames { image: image.name().to_owned(), section: data.name.to_owned() })
            }
        }
    }
}

/// The names of an image's functions, or its counters, where debug information has the names.
pub(super) fn names(image: &Image) -> Result<Names<'_>, LocateError> {
    let counters = find(image, COUNTERS)?;
    if let (Some(counters), (None, _)) = (counters, data(image)?) {
        return Ok(Names::OfCounters(counters));
    }
    for section in [NAMES, CORRELATED_NAMES] {
        if let Some(names) = find(image, section)? {
            return Ok(Names::Section(names));
        }
    }
    Err(nothing(image))
}

/// Where the names of an image's functions are.
#[derive(Debug)]
pub(super) enum Names<'a> {
    /// In a section of their own.
    Section(Found<'a>),
    /// In the debug information of these counters, if anywhere.
    OfCounters(Found<'a>),
}

/// The variable by which the image's code moves its counters, if it does.
pub(super) fn counter_bias(image: &Image) -> Option<Symbol<'_>> {
    bias(image, COUNTER_BIAS)
}

/// The variable by which the image's code moves its bitmaps, if it does.
pub(super) fn bitmap_bias(image: &Image) -> Option<Symbol<'_>> {
    bias(image, BITMAP_BIAS)
}

fn bias(image: &Image, (used, default): BiasNames) -> Option<Symbol<'_>> {
    let default = image.symbol(default).map(|symbol| symbol.address);
    image.symbol(used).filter(|symbol| Some(symbol.address) != default)
}

/// Says which case of "no counters" it is.
fn nothing(image: &Image) -> LocateError {
    let name = image.name().to_owned();
    if image.is_stripped_of_names() {
        return LocateError::Stripped { image: name };
    }
    for section in ["__llvm_covmap", "__llvm_covfun"] {
        if image.section(section).is_some() {
            return LocateError::MappingOnly { image: name, section: section.to_owned() };
        }
    }
    match gcov_evidence(image) {
        Some(evidence) => LocateError::Gcov { image: name, evidence },
        None => LocateError::NotInstrumented { image: name },
    }
}

/// gcc's and clang's gcov instrumentation leave calls into libgcov or its replacement, counters named after
/// their function, or, in a stripped image, the full names of the files to write.
fn gcov_evidence(image: &Image) -> Option<String> {
    const PREFIXES: [&str; 4] = ["__gcov_", "__gcov0.", "__llvm_gcov_", "llvm_gcda_"];
    if let Some(symbol) =
        image.symbols().find(|symbol| PREFIXES.iter().any(|prefix| symbol.name.starts_with(prefix)))
    {
        return Some(format!("symbol {}", symbol.name));
    }
    let constants = image.sections().filter(|s| s.is_loaded() && !s.is_writable() && !s.is_executable());
    constants
        .filter(|section| section.file_bytes().is_ok_and(|bytes| bytes.split(|b| *b == 0).any(is_gcda_path)))
        .map(|section| format!("a .gcda file name in {}", section.name()))
        .next()
}

/// Compilers make the name absolute. The mere word is in every tool that knows such files, as this one.
fn is_gcda_path(text: &[u8]) -> bool {
    let stem = text.strip_suffix(b".gcda").and_then(|stem| std::str::from_utf8(stem).ok());
    stem.is_some_and(|stem| {
        let is_absolute = matches!(stem.as_bytes(), [b'/', _, ..] | [b'A'..=b'Z' | b'a'..=b'z', b':', _, ..]);
        is_absolute && !stem.ends_with('/') && !stem.contains(char::is_control)
    })
}

#[cfg(test)]
mod tests {
    use super::is_gcda_path;

    #[test]
    fn only_the_full_name_of_a_file_is_a_sign_of_gcov() {
        for path in ["/a.gcda", "/checkout/me/b c.gcda", "C:/build/a.gcda", "/tmp/\u{e9}t\u{e9}.gcda"] {
            assert!(is_gcda_path(path.as_bytes()), "{path}");
        }
        for text in
            ["", ".gcda", "a .gcda", "/.gcda", "/tmp/.gcda", "/a.gcda file", "\n/a\u{1}.gcda", "C:.gcda"]
        {
            assert!(!is_gcda_path(text.as_bytes()), "{text}");
        }
    }
}
