//! What is instrumented in an ELF, what that costs the target, and what will not work and why.
//!
//! What enters is an [`Image`]; what leaves is a [`Report`].
//!
//! What always holds:
//! - nothing fails: what cannot be read or will not work is a [`Finding`] of the report;
//! - lengths are the ELF's own; what it does not tell is absent, never 0;
//! - serialized, a report is the JSON of `covtap inspect --json`: the fields of these types by their names here.
//!   [`SCHEMA`] grows when a field goes away or changes its meaning; new fields may come without that.

mod finding;
mod gcov;
mod mapping;
mod sections;

use covtap_link::{Endianness, PointerWidth};
use serde::Serialize;

use crate::image::{Image, ImageAddr, ImageType, Slide};
use crate::locate::frozen::{self, Frozen};
use crate::locate::llvm::{self, Correlation, Variant};
use crate::locate::{self, CounterRegion};

pub use finding::{Finding, Severity};
pub use gcov::{Gcov, GcovObject, GcovRuntime, KindCount};
pub use mapping::Mapping;
pub use sections::{Cost, Role, SectionCost};

/// The version of the JSON form.
pub const SCHEMA: u32 = 1;

/// What an ELF says about its instrumentation.
#[derive(Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The ELF's name.
    pub file: String,
    /// The architecture, by LLVM's name.
    pub architecture: &'static str,
    /// `little` or `big`.
    pub byte_order: &'static str,
    /// The width of a pointer in bits.
    pub pointer_bits: u32,
    /// `fixed`, `position-independent`, `relocatable` or `other`.
    pub image_type: &'static str,
    /// The build id, where there is one.
    pub build_id: Option<LinkedBuildId>,
    /// The compilers and linkers that made it, as they name themselves.
    pub producers: Vec<String>,
    /// LLVM's instrumentation, where there is one that covtap reads.
    pub instrumentation: Option<Instrumentation>,
    /// gcov's instrumentation, where there is one that covtap reads. An image may have both.
    pub gcov: Option<Gcov>,
    /// The coverage mapping, where there is one: what leads from counters to source.
    pub mapping: Option<Mapping>,
    /// Whether LLVM's profiling runtime is linked in, which reads the metadata in the target.
    pub has_runtime: bool,
    /// The sections of the instrumentation, each with its cost.
    pub sections: Vec<SectionCost>,
    /// What all sections cost together. The code that counts is not in it: an ELF does not tell it from other code.
    pub cost: Cost,
    /// What will not work, or should be known. In the JSON they are `findings`, each with `severity`, `code`,
    /// `message` and `hint` (null where there is no next step).
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

/// A build id, and whether a target can be asked for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LinkedBuildId {
    /// The id in lower-case hex.
    pub id: String,
    /// Where its note is loaded; `None` if it is in the file only.
    #[serde(serialize_with = "hex_or_null")]
    pub address: Option<ImageAddr>,
}

/// LLVM instrumentation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Instrumentation {
    /// The raw profile version.
    pub raw_version: u64,
    /// The LLVM releases that read it: `19 to 22`.
    pub llvm_releases: &'static str,
    /// Where the compiler counts: `front-end` (for coverage), `ir` (for optimisation), or `unknown` where the
    /// ELF has neither a version word nor a coverage mapping.
    pub level: &'static str,
    /// Whether a counter is one byte, cleared when its code runs.
    pub is_byte_coverage: bool,
    /// Whether there are bitmaps for MC/DC.
    pub has_mcdc: bool,
    /// Where data and names are: `none` (in the sections of every profile), `binary` (in the ELF alone) or
    /// `debug-info` (in its debug information).
    pub correlation: &'static str,
    /// The functions with counters.
    pub functions: usize,
    /// The counters of all functions.
    pub counters: usize,
    /// The length of the MC/DC bitmaps of all functions.
    pub bitmap_bytes: usize,
    /// What is read from the target: the counters, then the bitmaps if there are any.
    pub regions: Vec<Region>,
}

/// A range of target memory that covtap reads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Region {
    /// The section or symbol it was found by.
    pub name: String,
    /// Where it is, before any slide.
    #[serde(serialize_with = "hex")]
    pub address: ImageAddr,
    /// Its length.
    pub len_bytes: u64,
    /// The width of one element.
    pub element_bytes: usize,
    /// Where the target keeps how far from `address` it counts, if it may count elsewhere.
    #[serde(serialize_with = "hex_or_null")]
    pub bias_address: Option<ImageAddr>,
}

