//! What an image has for gcov, and what that costs the target.
//!
//! What enters is what [`locate`](crate::locate::gcov) found; what leaves is the part of a report. What always holds:
//! lengths of structures are those of their layout; in which section they are is told by symbols or names of files,
//! and where nothing tells it they have no cost.

use std::collections::BTreeMap;

use memchr::memmem;
use serde::Serialize;

use super::sections::{Cost, Role, SectionCost};
use super::{Region, regions};
use crate::image::{Image, ImageAddr, Section, SymbolKind};
use crate::locate::frozen::Frozen;
use crate::locate::gcov::{CounterKind, GcovImage, Located, Object};

/// Where `-fprofile-info-section` puts pointers to the structures, and a linker script the structures.
const INFO_SECTION: &str = ".gcov_info";

/// The functions that GCC's start-up code and exit code of an instrumented object call.
const RUNTIME: [&str; 3] = ["__gcov_init", "__gcov_exit", "__gcov_dump"];

/// Instrumentation for gcov.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Gcov {
    /// The versions of the compilers, each once: `12.2`.
    pub versions: Vec<String>,
    /// The object files that were instrumented, in the order of their structures.
    pub objects: Vec<GcovObject>,
    /// The functions with counters of their own.
    pub functions: usize,
    /// The counters, by what they count.
    pub counters: Vec<KindCount>,
    /// The length of all counters.
    pub counter_bytes: u64,
    /// What is read from the target.
    pub regions: Vec<Region>,
    /// Whether counts of loops are in memory while they run: `yes`, `maybe-not`, or `unknown` where the compiler's
    /// options are not recorded.
    pub counts_loops_in_memory: &'static str,
    /// gcov's own functions, where they are linked in.
    pub runtime: Option<GcovRuntime>,
}

/// An object file that was instrumented.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GcovObject {
    /// The file that its counts go to, as the image names it.
    pub gcda: String,
    /// The functions with counters of their own. Others are another object's, or were dropped by the linker.
    pub functions: usize,
    /// The counters of these functions.
    pub counters: u64,
}

/// Counters of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KindCount {
    /// What they count: `arcs`, `conditions`, `paths` for coverage; others are values.
    pub kind: &'static str,
    /// How many there are.
    pub counters: u64,
}

/// gcov's own functions in the image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GcovRuntime {
    /// The length of those functions whose names show that they are gcov's; they call more.
    pub code_bytes: u64,
}

