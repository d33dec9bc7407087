//! One line: its number, count and source, and the counts of what begins inside of it.

use std::io::{self, Write};

use anstyle::Style;

use super::Printer;
use crate::coverage::Segment;
use crate::write::paint::{MAGENTA, ON_CYAN, ON_RED};

const NUMBER_WIDTH: usize = 5;
const COUNT_WIDTH: usize = 7;

/// A line, and what is known of it.
pub(super) struct Line<'v> {
    pub(super) number: u32,
    pub(super) source: &'v [u8],
    /// `None` if it has no code.
    pub(super) count: Option<u64>,
    /// The segments that begin on it.
    pub(super) segments: &'v [Segment],
    /// The segment that reaches into it.
    pub(super) wrapped: Option<&'v Segment>,
}

impl Line<'_> {
    /// Number, count and source; what begins at `expansion` is marked as one.
    pub(super) fn print(
        &self,
        printer: &Printer<'_>,
        expansion: Option<u32>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        // LLVM cuts long numbers off.
        let number: String = self.number.to_string().chars().take(NUMBER_WIDTH).collect();
        write!(out, "{number:>NUMBER_WIDTH$}|")?;
        if printer.options.counts {
            let count = self.count.map(shown_count).unwrap_or_default();
            write!(out, "{:1$}", "", COUNT_WIDTH.saturating_sub(count.len()))?;
            let begins = |segment: &&Segment| segment.is_region_entry && segment.has_count && !segment.is_gap;
            let has_several = self.segments.iter().filter(begins).count() > 1;
            printer.paint.text(Some(MAGENTA).filter(|_| has_several), &count, out)?;
            out.write_all(b"|")?;
        }
        self.print_source(printer, expansion, out)
    }

    /// The source alone.
    pub(super) fn print_source(
        &self,
        printer: &Printer<'_>,
        expansion: Option<u32>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let is_missed = |segment: &Segment| segment.has_count && segment.count == 0;
        let wrapped = self.wrapped.filter(|wrapped| is_missed(wrapped) && !wrapped.is_gap);
        let mut style: Option<Style> = wrapped.map(|_| ON_RED);
        let mut done = 0;
        for segment in self.segments {
            let end = to_usize(segment.start.col.saturating_sub(1)).clamp(done, self.source.len());
            printer.paint.text(style, self.source.get(done..end).unwrap_or_default(), out)?;
            done = end;
            let begins = expansion.is_some_and(|col| to_usize(col.saturating_sub(1)) == done);
            style = if is_missed(segment) && (!segment.is_gap || style == Some(ON_RED)) {
                Some(ON_RED)
            } else {
                begins.then_some(ON_CYAN)
            };
        }
        printer.paint.text(style, self.source.get(done..).unwrap_or_default(), out)?;
        writeln!(out)
    }

    /// The segments whose counts are shown below the line: all but the last, which goes on behind it.
    fn marked(&self) -> &[Segment] {
        self.segments.split_last().map_or(&[], |(_, others)| others)
    }

    pub(super) fn has_markers(&self) -> bool {
        let is_other =
            |segment: &Segment| segment.is_region_entry && Some(segment.count) != self.count_or_none();
        self.marked().iter().any(|segment| is_other(segment) && segment.has_count)
    }

    /// The counts, each below where its region begins.
    pub(super) fn print_markers(&self, out: &mut impl Write) -> io::Result<()> {
        let mut done = 1usize;
        for segment in self.marked() {
            if !segment.is_region_entry || Some(segment.count) == self.count_or_none() {
                continue;
            }
            let col = to_usize(segment.start.col);
            let count = shown_count(segment.count);
            write!(out, "{:1$}^{count}", "", col.saturating_sub(done))?;
            done = col.saturating_add(1).saturating_add(count.len());
        }
        writeln!(out)
    }

    /// LLVM's count of a line without code is 0.
    fn count_or_none(&self) -> Option<u64> {
        Some(self.count.unwrap_or_default())
    }
}

/// The width of number and count with the bars behind them.
pub(super) fn margin(printer: &Printer<'_>) -> usize {
    let counts = if printer.options.counts { COUNT_WIDTH.saturating_add(1) } else { 0 };
    NUMBER_WIDTH.saturating_add(1).saturating_add(counts)
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A count in three digits and a letter for thousands; they are cut off, not rounded.
pub(super) fn shown_count(count: u64) -> String {
    let digits = count.to_string();
    let letter = (digits.len().saturating_sub(1) / 3).checked_sub(1).and_then(|index| b"kMGTPEZY".get(index));
    let Some(letter) = letter else { return digits };
    let whole = match digits.len() % 3 {
        0 => 3,
        len => len,
    };
    let (whole, rest) = digits.split_at(whole);
    let fraction: String = rest.chars().take(3usize.saturating_sub(whole.len())).collect();
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{whole}{point}{fraction}{}", char::from(*letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_three_digits() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00k"),
            (12_999, "12.9k"),
            (999_999, "999k"),
            (1_000_000, "1.00M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(shown_count(count), text);
        }
    }
}
