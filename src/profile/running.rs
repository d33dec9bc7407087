//! What a line of status needs to know of each snapshot, kept up to date from one to the next.
//!
//! What enters is an [`LlvmImage`], a snapshot of its regions, and where that may differ from the one before; what leaves
//! is a [`Summary`] of all of it. What always holds: it is as if everything had been looked through, but takes time only
//! for the functions whose counters changed, and two numbers of memory for each.

use std::ops::Range;

use covtap_link::Endianness;

use super::llvm::{SnapshotError, split};
use super::stats::{MAX_COUNT, Stats};
use crate::locate::llvm::{DataRecord, LlvmImage};

/// How much was reached, and whether it can be believed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    /// As [`LlvmProfile::stats`](super::llvm::LlvmProfile::stats).
    pub stats: Stats,
    /// As [`LlvmProfile::num_unbelievable`](super::llvm::LlvmProfile::num_unbelievable).
    pub num_unbelievable: usize,
}

/// The summary of one image's counters.
#[derive(Clone, Default, Debug)]
pub struct RunningSummary {
    summary: Summary,
    /// By record; none before there was a snapshot.
    functions: Vec<Tally>,
    /// The indices of the records by where their counters are.
    by_place: Vec<usize>,
}

/// What a function adds to the summary.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    counters_hit: usize,
    num_unbelievable: usize,
}

impl RunningSummary {
    /// Looks through a snapshot of the image's regions: of its counters at `changed`, runs in order, or at all of them if
    /// nothing is known of what changed.
    ///
    /// # Errors
    ///
    /// A region's bytes are missing or of another length than the image's.
    pub fn update<R: AsRef<[u8]>>(
        &mut self,
        image: &LlvmImage,
        regions: &[R],
        changed: Option<&[Range<usize>]>,
    ) -> Result<Summary, SnapshotError> {
        let (counters, _) = split(image, regions)?;
        match changed {
            Some(changed) if self.functions.len() == image.records().len() => {
                for index in self.touched(image, changed) {
                    self.tally(image, counters, index);
                }
            }
            _ => {
                self.begin(image);
                (0..image.records().len()).for_each(|index| self.tally(image, counters, index));
            }
        }
        Ok(self.summary)
    }

    fn begin(&mut self, image: &LlvmImage) {
        let records = image.records();
        self.functions = vec![Tally::default(); records.len()];
        self.by_place = (0..records.len()).collect();
        self.by_place.sort_by_key(|index| records.get(*index).map(|record| record.counters_offset));
        let counters = records.iter().map(|record| record.num_counters).sum();
        let stats = Stats { counters, functions: records.len(), ..Stats::default() };
        self.summary = Summary { stats, num_unbelievable: 0 };
    }

    /// The functions that have counters in those runs. Functions share none.
    fn touched(&self, image: &LlvmImage, changed: &[Range<usize>]) -> Vec<usize> {
        let ends = |record: &DataRecord| record.counters_offset.saturating_add(len_bytes(image, record));
        let record = |index: usize| image.records().get(index);
        let (mut touched, mut next) = (Vec::new(), 0);
        for run in changed {
            let rest = self.by_place.get(next..).unwrap_or_default();
            next += rest.partition_point(|index| record(*index).is_some_and(|it| ends(it) <= run.start));
            let rest = self.by_place.get(next..).unwrap_or_default();
            let within = |index: &&usize| record(**index).is_some_and(|it| it.counters_offset < run.end);
            let within = rest.iter().take_while(within).count();
            touched.extend(rest.iter().take(within));
            next += within;
        }
        touched
    }

    /// Counts a function anew.
    fn tally(&mut self, image: &LlvmImage, counters: &[u8], index: usize) {
        let (Some(record), Some(tally)) = (image.records().get(index), self.functions.get_mut(index)) else {
            return;
        };
        let bytes = counters.get(record.counters_offset..).unwrap_or_default();
        let bytes = bytes.get(..len_bytes(image, record).min(bytes.len())).unwrap_or_default();
        let before = std::mem::replace(tally, Tally::of(image, bytes));
        let Summary { stats, num_unbelievable } = &mut self.summary;
        let moved =
            |sum: &mut usize, old: usize, new: usize| *sum = sum.saturating_sub(old).saturating_add(new);
        moved(&mut stats.counters_hit, before.counters_hit, tally.counters_hit);
        let entered = |tally: Tally| usize::from(tally.counters_hit > 0);
        moved(&mut stats.functions_entered, entered(before), entered(*tally));
        moved(num_unbelievable, before.num_unbelievable, tally.num_unbelievable);
    }
}

