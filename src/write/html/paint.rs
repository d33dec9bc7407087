//! Stretches of a line that ran differently often.
//!
//! What enters is the segments of a file or a macro, and its lines in order; what leaves is each line's stretches.
//! What counts as not run is what llvm-cov colours so: a gap only behind code that did not run
//! (`SourceCoverageViewHTML::renderLine` in `llvm/tools/llvm-cov`, llvmorg-19.1.7).

use maud::{Markup, html};

use super::number::grouped;
use super::text::visible;
use crate::coverage::{LineCol, Segment};

/// How often a stretch ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Paint {
    /// It has no count.
    Nothing,
    /// Not once.
    NotRun,
    /// So often.
    Ran(u64),
}

/// From here to the next stretch, or to the end of the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    /// Index of the first byte in the line.
    start: usize,
    paint: Paint,
}

/// Goes through a file's lines.
pub(super) struct Painter<'s> {
    rest: &'s [Segment],
    paint: Paint,
}

impl<'s> Painter<'s> {
    /// For the segments of one text, in order.
    pub(super) fn new(segments: &'s [Segment]) -> Self {
        Self { rest: segments, paint: Paint::Nothing }
    }

    /// The stretches of a line; lines are asked for in order.
    pub(super) fn line(&mut self, line: u32) -> Vec<Stretch> {
        self.skip_to(line);
        let mut stretches = vec![Stretch { start: 0, paint: self.paint }];
        while let Some((segment, rest)) = self.rest.split_first().filter(|(s, _)| s.start.line == line) {
            self.rest = rest;
            self.paint = paint(segment, self.paint);
            // What ran equally often is one stretch, however many regions it is of.
            if stretches.last().is_none_or(|last| last.paint != self.paint) {
                stretches.push(Stretch { start: column(segment.start), paint: self.paint });
            }
        }
        stretches
    }

    /// Leaves out what is before a line.
    fn skip_to(&mut self, line: u32) {
        while let Some((segment, rest)) = self.rest.split_first().filter(|(s, _)| s.start.line < line) {
            self.rest = rest;
            self.paint = paint(segment, self.paint);
        }
    }
}

fn paint(segment: &Segment, before: Paint) -> Paint {
    match segment {
        Segment { has_count: false, .. } => Paint::Nothing,
        Segment { count: 0, is_gap: true, .. } if before != Paint::NotRun => Paint::Nothing,
        Segment { count: 0, .. } => Paint::NotRun,
        Segment { is_gap: true, .. } => Paint::Nothing,
        Segment { count, .. } => Paint::Ran(*count),
    }
}

/// A column as an index of bytes.
fn column(place: LineCol) -> usize {
    usize::try_from(place.col).unwrap_or(usize::MAX).saturating_sub(1)
}

/// A line's text with its stretches marked, and whether one of them did not run. `count` is that of the line: a
/// stretch that has another says so.
pub(super) fn mark(text: &[u8], stretches: &[Stretch], count: Option<u64>) -> (Markup, bool) {
    let mut is_partial = false;
    let ends = stretches.iter().skip(1).map(|next| next.start).chain([usize::MAX]);
    let code = html! {
        @for (stretch, end) in stretches.iter().zip(ends) {
            @let piece = slice(text, stretch.start, end);
            @let [before, inner, after] = trim(piece);
            @match stretch.paint {
                Paint::NotRun if count != Some(0) && !inner.is_empty() => {
                    @let () = is_partial = true;
                    (visible(before)) mark title="not run" { (visible(inner)) } (visible(after))
                }
                Paint::Ran(ran) if count.is_some_and(|count| count != ran) && !inner.is_empty() => {
                    (visible(before)) span title={ "ran " (grouped(ran)) "×" } { (visible(inner)) } (visible(after))
                }
                _ => (visible(piece)),
            }
        }
    };
    (code, is_partial)
}

/// The text between two places; for one of several lines, the part on the first.
pub(super) fn excerpt(text: &[u8], start: LineCol, end: LineCol) -> &[u8] {
    slice(text, column(start), if end.line == start.line { column(end) } else { usize::MAX })
}

/// A piece of a line that does not cut a character: columns of some compilers are not bytes.
fn slice(text: &[u8], start: usize, end: usize) -> &[u8] {
    let whole = |mut at: usize| {
        while text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80) {
            at = at.saturating_add(1);
        }
        at.min(text.len())
    };
    text.get(whole(start)..whole(end)).unwrap_or_default()
}

/// Blanks, what is between them, and blanks.
fn trim(piece: &[u8]) -> [&[u8]; 3] {
    let start = piece.len().saturating_sub(piece.trim_ascii_start().len());
    let end = start.saturating_add(piece.trim_ascii().len());
    [(0, start), (start, end), (end, piece.len())].map(|(from, to)| piece.get(from..to).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(line: u32, col: u32, count: Option<u64>, is_gap: bool) -> Segment {
        let start = LineCol { line, col };
        Segment {
            start,
            count: count.unwrap_or(0),
            has_count: count.is_some(),
            is_region_entry: true,
            is_gap,
        }
    }

    #[test]
    fn stretches_go_on_to_the_next_line() {
        let segments =
            [segment(2, 3, Some(7), false), segment(2, 9, Some(0), false), segment(5, 1, None, false)];
        let mut painter = Painter::new(&segments);
        let paints =
            |stretches: Vec<Stretch>| stretches.iter().map(|s| (s.start, s.paint)).collect::<Vec<_>>();
        assert_eq!(paints(painter.line(1)), [(0, Paint::Nothing)]);
        assert_eq!(paints(painter.line(2)), [(0, Paint::Nothing), (2, Paint::Ran(7)), (8, Paint::NotRun)]);
        assert_eq!(paints(painter.line(4)), [(0, Paint::NotRun)]);
        assert_eq!(paints(painter.line(5)), [(0, Paint::NotRun), (0, Paint::Nothing)]);
    }

    #[test]
    fn a_gap_is_not_run_only_behind_what_is_not() {
        let segments = [
            segment(1, 1, Some(0), true),
            segment(1, 2, Some(0), false),
            segment(1, 3, Some(0), true),
            segment(1, 4, Some(2), true),
        ];
        let stretches: Vec<_> = Painter::new(&segments).line(1).iter().map(|s| (s.start, s.paint)).collect();
        assert_eq!(stretches, [(0, Paint::Nothing), (1, Paint::NotRun), (3, Paint::Nothing)]);
    }

    #[test]
    fn marks_leave_blanks_out_and_cut_no_character() {
        let segments = [segment(1, 1, Some(3), false), segment(1, 4, Some(0), false)];
        let stretches = Painter::new(&segments).line(1);
        let (code, is_partial) = mark("aß  <b> ".as_bytes(), &stretches, Some(3));
        assert_eq!(code.into_string(), "aß  <mark title=\"not run\">&lt;b&gt;</mark> ");
        assert!(is_partial);
        let inside = [segment(1, 3, Some(0), false)];
        let (code, _) = mark("aß!".as_bytes(), &Painter::new(&inside).line(1), Some(3));
        assert_eq!(code.into_string(), "aß<mark title=\"not run\">!</mark>");
        let (code, is_partial) = mark(b"x", &[Stretch { start: 0, paint: Paint::NotRun }], Some(0));
        assert_eq!((code.into_string().as_str(), is_partial), ("x", false));
    }
}
