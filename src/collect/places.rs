//! Reads regions where they are at the moment: at their own ranges, or as far from them as words in the target say.
//!
//! What enters is a link and regions; what leaves is their bytes and what was found on the way.
//!
//! What always holds: counters that leave here were read where the words said that they are before the reading and
//! after it. A reading asks for counters and words at once, so that a target whose counters stay where they are is
//! read, and where that pauses it paused, once.

use covtap_link::{AddrRange, ReadReport, ReadRequest, TargetAddr};

use super::{CollectError, Counters, MeteredLink, Part};
use crate::locate::{BiasWord, CounterRegion};

/// How often a reading is repeated because the counters moved meanwhile. A word is torn or changes once, if ever.
const MAX_MOVES: u32 = 4;

/// Regions, and where they were when they were last read.
pub(super) struct Places {
    regions: Vec<CounterRegion>,
    /// The word of each region that has one, as last read; 0 before the first reading and where there is none.
    biases: Vec<u64>,
}

/// What one reading cost.
#[derive(Default)]
pub(super) struct PlacedRead {
    pub(super) report: ReadReport,
    /// How many readings missed counters that had moved, and were done again.
    pub(super) rereads: u32,
}

impl Places {
    pub(super) fn new(regions: Vec<CounterRegion>) -> Self {
        let biases = vec![0; regions.len()];
        Self { regions, biases }
    }

    pub(super) fn regions(&self) -> &[CounterRegion] {
        &self.regions
    }

    /// Where the regions were last read, for [`moved_since`](Self::moved_since).
    pub(super) fn biases(&self) -> &[u64] {
        &self.biases
    }

    /// Which regions were moved since they were at `biases`. One that is back where it was linked was not: that is
    /// what a target does that starts again, and its counters tell whether it did.
    pub(super) fn moved_since(&self, biases: &[u64]) -> Vec<bool> {
        self.biases.iter().zip(biases).map(|(now, before)| now != before && *now != 0).collect()
    }

    /// Reads all regions.
    pub(super) fn read(
        &mut self,
        link: &mut MeteredLink,
        into: &mut Counters,
    ) -> Result<PlacedRead, CollectError> {
        let mut read = PlacedRead::default();
        loop {
            let mut words = self.room_for_words();
            let failed = match self.read_here(link, into, &mut words) {
                Ok(once) => {
                    read.report += once;
                    None
                }
                Err(error) => {
                    let Some(once) = self.look_again(link, &error, &mut words) else { return Err(error) };
                    read.report += once;
                    Some(error)
                }
            };
            let found = self.values(&words);
            if found == self.biases {
                return failed.map_or(Ok(read), Err);
            }
            self.biases = found;
            if read.rereads == MAX_MOVES {
                return Err(self.never_at_rest(link, read.rereads));
            }
            read.rereads += 1;
        }
    }

    /// Reads the regions where they were last, and then the words.
    fn read_here(
        &self,
        link: &mut MeteredLink,
        into: &mut Counters,
        words: &mut [[u8; 8]],
    ) -> Result<ReadReport, CollectError> {
        let ranges = self.ranges(link)?;
        let mut reads: Vec<_> = ranges
            .iter()
            .zip(into.regions_mut())
            .filter(|(range, _)| !range.is_empty())
            .map(|(range, buf)| ReadRequest { addr: range.start(), buf })
            .collect();
        reads.extend(self.word_requests(words));
        Ok(link.read_many(&mut reads)?)
    }

    /// Where a part is, of a region that does not move.
    pub(super) fn address(&self, part: &Part) -> Option<TargetAddr> {
        let region = self.regions.get(part.region).filter(|region| region.bias.is_none())?;
        region.range.start().checked_add(part.offset as u64)
    }

