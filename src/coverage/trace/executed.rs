//! What a trace says of one image, by the image's own addresses.
//!
//! What enters is the runs of one address space, a slide, and where the image has code; what leaves is the runs of its
//! code, without data among it. What always holds: they are in order and apart.

use covtap_link::PointerWidth;

use super::code::Code;
use crate::image::{ImageAddr, Slide};
use crate::profile::trace::{Run, Space};

/// What was executed of an image.
#[derive(Default, Debug)]
pub(super) struct Executed {
    runs: Vec<Run>,
}

impl Executed {
    pub(super) fn of(space: &Space, code: &Code<'_>, slide: Slide, width: PointerWidth) -> Self {
        let mut runs = Vec::new();
        for (start, last) in without(&code.executable, &code.data) {
            let there = slide.apply(ImageAddr::new(start), width).get();
            let there_last = there.saturating_add(last.saturating_sub(start));
            for run in space.within(there, there_last) {
                // Neither passes the range, which is in both places.
                let moved = |address: u64| address.wrapping_sub(there).wrapping_add(start);
                let (first, end) = (run.start.max(there), run.last.min(there_last));
                runs.push(Run { start: moved(first), last: moved(end), count: run.count });
            }
        }
        Self { runs }
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How often the instruction at an address was executed.
    pub(super) fn count_at(&self, address: u64) -> u64 {
        let index = self.runs.partition_point(|run| run.last < address);
        self.runs.get(index).filter(|run| run.start <= address).map_or(0, |run| run.count)
    }

    /// Whether any of some bytes was executed; `end` is behind the last.
    pub(super) fn any(&self, start: u64, end: u64) -> bool {
        let index = self.runs.partition_point(|run| run.last < start);
        self.runs.get(index).is_some_and(|run| run.start < end)
    }
}

/// Ranges without others; both are in order, and apart.
fn without(ranges: &[(u64, u64)], others: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut left = Vec::new();
    for (start, last) in ranges {
        let mut next = Some(*start);
        let first = others.partition_point(|(_, other)| other < start);
        for (from, to) in others.iter().skip(first).take_while(|(from, _)| from <= last) {
            let Some(at) = next else { break };
            if at < *from {
                left.push((at, from - 1));
            }
            next = to.checked_add(1).filter(|after| after <= last);
        }
        left.extend(next.map(|at| (at, *last)));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::trace::{Counting, TraceBuilder};

    #[test]
    fn runs_are_moved_clipped_and_without_data() {
        let mut trace = TraceBuilder::new(Counting::Times);
        for (start, len_bytes, count) in [(0x8000, 0x18, 3), (0x8018, 8, 5), (0x9000, 4, 1)] {
            trace.block("", start, len_bytes, count).unwrap();
        }
        let trace = trace.finish();
        let code = Code { executable: vec![(0x10, 0x1b)], data: vec![(0x14, 0x15)], ..Code::default() };
        let slide = Slide::new(0x7ff0);
        let executed = Executed::of(trace.space("").unwrap(), &code, slide, PointerWidth::Bits32);
        let runs: Vec<_> = executed.runs().iter().map(|run| (run.start, run.last, run.count)).collect();
        assert_eq!(runs, [(0x10, 0x13, 3), (0x16, 0x1b, 3)]);
        assert_eq!((executed.count_at(0x12), executed.count_at(0x14)), (3, 0));
        assert!(executed.any(0, 0x11) && !executed.any(0x14, 0x16));
    }
}