impl Gcov {
    pub(super) fn new(image: &Image, located: &Located, frozen: &Frozen) -> Self {
        let gcov = &located.image;
        let objects: Vec<GcovObject> = gcov.objects.iter().map(object).collect();
        let mut versions: Vec<String> = Vec::new();
        for version in gcov.objects.iter().map(|object| object.version.to_string()) {
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        let counters = counters(gcov);
        let total = counters.iter().fold(0u64, |sum, kind| sum.saturating_add(kind.counters));
        Self {
            versions,
            functions: objects.iter().map(|object| object.functions).sum(),
            objects,
            counters,
            counter_bytes: total.saturating_mul(8),
            regions: regions(&located.regions),
            counts_loops_in_memory: match frozen {
                Frozen::No => "yes",
                Frozen::Maybe(_) => "maybe-not",
                Frozen::Unknown => "unknown",
            },
            runtime: runtime(image),
        }
    }
}

fn object(object: &Object) -> GcovObject {
    let own = || object.functions.iter().flatten();
    let counters = own().flat_map(|function| &function.counters).map(|counters| u64::from(counters.num));
    GcovObject {
        gcda: String::from_utf8_lossy(&object.filename).into_owned(),
        functions: own().count(),
        counters: counters.fold(0, u64::saturating_add),
    }
}

fn counters(gcov: &GcovImage) -> Vec<KindCount> {
    let mut by_index: BTreeMap<(usize, &'static str), u64> = BTreeMap::new();
    let functions = gcov.objects.iter().flat_map(|object| object.functions.iter().flatten());
    for counters in functions.flat_map(|function| &function.counters) {
        let sum = by_index.entry((counters.index, kind(counters.kind))).or_default();
        *sum = sum.saturating_add(u64::from(counters.num));
    }
    by_index.into_iter().map(|((_, kind), counters)| KindCount { kind, counters }).collect()
}

fn kind(kind: CounterKind) -> &'static str {
    match kind {
        CounterKind::Arcs => "arcs",
        CounterKind::Interval => "intervals",
        CounterKind::Pow2 => "powers of two",
        CounterKind::TopN => "most frequent values",
        CounterKind::Delta => "differences",
        CounterKind::IndirectCall => "call targets",
        CounterKind::Average => "averages",
        CounterKind::Ior => "bits",
        CounterKind::TimeProfile => "first runs",
        CounterKind::IndirectCallTopN => "most frequent call targets",
        CounterKind::Conditions => "conditions",
        CounterKind::Paths => "paths",
    }
}

fn runtime(image: &Image) -> Option<GcovRuntime> {
    let is_code = |address: ImageAddr| {
        image.sections().any(|section| section.is_executable() && holds(&section, address))
    };
    RUNTIME.iter().find(|name| image.symbol(name).is_some_and(|symbol| is_code(symbol.address)))?;
    let is_own = |name: &str| name.starts_with("__gcov_") || name.starts_with("gcov_");
    let functions =
        image.symbols().filter(|symbol| symbol.kind == SymbolKind::Function && is_own(symbol.name));
    // An image that exports them has them in two tables.
    let lens: BTreeMap<u64, u64> = functions.map(|symbol| (symbol.address.get(), symbol.len_bytes)).collect();
    Some(GcovRuntime { code_bytes: lens.into_values().fold(0, u64::saturating_add) })
}

/// What the target has in its memory for gcov, part by part.
pub(super) fn sections(image: &Image, located: &Located, has_runtime: bool) -> Vec<SectionCost> {
    let part = |name, role, address, section: Option<Section<'_>>, len_bytes| {
        let section = section.filter(|_| len_bytes > 0)?;
        let is_loaded = section.is_loaded();
        Some(SectionCost {
            name,
            within: Some(section.name().to_owned()),
            role,
            address: if is_loaded { address } else { None },
            len_bytes,
            cost: Cost::of(&section, len_bytes),
            can_leave_target: role == Role::Metadata && name == STRUCTURES && is_loaded && !has_runtime,
        })
    };
    let objects = &located.image.objects;
    let counters =
        located.regions.iter().fold(0u64, |sum, region| sum.saturating_add(region.range.len_bytes()));
    let first = located.regions.first().map(|region| ImageAddr::new(region.range.start().get()));
    let structures_len = objects.iter().fold(0u64, |sum, o| sum.saturating_add(structures_bytes(image, o)));
    let (structures_at, structures) = structures_section(image, structures_len);
    let names = objects.iter().fold(0u64, |sum, o| sum.saturating_add(o.filename.len() as u64 + 1));
    [
        part(
            "gcov counters",
            Role::Counters,
            first,
            first.and_then(|at| loaded_section(image, at)),
            counters,
        ),
        part(STRUCTURES, Role::Metadata, structures_at, structures, structures_len),
        part("gcov file names", Role::Metadata, None, names_section(image, objects), names),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a report calls `gcov_info` and what it points to.
const STRUCTURES: &str = "gcov structures";

/// The length of an object's `gcov_info`, of its array of functions and of its own functions.
fn structures_bytes(image: &Image, object: &Object) -> u64 {
    let pointer = image.pointer_width().bytes() as u64;
    let align = |len: u64| len.next_multiple_of(pointer);
    let merges = object.version.layout().map_or(0, |layout| layout.counters.len() as u64);
    let head =
        align(align(4).saturating_add(pointer).saturating_add(if object.checksum.is_some() { 8 } else { 4 }));
    let info = align(head.saturating_add(pointer.saturating_mul(merges.saturating_add(1))).saturating_add(4));
    let info = info.saturating_add(pointer);
    let array = pointer.saturating_mul(object.functions.len() as u64);
    let counters = |kinds: usize| align(4).saturating_add(pointer).saturating_mul(kinds as u64);
    let own =
        object.functions.iter().flatten().map(|function| {
            align(pointer.saturating_add(12)).saturating_add(counters(function.counters.len()))
        });
    own.fold(info.saturating_add(array), u64::saturating_add)
}

/// Where the structures are: in a section of their own, where a symbol shows one, or where compilers put them.
fn structures_section(image: &Image, len_bytes: u64) -> (Option<ImageAddr>, Option<Section<'_>>) {
    let own = image.section(INFO_SECTION).filter(|section| section.len_bytes() >= len_bytes);
    if own.is_some() {
        return (own.map(|section| section.address()), own);
    }
    let named = image.symbols().find(|symbol| symbol.name.starts_with("__gcov_."));
    match named.and_then(|symbol| Some((symbol.address, loaded_section(image, symbol.address)?))) {
        Some((at, section)) => (Some(at), Some(section)),
        None => (None, image.section(".data")),
    }
}

fn names_section<'a>(image: &'a Image, objects: &[Object]) -> Option<Section<'a>> {
    let name = [&objects.first()?.filename[..], &[0]].concat();
    let has_name =
        |section: &Section<'_>| section.file_bytes().is_ok_and(|bytes| memmem::find(bytes, &name).is_some());
    image.sections().filter(Section::is_loaded).find(has_name)
}

fn loaded_section(image: &Image, address: ImageAddr) -> Option<Section<'_>> {
    image.sections().find(|section| section.is_loaded() && holds(section, address))
}

fn holds(section: &Section<'_>, address: ImageAddr) -> bool {
    let offset = address.get().checked_sub(section.address().get());
    offset.is_some_and(|offset| offset < section.len_bytes())
}