    /// Reads parts of regions that do not move; what is given for any other is left as it is.
    pub(super) fn read_parts<'b>(
        &self,
        link: &mut MeteredLink,
        parts: impl Iterator<Item = (Part, &'b mut Vec<u8>)>,
    ) -> Result<ReadReport, CollectError> {
        let request = |(part, buf): (Part, &'b mut Vec<u8>)| {
            let addr = self.address(&part)?;
            (!buf.is_empty()).then_some(ReadRequest { addr, buf })
        };
        Ok(link.read_many(&mut parts.filter_map(request).collect::<Vec<_>>())?)
    }

    /// After a reading that failed: what the words say now. They may have changed, and so been the reason.
    fn look_again(
        &self,
        link: &mut MeteredLink,
        error: &CollectError,
        words: &mut [[u8; 8]],
    ) -> Option<ReadReport> {
        let is_fatal = matches!(error, CollectError::Link(error) if error.is_fatal());
        if is_fatal || words.is_empty() {
            return None;
        }
        link.read_many(&mut self.word_requests(words).collect::<Vec<_>>()).ok()
    }

    /// Where the regions are by the words as last read.
    fn ranges(&self, link: &MeteredLink) -> Result<Vec<AddrRange>, CollectError> {
        let place = |(region, bias): (&CounterRegion, &u64)| match &region.bias {
            None => Ok(region.range),
            Some(word) => word.moved(region.range, *bias).ok_or_else(|| CollectError::Misplaced {
                endpoint: link.info().endpoint,
                region: region.name.clone(),
                word: word.range.start(),
                bias: *bias,
            }),
        };
        self.regions.iter().zip(&self.biases).map(place).collect()
    }

    fn words(&self) -> impl Iterator<Item = &BiasWord> {
        self.regions.iter().filter_map(|region| region.bias.as_ref())
    }

    fn room_for_words(&self) -> Vec<[u8; 8]> {
        vec![[0; 8]; self.words().count()]
    }

    fn word_requests<'a>(&'a self, words: &'a mut [[u8; 8]]) -> impl Iterator<Item = ReadRequest<'a>> {
        self.words().zip(words).filter_map(|(word, bytes)| {
            let len = usize::try_from(word.range.len_bytes()).ok()?;
            Some(ReadRequest { addr: word.range.start(), buf: bytes.get_mut(..len)? })
        })
    }

    /// What the words say, by region.
    fn values(&self, words: &[[u8; 8]]) -> Vec<u64> {
        let mut words = words.iter();
        let mut value = |region: &CounterRegion| {
            let word = region.bias.as_ref()?;
            let len = usize::try_from(word.range.len_bytes()).ok()?;
            Some(word.value(words.next()?.get(..len)?))
        };
        self.regions.iter().map(|region| value(region).unwrap_or(0)).collect()
    }

