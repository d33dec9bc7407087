//! What a report has to say beyond its figures: what will not work, what should be known, what costs too much.

use std::fmt;

use serde::Serialize;

use super::{Report, Role};
use crate::locate::frozen::{Frozen, FrozenUnits};
use crate::locate::gcov::{self, GcovError};
use crate::locate::llvm::{Caution, LocateError};
use crate::locate::{self, Located};

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// No counters can be read.
    Problem,
    /// Counters are read, and less can be known than usual, or only under a condition.
    Caution,
    /// The target pays for something that it does not need.
    Saving,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Problem => "problem",
            Self::Caution => "caution",
            Self::Saving => "saving",
        })
    }
}

/// Something to know about an image. Its text is one lower-case line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The counters cannot be found or understood.
    #[error(transparent)]
    Locate(locate::Error),
    /// What the image alone cannot settle about its counters.
    #[error("{}", caution_text(.0))]
    Caution(Caution),
    /// The same about those of gcov.
    #[error("{0}")]
    GcovCaution(gcov::Caution),
    /// The compiler may keep counters of loops in registers.
    #[error("{0}")]
    Frozen(FrozenUnits),
    /// The compiler may do that, and did not record whether.
    #[error(
        "whether counts of loops are in memory while they run is not known: the compiler's options are not recorded"
    )]
    FrozenUnknown,
    /// Nothing in the image names it.
    #[error("it has no build id: a target is told from others by samples of its code alone")]
    NoBuildId,
    /// The build id's note is not in the target's memory.
    #[error("its build id is not loaded: a target is told from others by samples of its code alone")]
    BuildIdNotLoaded,
    /// Counts cannot be brought to source lines.
    #[error("it has no coverage mapping: counters can be read, and not be shown on source")]
    NoMapping,
    /// Where it runs is not known from the file.
    #[error("it is position-independent: where its counters are depends on where it is loaded")]
    PositionIndependent,
    /// Counters begin at zero, and yet the image stores them.
    #[error("{bytes} bytes of zeros are stored in the image for counters and bitmaps")]
    CountersInImage {
        /// How many.
        bytes: u64,
    },
    /// The target carries what only the host reads.
    #[error("{bytes} bytes of the target's memory hold what only the host reads: {sections}")]
    MetadataLoaded {
        /// How many.
        bytes: u64,
        /// The sections' names.
        sections: String,
        /// Whether counters are bytes that begin at 0xff, so that they must stay in the image.
        is_byte_coverage: bool,
    },
    /// The target carries the structures of gcov, which only the host reads.
    #[error("{bytes} bytes of the target's memory hold gcov's structures, which only the host reads")]
    StructuresLoaded {
        /// How many.
        bytes: u64,
    },
    /// The target carries what a profiling runtime would use, and has none.
    #[error("{bytes} bytes of the target's memory are for value profiles, which no runtime fills")]
    ValuesLoaded {
        /// How many.
        bytes: u64,
    },
}

impl Finding {
    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Locate(_) => Severity::Problem,
            Self::CountersInImage { .. }
            | Self::MetadataLoaded { .. }
            | Self::StructuresLoaded { .. }
            | Self::ValuesLoaded { .. } => Severity::Saving,
            _ => Severity::Caution,
        }
    }

    /// A stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Locate(locate::Error::Llvm(error)) => locate_code(error),
            Self::Locate(locate::Error::Gcov(error)) => gcov_code(error),
            Self::Caution(Caution::ValueSitesNotRead) => "value-sites-not-read",
            Self::Caution(Caution::StoredAfterLoops) => "stored-after-loops",
            Self::Caution(Caution::RelocatedAtRunTime) => "runtime-relocation",
            Self::Caution(Caution::UnknownCounters) => "unknown-counters",
            Self::Caution(Caution::UnknownBitmaps) => "unknown-bitmaps",
            Self::Caution(Caution::AssumedVersion) => "assumed-version",
            Self::GcovCaution(gcov::Caution::NewerVersion(_)) => "newer-gcc",
            Self::GcovCaution(gcov::Caution::LeftOut { .. } | gcov::Caution::MoreLeftOut { .. }) => {
                "gcov-object-left-out"
            }
            Self::GcovCaution(gcov::Caution::WithoutTable { .. }) => "gcov-without-table",
            Self::Frozen(_) => "loops-in-registers",
            Self::FrozenUnknown => "loops-unknown",
            Self::NoBuildId => "no-build-id",
            Self::BuildIdNotLoaded => "build-id-not-loaded",
            Self::NoMapping => "no-mapping",
            Self::PositionIndependent => "position-independent",
            Self::CountersInImage { .. } => "counters-in-image",
            Self::MetadataLoaded { .. } => "metadata-loaded",
            Self::StructuresLoaded { .. } => "gcov-structures-loaded",
            Self::ValuesLoaded { .. } => "values-loaded",
        }
    }
}

fn gcov_code(error: &GcovError) -> &'static str {
    match error {
        GcovError::NotInstrumented { .. } | GcovError::NotInMemory { .. } => "not-instrumented",
        GcovError::Clang { .. } => "gcov",
        GcovError::Relocatable { .. } => "relocatable",
        GcovError::NoRange { .. } => "no-range",
        GcovError::Object { .. } | GcovError::Overlap { .. } | GcovError::Implausible { .. } => {
            "damaged-gcov"
        }
    }
}