impl Report {
    /// Looks at an image.
    #[must_use]
    pub fn new(image: &Image) -> Self {
        let located = locate::locate(image, Slide::ZERO);
        let llvm = located.as_ref().ok().and_then(|located| located.llvm.as_ref());
        let of_gcov = located.as_ref().ok().and_then(|located| located.gcov.as_ref());
        let frozen = of_gcov.map_or(Frozen::No, |located| frozen::of(image, &located.image));
        let gcov = of_gcov.map(|located| Gcov::new(image, located, &frozen));
        let has_runtime = image.symbol("__llvm_profile_write_file").is_some();
        let mut sections = sections::find(image, has_runtime);
        let has_libgcov = gcov.as_ref().is_some_and(|gcov| gcov.runtime.is_some());
        sections
            .extend(of_gcov.map(|located| gcov::sections(image, located, has_libgcov)).unwrap_or_default());
        let mapping = Mapping::find(image, llvm.map(|located| &located.image));
        let mut report = Self {
            schema: SCHEMA,
            file: image.name().to_owned(),
            architecture: image.architecture(),
            byte_order: match image.endianness() {
                Endianness::Little => "little",
                Endianness::Big => "big",
            },
            pointer_bits: match image.pointer_width() {
                PointerWidth::Bits32 => 32,
                PointerWidth::Bits64 => 64,
            },
            image_type: match image.image_type() {
                ImageType::Fixed => "fixed",
                ImageType::PositionIndependent => "position-independent",
                ImageType::Relocatable => "relocatable",
                ImageType::Other(_) => "other",
            },
            build_id: build_id(image),
            producers: image.producers().into_iter().map(str::to_owned).collect(),
            instrumentation: llvm.map(|located| instrumentation(image, located, mapping.is_some())),
            gcov,
            mapping,
            has_runtime,
            cost: sections.iter().map(|section| section.cost).sum(),
            sections,
            findings: Vec::new(),
        };
        report.findings = finding::all(&report, located, frozen);
        report
    }
}

fn build_id(image: &Image) -> Option<LinkedBuildId> {
    if let Some(loaded) = image.identity().build_id {
        return Some(LinkedBuildId { id: loaded.id.to_string(), address: Some(loaded.address) });
    }
    image.build_ids().first().map(|id| LinkedBuildId { id: id.to_string(), address: None })
}

fn instrumentation(image: &Image, located: &llvm::Located, has_mapping: bool) -> Instrumentation {
    let llvm = &located.image;
    let is_ir = llvm.variant().contains(Variant::IR_LEVEL);
    let is_stated = has_mapping || image.symbol(llvm::VERSION_SYMBOL).is_some();
    let records = llvm.records();
    Instrumentation {
        raw_version: llvm.version().number(),
        llvm_releases: llvm.version().llvm_releases(),
        level: match (is_ir, is_stated) {
            (true, _) => "ir",
            (false, true) => "front-end",
            (false, false) => "unknown",
        },
        is_byte_coverage: llvm.is_byte_coverage(),
        has_mcdc: records.iter().any(|record| record.num_bitmap_bytes > 0),
        correlation: match llvm.correlation() {
            Correlation::None => "none",
            Correlation::Binary => "binary",
            Correlation::DebugInfo => "debug-info",
        },
        functions: records.len(),
        counters: records.iter().map(|record| record.num_counters).sum(),
        bitmap_bytes: records.iter().map(|record| record.num_bitmap_bytes).sum(),
        regions: regions(&located.regions),
    }
}

fn regions(regions: &[CounterRegion]) -> Vec<Region> {
    let region = |region: &CounterRegion| Region {
        name: region.name.clone(),
        address: ImageAddr::new(region.range.start().get()),
        len_bytes: region.range.len_bytes(),
        element_bytes: region.element_bytes,
        bias_address: region.bias.map(|word| ImageAddr::new(word.range.start().get())),
    };
    regions.iter().map(region).collect()
}

/// Addresses are text in the JSON: a number of 64 bits does not survive every reader.
fn hex<S: serde::Serializer>(address: &ImageAddr, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn hex_or_null<S: serde::Serializer>(address: &Option<ImageAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_none(),
    }
}
