//! A function by its files: the one of its body, and those of the macros and includes in it, each for one use.
//!
//! Source: `getCoverageForExpansion` in `llvm/lib/ProfileData/Coverage/CoverageMapping.cpp`, llvmorg-19.1.7.

use super::function::{CountedRegion, FunctionCoverage};
use super::lines::{self, LineRun};
use super::mapping::RegionKind;
use super::segments::{self, Segment};
use super::statistics::{self, Statistics};

impl FunctionCoverage {
    /// The segments of one of its files, by index.
    #[must_use]
    pub fn segments_of(&self, file: u32) -> Vec<Segment> {
        segments::build(of_file(&self.regions, file).iter(), self.is_byte_coverage)
    }

    /// The lines of one of its files.
    #[must_use]
    pub fn lines_of(&self, file: u32) -> Vec<LineRun> {
        lines::runs(&self.segments_of(file))
    }

    /// The branches in the text of one of its files.
    #[must_use]
    pub fn branches_of(&self, file: u32) -> &[CountedRegion] {
        of_file(&self.branches, file)
    }

    /// The macros and includes that one of its files uses. Those in them, and so on, come to an end: the mapping's
    /// expansions are trees.
    pub fn expansions_of(&self, file: u32) -> impl DoubleEndedIterator<Item = &CountedRegion> {
        let is_expansion = |region: &&CountedRegion| matches!(region.kind, RegionKind::Expansion { .. });
        of_file(&self.regions, file).iter().filter(is_expansion)
    }

    /// How much ran of its lines, regions, branches and conditions; the tallies of functions are those of a file, and empty here.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        statistics::of_function(self)
    }
}

/// The regions of one of a function's files. A mapping has them by file, so that functions of very many files do not
/// take the square of that.
pub(super) fn of_file(regions: &[CountedRegion], file: u32) -> &[CountedRegion] {
    let start = regions.partition_point(|region| region.file < file);
    let end = regions.partition_point(|region| region.file <= file);
    regions.get(start..end).unwrap_or_default()
}