fn caution_text(caution: &Caution) -> &'static str {
    match caution {
        Caution::ValueSitesNotRead => "the compiler also profiles values",
        Caution::StoredAfterLoops => "it may keep counts in registers while a loop runs",
        Caution::RelocatedAtRunTime => "it counts elsewhere than in its sections if start-up code says so",
        Caution::UnknownCounters => "debug information does not tell of all counters what they count",
        Caution::UnknownBitmaps => "debug information does not tell whose its MC/DC bitmaps are",
        Caution::AssumedVersion => "neither it nor its debug information tells the raw profile version",
    }
}

fn locate_code(error: &LocateError) -> &'static str {
    match error {
        LocateError::NotInstrumented { .. } => "not-instrumented",
        LocateError::MappingOnly { .. } => "mapping-only",
        LocateError::Gcov { .. } => "gcov",
        LocateError::Stripped { .. } => "stripped",
        LocateError::Relocatable { .. } => "relocatable",
        LocateError::NoCounters { .. } => "no-counters",
        LocateError::NoData { .. } => "no-data",
        LocateError::SplitDebugInfo { .. } => "split-debug-info",
        LocateError::DebugInfo { .. } => "damaged-debug-info",
        LocateError::NoNames { .. } => "no-names",
        LocateError::NotInFile { .. } => "not-in-file",
        LocateError::ByteCountersNotInFile { .. } => "byte-counters-not-in-file",
        LocateError::SeveralSections { .. } => "several-sections",
        LocateError::UnknownVersion { .. } => "unknown-version",
        LocateError::Record { .. } => "damaged-data",
        LocateError::Names { .. } => "damaged-names",
        LocateError::NoRange { .. } => "no-range",
        LocateError::Image(_) => "damaged-elf",
    }
}

/// Everything there is to say about `report`, what matters most first.
pub(super) fn all(report: &Report, located: Result<Located, locate::Error>, frozen: Frozen) -> Vec<Finding> {
    let Located { llvm, gcov, left_out } = match located {
        Ok(located) => located,
        // Of an image without counters nothing else matters.
        Err(error) => return vec![Finding::Locate(error)],
    };
    let is_byte_coverage = llvm.as_ref().is_some_and(|located| located.image.is_byte_coverage());
    let mut findings: Vec<Finding> = left_out.into_iter().map(Finding::Locate).collect();
    findings.extend(llvm.into_iter().flat_map(|located| located.cautions).map(Finding::Caution));
    findings.extend(gcov.into_iter().flat_map(|located| located.cautions).map(Finding::GcovCaution));
    match frozen {
        Frozen::No => {}
        Frozen::Maybe(units) => findings.push(Finding::Frozen(units)),
        Frozen::Unknown => findings.push(Finding::FrozenUnknown),
    }
    findings.extend(about_the_link(report));
    // Programs with a runtime are not linked by a script that could be given.
    if !report.has_runtime {
        findings.extend(counters_in_image(report, is_byte_coverage));
        findings.extend(values_loaded(report));
    }
    findings.extend(metadata_loaded(report, is_byte_coverage));
    findings.extend(structures_loaded(report));
    findings
}

/// What may be missing of the image as a whole.
fn about_the_link(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &report.build_id {
        None => findings.push(Finding::NoBuildId),
        Some(id) if id.address.is_none() => findings.push(Finding::BuildIdNotLoaded),
        Some(_) => {}
    }
    if report.instrumentation.is_some() && report.mapping.is_none() {
        findings.push(Finding::NoMapping);
    }
    if report.image_type == "position-independent" {
        findings.push(Finding::PositionIndependent);
    }
    findings
}

/// Bytes that begin at 0xff must be stored somewhere; wide counters and bitmaps need not.
fn counters_in_image(report: &Report, is_byte_coverage: bool) -> Option<Finding> {
    let is_zero = |role: Role| role == Role::Bitmap || (role == Role::Counters && !is_byte_coverage);
    let sections = report.sections.iter().filter(|section| is_zero(section.role));
    let bytes = sections.fold(0u64, |sum, section| sum.saturating_add(section.cost.image_bytes));
    (bytes > 0).then_some(Finding::CountersInImage { bytes })
}

fn values_loaded(report: &Report) -> Option<Finding> {
    let sections = report.sections.iter().filter(|section| section.role == Role::Values);
    let bytes = sections.fold(0u64, |sum, section| sum.saturating_add(section.cost.ram_bytes));
    (bytes > 0).then_some(Finding::ValuesLoaded { bytes })
}

fn metadata_loaded(report: &Report, is_byte_coverage: bool) -> Option<Finding> {
    let sections =
        || report.sections.iter().filter(|section| section.can_leave_target && section.within.is_none());
    let bytes = sections().fold(0u64, |sum, section| sum.saturating_add(section.len_bytes));
    let names: Vec<&str> = sections().map(|section| section.name).collect();
    (bytes > 0).then(|| Finding::MetadataLoaded { bytes, sections: names.join(", "), is_byte_coverage })
}

/// gcov's structures are within a section of other data.
fn structures_loaded(report: &Report) -> Option<Finding> {
    let sections =
        report.sections.iter().filter(|section| section.can_leave_target && section.within.is_some());
    let bytes = sections.fold(0u64, |sum, section| sum.saturating_add(section.len_bytes));
    (bytes > 0).then_some(Finding::StructuresLoaded { bytes })
}
