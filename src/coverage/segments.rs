//! From regions to segments: the points of a file at which the count changes.
//!
//! What enters is the counted regions of one file or function, in any order; what leaves is segments in the order of
//! the file. Lines are made of segments, never of regions. Source: `SegmentBuilder` in
//! `llvm/lib/ProfileData/Coverage/CoverageMapping.cpp`, llvmorg-19.1.7.

use super::function::CountedRegion;
use super::mapping::{LineCol, RegionKind};

/// From here on, up to the next segment, the source ran `count` times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it begins.
    pub start: LineCol,
    /// How often; 0 where it has no count.
    pub count: u64,
    /// Whether it has a count: not between functions, and not where the preprocessor left something out.
    pub has_count: bool,
    /// Whether a region begins here, as against one that goes on behind the end of another.
    pub is_region_entry: bool,
    /// Whether the count is that of a gap.
    pub is_gap: bool,
}

/// The segments of regions of one file. `is_byte_coverage`: counts of the same source say only whether it ran.
pub(super) fn build(mut regions: Vec<CountedRegion>, is_byte_coverage: bool) -> Vec<Segment> {
    regions.sort_by(|a, b| {
        let key =
            |region: &CountedRegion| (region.start, std::cmp::Reverse(region.end), region.kind.number());
        key(a).cmp(&key(b))
    });
    regions.dedup_by(|next, kept| merge(kept, next, is_byte_coverage));
    let mut builder = Builder { segments: Vec::new(), active: Vec::new() };
    for (index, region) in regions.iter().enumerate() {
        builder.add(region, regions.get(index.saturating_add(1)));
    }
    if !builder.active.is_empty() {
        builder.complete_until(None, 0);
    }
    builder.segments
}

/// Makes one of regions of the same extent, if they have it: those of the first one's kind count. A macro that is
/// another macro is an expansion and its code at the same place, and must not count twice.
fn merge(kept: &mut CountedRegion, next: &CountedRegion, is_byte_coverage: bool) -> bool {
    if (kept.start, kept.end) != (next.start, next.end) {
        return false;
    }
    if kept.kind.number() == next.kind.number() {
        kept.count = if is_byte_coverage {
            u64::from(kept.count > 0 || next.count > 0)
        } else {
            kept.count.wrapping_add(next.count)
        };
    }
    true
}

struct Builder<'a> {
    segments: Vec<Segment>,
    active: Vec<&'a CountedRegion>,
}

impl<'a> Builder<'a> {
    fn add(&mut self, region: &'a CountedRegion, next: Option<&CountedRegion>) {
        self.complete_before(region.start);
        let is_gap = region.kind == RegionKind::Gap;
        if region.start == region.end {
            self.add_empty(region, next.is_none());
            return;
        }
        // Of regions that begin at the same place the innermost has the segment.
        if next.is_none_or(|next| next.start != region.start) {
            self.start(region, region.start, !is_gap, false);
        }
        self.active.push(region);
    }

    /// A region without extent does not become active.
    fn add_empty(&mut self, region: &'a CountedRegion, is_last: bool) {
        let is_skipped = is_last || region.kind == RegionKind::Skipped;
        let around = self.active.last().copied();
        self.start(around.unwrap_or(region), region.start, region.kind != RegionKind::Gap, is_skipped);
        if let (true, Some(around)) = (is_skipped, around) {
            self.start(around, region.start, false, false);
        }
    }

    /// Takes the active regions that end at `start` or before it.
    fn complete_before(&mut self, start: LineCol) {
        let (mut active, completed): (Vec<_>, Vec<_>) =
            self.active.iter().copied().partition(|region| region.end > start);
        if completed.is_empty() {
            return;
        }
        let first_completed = active.len();
        active.extend(completed);
        self.active = active;
        self.complete_until(Some(start), first_completed);
    }

    /// Closes the active regions from `first` on, before `start` or, without it, the end of the file.
    fn complete_until(&mut self, start: Option<LineCol>, first: usize) {
        let mut completed = self.active.split_off(first);
        completed.sort_by_key(|region| region.end);
        // Groups of regions that end together: behind each, the last of the next group goes on.
        let mut groups = completed.chunk_by(|a, b| a.end == b.end).peekable();
        while let (Some(ended), Some(next)) = (groups.next(), groups.peek()) {
            let (Some(ended), Some(on)) = (ended.last(), next.last()) else { continue };
            if start != Some(ended.end) {
                self.start(on, ended.end, false, false);
            }
        }
        let Some(last) = completed.last().filter(|last| start != Some(last.end)) else { return };
        match self.active.last().copied() {
            Some(around) => self.start(around, last.end, false, false),
            None => self.start(last, last.end, false, true),
        }
    }

    fn start(&mut self, region: &CountedRegion, start: LineCol, is_region_entry: bool, is_skipped: bool) {
        let has_count = !is_skipped && region.kind != RegionKind::Skipped;
        if let Some(last) = self.segments.last()
            && !is_region_entry
            && !is_skipped
            && (last.has_count, last.count, last.is_region_entry) == (has_count, region.count, false)
        {
            return;
        }
        self.segments.push(Segment {
            start,
            count: if has_count { region.count } else { 0 },
            has_count,
            is_region_entry,
            is_gap: has_count && region.kind == RegionKind::Gap,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(kind: RegionKind, start: (u32, u32), end: (u32, u32), count: u64) -> CountedRegion {
        let at = |(line, col)| LineCol { line, col };
        CountedRegion {
            kind,
            start: at(start),
            end: at(end),
            file: 0,
            count,
            false_count: 0,
            is_folded: false,
        }
    }

    fn shown(regions: Vec<CountedRegion>) -> Vec<(u32, u32, Option<u64>, bool)> {
        let segments = build(regions, false);
        segments
            .iter()
            .map(|s| (s.start.line, s.start.col, s.has_count.then_some(s.count), s.is_region_entry))
            .collect()
    }

    #[test]
    fn an_outer_region_goes_on_behind_an_inner_one() {
        let inner = region(RegionKind::Code, (3, 5), (4, 6), 2);
        let outer = region(RegionKind::Code, (1, 1), (9, 2), 7);
        assert_eq!(
            shown(vec![inner, outer]),
            [(1, 1, Some(7), true), (3, 5, Some(2), true), (4, 6, Some(7), false), (9, 2, None, false)]
        );
    }

    #[test]
    fn regions_of_one_extent_add_up_if_they_are_of_one_kind() {
        let code = region(RegionKind::Code, (1, 1), (2, 2), 3);
        let expansion = region(RegionKind::Expansion { file: 1 }, (1, 1), (2, 2), 100);
        assert_eq!(shown(vec![expansion, code, code])[0], (1, 1, Some(6), true));
        assert_eq!(build(vec![code, code], true)[0].count, 1);
    }

    #[test]
    fn what_the_preprocessor_left_out_has_no_count() {
        let body = region(RegionKind::Code, (1, 1), (9, 2), 4);
        let skipped = region(RegionKind::Skipped, (3, 1), (5, 1), 0);
        let segments = shown(vec![body, skipped]);
        assert_eq!(segments[1..3], [(3, 1, None, true), (5, 1, Some(4), false)]);
    }
}
