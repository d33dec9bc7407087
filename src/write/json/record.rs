//! The parts of the export, in the order in which their keys are written.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::Options;
use crate::coverage::{
    CountedRegion, Expansion, FileCoverage, FileName, FunctionCoverage, McdcRecord, RegionKind, Segment,
    Statistics, Tally,
};

/// A source file.
#[derive(Serialize)]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    branches: Option<Vec<Branch<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expansions: Option<Vec<ExpansionRecord<'a>>>,
    filename: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mcdc_records: Option<Vec<Mcdc<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<SegmentRecord>>,
    summary: Summary,
}

impl<'a> File<'a> {
    pub(super) fn new(file: &FileCoverage<'a>, statistics: Statistics, options: Options) -> Self {
        let with_detail = !options.summary_only;
        let expansions = || file.expansions().map(ExpansionRecord::new).collect();
        Self {
            branches: with_detail.then(|| file.counted_branches().map(Branch).collect()),
            expansions: (with_detail && !options.skip_expansions).then(expansions),
            filename: Text(file.name()),
            mcdc_records: with_detail.then(|| file.mcdc_records().map(Mcdc).collect()),
            segments: with_detail.then(|| file.segments().into_iter().map(SegmentRecord).collect()),
            summary: Summary::new(&statistics),
        }
    }
}

/// A function.
#[derive(Serialize)]
pub(super) struct Function<'a> {
    branches: Vec<Branch<'a>>,
    count: Count,
    filenames: Filenames<'a>,
    mcdc_records: Vec<Mcdc<'a>>,
    name: Text<'a>,
    regions: Regions<'a>,
}

impl<'a> Function<'a> {
    pub(super) fn new(function: &'a FunctionCoverage) -> Self {
        Self {
            branches: counted(&function.branches),
            count: Count(function.count),
            filenames: Filenames(&function.files),
            mcdc_records: function.mcdc_records.iter().map(Mcdc).collect(),
            name: Text(&function.name),
            regions: Regions(&function.regions),
        }
    }
}

/// An expansion of a macro or an include.
#[derive(Serialize)]
struct ExpansionRecord<'a> {
    branches: Vec<Branch<'a>>,
    filenames: Filenames<'a>,
    source_region: Region<'a>,
    target_regions: Regions<'a>,
}

impl<'a> ExpansionRecord<'a> {
    fn new(expansion: Expansion<'a>) -> Self {
        Self {
            branches: counted(expansion.branches),
            filenames: Filenames(&expansion.function.files),
            source_region: Region(expansion.region),
            target_regions: Regions(&expansion.function.regions),
        }
    }
}

/// The branches but for those that are folded.
fn counted<'a>(branches: impl IntoIterator<Item = &'a CountedRegion>) -> Vec<Branch<'a>> {
    branches.into_iter().filter(|branch| !branch.is_folded).map(Branch).collect()
}

/// Written without a list: each expansion of a function repeats those of all.
struct Filenames<'a>(&'a [FileName]);

impl Serialize for Filenames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|name| Text(name)))
    }
}

/// How much ran of a file, or of all.
#[derive(Serialize)]
pub(super) struct Summary {
    branches: Share,
    functions: Share,
    instantiations: Share,
    lines: Share,
    mcdc: Share,
    regions: Share,
}

impl Summary {
    pub(super) fn new(statistics: &Statistics) -> Self {
        Self {
            branches: Share::new(statistics.branches, true),
            functions: Share::new(statistics.functions, false),
            instantiations: Share::new(statistics.instantiations, false),
            lines: Share::new(statistics.lines, false),
            mcdc: Share::new(statistics.mcdc, true),
            regions: Share::new(statistics.regions, true),
        }
    }
}

#[derive(Serialize)]
struct Share {
    count: u64,
    covered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    notcovered: Option<i64>,
    percent: f64,
}

impl Share {
    fn new(tally: Tally, with_missed: bool) -> Self {
        let Tally { covered, total } = tally;
        // LLVM 19 may count more covered conditions than conditions, for it counts folded ones as covered.
        let missed = || total.wrapping_sub(covered).cast_signed();
        let percent = tally.percent().unwrap_or(0.0);
        Self { count: total, covered, notcovered: with_missed.then(missed), percent }
    }
}

/// Bytes that should be UTF-8; what is not is replaced.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match String::from_utf8_lossy(self.0) {
            Cow::Borrowed(text) => serializer.serialize_str(text),
            Cow::Owned(text) => serializer.serialize_str(&text),
        }
    }
}

/// A count, which has 63 bits here.
struct Count(u64);

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.min(i64::MAX.cast_unsigned()))
    }
}

struct SegmentRecord(Segment);

impl Serialize for SegmentRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Segment { start, count, has_count, is_region_entry, is_gap } = self.0;
        (start.line, start.col, Count(count), has_count, is_region_entry, is_gap).serialize(serializer)
    }
}

struct Regions<'a>(&'a [CountedRegion]);

impl Serialize for Regions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Region))
    }
}

struct Region<'a>(&'a CountedRegion);

impl Serialize for Region<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let CountedRegion { kind, start, end, file, count, .. } = *self.0;
        let expanded = if let RegionKind::Expansion { file } = kind { file } else { 0 };
        let extent = (start.line, start.col, end.line, end.col);
        (extent.0, extent.1, extent.2, extent.3, Count(count), file, expanded, kind.number())
            .serialize(serializer)
    }
}

struct Branch<'a>(&'a CountedRegion);

impl Serialize for Branch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let CountedRegion { kind, start, end, file, count, false_count, .. } = *self.0;
        let (if_true, if_false) = (Count(count), Count(false_count));
        // A branch expands nothing.
        (start.line, start.col, end.line, end.col, if_true, if_false, file, 0, kind.number())
            .serialize(serializer)
    }
}

struct Mcdc<'a>(&'a McdcRecord);

impl Serialize for Mcdc<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let McdcRecord { start, end, conditions, .. } = self.0;
        let kind = RegionKind::McdcDecision { bitmap_index: 0, num_conditions: 0 }.number();
        let are_covered: Vec<bool> = conditions.iter().map(|condition| condition.pair.is_some()).collect();
        // A decision expands nothing.
        (start.line, start.col, end.line, end.col, 0, kind, are_covered).serialize(serializer)
    }
}