    fn never_at_rest(&self, link: &MeteredLink, times: u32) -> CollectError {
        let region = self.regions.iter().find(|region| region.bias.is_some());
        CollectError::NeverAtRest {
            endpoint: link.info().endpoint,
            region: region.map(|region| region.name.clone()).unwrap_or_default(),
            times,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::counters::tests::region;
    use super::*;
    use crate::locate::MergeRule;
    use covtap_link::scripted::{Fault, ScriptedLink};
    use covtap_link::{Endianness, PointerWidth};

    /// Counters of two words as they are linked, where they are moved to, and the word that says so.
    const LINKED: TargetAddr = TargetAddr::new(0x2000_0000);
    const MOVED: TargetAddr = TargetAddr::new(0x1000_0000);
    const WORD: TargetAddr = TargetAddr::new(0x2000_0100);
    const BIAS: [u8; 8] = [0, 0, 0, 0xf0, 0, 0, 0, 0];

    fn link() -> ScriptedLink {
        ScriptedLink::new([(LINKED, vec![1; 16]), (MOVED, vec![2; 16]), (WORD, vec![0; 8])])
    }

    fn places() -> Places {
        let word = BiasWord {
            range: AddrRange::new(WORD, 8).expect("a range"),
            endianness: Endianness::Little,
            pointer_width: PointerWidth::Bits32,
        };
        let counters = region(LINKED.get(), 16, MergeRule::Add, Endianness::Little);
        Places::new(vec![CounterRegion { bias: Some(word), ..counters }])
    }

    /// The first byte of the counters, and how often they were read again.
    fn read(places: &mut Places, link: &mut MeteredLink) -> Result<(u8, u32), CollectError> {
        let mut counters = Counters::for_regions(places.regions()).expect("room");
        let read = places.read(link, &mut counters)?;
        Ok((counters.regions()[0][0], read.rereads))
    }

    fn metered(link: ScriptedLink) -> MeteredLink {
        MeteredLink::new(Box::new(link))
    }

    #[test]
    fn counters_are_followed_and_where_they_stay_read_once() {
        let mut link = metered(link().with_fault(1, Fault::Change(WORD, BIAS.to_vec())));
        let mut places = places();
        assert_eq!(read(&mut places, &mut link).expect("at the section"), (1, 0));
        let before = places.biases().to_vec();
        assert_eq!(read(&mut places, &mut link).expect("moved"), (2, 1));
        assert_eq!(places.moved_since(&before), [true]);
        let before = places.biases().to_vec();
        assert_eq!(read(&mut places, &mut link).expect("there"), (2, 0));
        assert_eq!(places.moved_since(&before), [false]);
        assert_eq!(places.moved_since(&[0]), [true]);
    }

    #[test]
    fn a_word_that_changes_during_a_reading_makes_it_be_done_again() {
        let change = Fault::ChangeDuring { after_bytes: 16, addr: WORD, bytes: BIAS.to_vec() };
        let mut link = metered(link().with_fault(0, change));
        assert_eq!(read(&mut places(), &mut link).expect("moved"), (2, 1));
    }

    /// Half of the word was written when it was read: there is nothing at that place.
    #[test]
    fn a_torn_word_is_read_again() {
        let torn = vec![0, 0, 0, 0x10, 0, 0, 0, 0];
        let link =
            link().with_fault(0, Fault::Change(WORD, torn)).with_fault(2, Fault::Change(WORD, BIAS.to_vec()));
        assert_eq!(read(&mut places(), &mut metered(link)).expect("moved"), (2, 2));
    }

    #[test]
    fn a_place_without_memory_is_the_links_error_and_one_past_the_end_is_said() {
        let to = |bias: u32| [bias.to_le_bytes(), [0; 4]].concat();
        let read_moved_by = |bias| {
            let mut link = metered(link().with_fault(0, Fault::Change(WORD, to(bias))));
            read(&mut places(), &mut link).expect_err("refused").to_string()
        };
        assert_eq!(
            read_moved_by(0x1000),
            "read 16 bytes at 0x20001000 on scripted: refused: no memory there"
        );
        assert_eq!(
            read_moved_by(0xdfff_fff8),
            "find the counters of scripted: test, moved by 0xdffffff8 as 0x20000100 says, passes the end of memory"
        );
    }

    #[test]
    fn a_word_that_never_rests_ends_in_an_error() {
        let faults = (0..8u8).map(|n| (u64::from(n), Fault::Change(WORD, vec![n + 1, 0, 0, 0])));
        let link = faults.fold(link(), |link, (n, fault)| link.with_fault(n, fault));
        let error = read(&mut places(), &mut metered(link)).expect_err("no reading");
        assert!(matches!(error, CollectError::NeverAtRest { times: MAX_MOVES, .. }), "{error}");
    }

    #[test]
    fn a_word_that_is_back_at_zero_is_no_move() {
        let mut places = places();
        let link = link()
            .with_fault(0, Fault::Change(WORD, BIAS.to_vec()))
            .with_fault(2, Fault::Change(WORD, vec![0; 8]));
        let mut link = metered(link);
        read(&mut places, &mut link).expect("moved");
        let before = places.biases().to_vec();
        assert_eq!(read(&mut places, &mut link).expect("back"), (1, 1));
        assert_eq!(places.moved_since(&before), [false]);
    }
}
