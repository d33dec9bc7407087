//! From regions to segments: the points of a file at which the count changes.
//!
//! What enters is the counted regions of one file or function, in any order; what leaves is segments in the order of
//! the file. Lines are made of segments, never of regions. Source: `SegmentBuilder` in
//! `llvm/lib/ProfileData/Coverage/CoverageMapping.cpp`, llvmorg-19.1.7.

use std::cmp::Reverse;

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
pub(super) fn build<'a>(
    regions: impl Iterator<Item = &'a CountedRegion>,
    is_byte_coverage: bool,
) -> Vec<Segment> {
    let mut pieces: Vec<Piece<'a>> = Vec::with_capacity(regions.size_hint().1.unwrap_or(0));
    pieces.extend(regions.map(|region| Piece { region, count: region.count }));
    pieces.sort_by_key(|Piece { region, .. }| (region.start, Reverse(region.end), region.kind.number()));
    pieces.dedup_by(|next, kept| merge(kept, next, is_byte_coverage));
    let mut builder = Builder { segments: Vec::with_capacity(pieces.len()), ..Builder::default() };
    for (index, piece) in pieces.iter().enumerate() {
        builder.add(*piece, pieces.get(index.saturating_add(1)));
    }
    std::mem::swap(&mut builder.active, &mut builder.completed);
    builder.complete_until(None);
    builder.segments
}

/// A region, and how often it and those of the same extent ran.
#[derive(Clone, Copy)]
struct Piece<'a> {
    region: &'a CountedRegion,
    count: u64,
}

/// Makes one of regions of the same extent, if they have it: those of the first one's kind count. A macro that is
/// another macro is an expansion and its code at the same place, and must not count twice.
fn merge(kept: &mut Piece<'_>, next: &Piece<'_>, is_byte_coverage: bool) -> bool {
    if (kept.region.start, kept.region.end) != (next.region.start, next.region.end) {
        return false;
    }
    if kept.region.kind.number() == next.region.kind.number() {
        kept.count = sum(kept.count, next.count, is_byte_coverage);
    }
    true
}

/// The count of what two functions count of the same source.
pub(super) fn sum(a: u64, b: u64, is_byte_coverage: bool) -> u64 {
    if is_byte_coverage { u64::from(a > 0 || b > 0) } else { a.wrapping_add(b) }
}

#[derive(Default)]
struct Builder<'a> {
    segments: Vec<Segment>,
    /// The regions that began and have not ended yet.
    active: Vec<Piece<'a>>,
    /// Those that just ended.
    completed: Vec<Piece<'a>>,
}

impl<'a> Builder<'a> {
    fn add(&mut self, piece: Piece<'a>, next: Option<&Piece<'a>>) {
        let region = piece.region;
        self.complete_before(region.start);
        let is_gap = region.kind == RegionKind::Gap;
        if region.start == region.end {
            self.add_empty(piece, next.is_none());
            return;
        }
        // Of regions that begin at the same place the innermost has the segment.
        if next.is_none_or(|next| next.region.start != region.start) {
            self.start(piece, region.start, !is_gap, false);
        }
        self.active.push(piece);
    }

    /// A region without extent does not become active.
    fn add_empty(&mut self, piece: Piece<'a>, is_last: bool) {
        let region = piece.region;
        let is_skipped = is_last || region.kind == RegionKind::Skipped;
        let around = self.active.last().copied();
        self.start(around.unwrap_or(piece), region.start, region.kind != RegionKind::Gap, is_skipped);
        if let (true, Some(around)) = (is_skipped, around) {
            self.start(around, region.start, false, false);
        }
    }

    /// Takes the active regions that end at `start` or before it.
    fn complete_before(&mut self, start: LineCol) {
        let is_active = |piece: &Piece<'_>| piece.region.end > start;
        if self.active.iter().all(is_active) {
            return;
        }
        self.completed.extend(self.active.iter().filter(|piece| !is_active(piece)));
        self.active.retain(is_active);
        self.complete_until(Some(start));
    }

    /// Closes the completed regions, before `start` or, without it, the end of the file.
    fn complete_until(&mut self, start: Option<LineCol>) {
        let mut completed = std::mem::take(&mut self.completed);
        completed.sort_by_key(|piece| piece.region.end);
        self.close(&completed, start);
        // Its room is kept.
        completed.clear();
        self.completed = completed;
    }

    fn close(&mut self, completed: &[Piece<'a>], start: Option<LineCol>) {
        // Groups of regions that end together: behind each, the last of the next group goes on.
        let mut groups = completed.chunk_by(|a, b| a.region.end == b.region.end).peekable();
        while let (Some(ended), Some(next)) = (groups.next(), groups.peek()) {
            let (Some(ended), Some(on)) = (ended.last(), next.last()) else { continue };
            if start != Some(ended.region.end) {
                self.start(*on, ended.region.end, false, false);
            }
        }
        let Some(last) = completed.last().filter(|last| start != Some(last.region.end)) else { return };
        match self.active.last().copied() {
            Some(around) => self.start(around, last.region.end, false, false),
            None => self.start(*last, last.region.end, false, true),
        }
    }

    fn start(&mut self, piece: Piece<'a>, start: LineCol, is_region_entry: bool, is_skipped: bool) {
        let has_count = !is_skipped && piece.region.kind != RegionKind::Skipped;
        if let Some(last) = self.segments.last()
            && !is_region_entry
            && !is_skipped
            && (last.has_count, last.count, last.is_region_entry) == (has_count, piece.count, false)
        {
            return;
        }
        self.segments.push(Segment {
            start,
            count: if has_count { piece.count } else { 0 },
            has_count,
            is_region_entry,
            is_gap: has_count && piece.region.kind == RegionKind::Gap,
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

    fn shown(regions: &[CountedRegion]) -> Vec<(u32, u32, Option<u64>, bool)> {
        let segments = build(regions.iter(), false);
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
            shown(&[inner, outer]),
            [(1, 1, Some(7), true), (3, 5, Some(2), true), (4, 6, Some(7), false), (9, 2, None, false)]
        );
    }

    #[test]
    fn regions_of_one_extent_add_up_if_they_are_of_one_kind() {
        let code = region(RegionKind::Code, (1, 1), (2, 2), 3);
        let expansion = region(RegionKind::Expansion { file: 1 }, (1, 1), (2, 2), 100);
        assert_eq!(shown(&[expansion, code, code])[0], (1, 1, Some(6), true));
        assert_eq!(build([code, code].iter(), true)[0].count, 1);
    }

    #[test]
    fn what_the_preprocessor_left_out_has_no_count() {
        let body = region(RegionKind::Code, (1, 1), (9, 2), 4);
        let skipped = region(RegionKind::Skipped, (3, 1), (5, 1), 0);
        let segments = shown(&[body, skipped]);
        assert_eq!(segments[1..3], [(3, 1, None, true), (5, 1, Some(4), false)]);
    }
}