impl Tally {
    /// Of a function whose counters these are.
    fn of(image: &LlvmImage, bytes: &[u8]) -> Self {
        if image.is_byte_coverage() {
            return Self::of_counts(bytes.iter().map(|byte| u64::from(*byte == 0)));
        }
        let counts = bytes.as_chunks().0.iter();
        match image.endianness() {
            Endianness::Little => Self::of_counts(counts.map(|count| u64::from_le_bytes(*count))),
            Endianness::Big => Self::of_counts(counts.map(|count| u64::from_be_bytes(*count))),
        }
    }

    fn of_counts(counts: impl Iterator<Item = u64>) -> Self {
        let mut tally = Self::default();
        for count in counts {
            tally.counters_hit = tally.counters_hit.saturating_add(usize::from(count > 0));
            tally.num_unbelievable = tally.num_unbelievable.saturating_add(usize::from(count > MAX_COUNT));
        }
        tally
    }
}

fn len_bytes(image: &LlvmImage, record: &DataRecord) -> usize {
    record.num_counters.saturating_mul(image.counter_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::llvm::LlvmProfile;
    use super::*;
    use crate::image::{Image, Slide};
    use crate::locate::llvm::locate;

    fn image(elf: &[u8]) -> LlvmImage {
        locate(&Image::parse("fixture", elf.to_vec()).unwrap(), Slide::ZERO).unwrap().image
    }

    fn whole(image: &LlvmImage, counters: &[u8]) -> Summary {
        let profile = LlvmProfile::new(image, &[counters]).unwrap();
        Summary { stats: profile.stats(), num_unbelievable: profile.num_unbelievable() }
    }

    /// Each counter in turn gets each value; what is kept up to date is what a look through all gives.
    fn follow(image: &LlvmImage, width: usize, values: &[&[u8]]) {
        let mut counters = vec![*values[0].first().unwrap(); image.counters_len_bytes()];
        let mut running = RunningSummary::default();
        assert_eq!(running.update(image, &[&counters], None).unwrap(), whole(image, &counters));
        let mut seen = Vec::new();
        for at in (0..counters.len()).step_by(width) {
            for value in values {
                counters[at..at + width].copy_from_slice(value);
                let summary = running
                    .update(image, &[&counters], Some(std::slice::from_ref(&(at..at + width))))
                    .unwrap();
                assert_eq!(summary, whole(image, &counters), "{at}");
                seen.push(summary);
            }
        }
        assert!(seen.first() != seen.last());
        counters.fill(values[0][0]);
        let all = [0..width, width..counters.len()];
        assert_eq!(running.update(image, &[&counters], Some(&all)).unwrap(), whole(image, &counters));
    }

    #[test]
    fn counts_are_followed() {
        let (five, top) = (5u64.to_le_bytes(), u64::MAX.to_le_bytes());
        let image = image(include_bytes!("../../tests/fixtures/hosted/clang-19.elf"));
        follow(&image, 8, &[&[0; 8], &top, &five]);
    }

    #[test]
    fn byte_counters_are_followed() {
        follow(&image(include_bytes!("../../tests/fixtures/hosted/bytes.elf")), 1, &[&[0xff], &[0]]);
    }

    #[test]
    fn what_is_not_said_to_have_changed_is_not_looked_at() {
        let image = image(include_bytes!("../../tests/fixtures/hosted/clang-19.elf"));
        let (mut counters, mut running) = (vec![0; image.counters_len_bytes()], RunningSummary::default());
        let before = running.update(&image, &[&counters], None).unwrap();
        counters.fill(1);
        assert_eq!(running.update(&image, &[&counters], Some(&[])).unwrap(), before);
        assert!(running.update(&image, &[&counters], None).unwrap() != before);
    }
}
