//! Which bytes of which file a target's memory is in.
//!
//! What always holds: stretches are in order and do not overlap; what a core left out is no byte of any file.

use std::fmt;

use covtap_link::{AddrRange, TargetAddr};

/// How many ranges a message names.
const MAX_NAMED: usize = 4;

/// Memory that follows each other in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stretch {
    /// The memory; what of it lies behind `present_bytes` was left out of the file.
    pub(crate) range: AddrRange,
    pub(crate) present_bytes: u64,
    /// The file's index.
    pub(crate) file: usize,
    /// Where in the file the range begins.
    pub(crate) offset: u64,
}

/// A part of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    pub(crate) file: usize,
    pub(crate) offset: u64,
    pub(crate) len_bytes: u64,
}

/// The memory of a dump, by address.
#[derive(Clone, Default, Debug)]
pub(crate) struct Map(Vec<Stretch>);

/// Memory that is not in a dump.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Absent {
    /// The first address that is not there.
    at: TargetAddr,
    /// The range that it was left out of, if it was.
    left_out_of: Option<AddrRange>,
    /// What there is.
    present: Vec<AddrRange>,
}

impl Map {
    /// Memory that is in one place each.
    ///
    /// # Errors
    ///
    /// Two stretches that have the same memory.
    pub(crate) fn distinct(stretches: Vec<Stretch>) -> Result<Self, (Stretch, Stretch)> {
        let map = Self(sorted(stretches));
        let mut pairs = map.0.iter().zip(map.0.iter().skip(1));
        match pairs.find(|(one, next)| next.range.start() < one.range.end()) {
            Some((one, next)) => Err((*one, *next)),
            None => Ok(map),
        }
    }

    /// Memory that a dump may have several times; the first is taken.
    pub(crate) fn repeated(stretches: Vec<Stretch>) -> Self {
        let mut all: Vec<Stretch> = Vec::with_capacity(stretches.len());
        for stretch in sorted(stretches) {
            let start = stretch.range.start().get();
            let known = all.last().map_or(start, |last| last.range.end().get()).max(start);
            let cut = known - start;
            if let Some(len_bytes) = stretch.range.len_bytes().checked_sub(cut).filter(|len| *len > 0) {
                all.extend(AddrRange::new(TargetAddr::new(known), len_bytes).map(|range| Stretch {
                    range,
                    present_bytes: stretch.present_bytes.saturating_sub(cut),
                    offset: stretch.offset.saturating_add(cut),
                    ..stretch
                }));
            }
        }
        Self(all)
    }

    /// Whether there is no address at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the `len_bytes` bytes from `addr` on are.
    ///
    /// # Errors
    ///
    /// The first of them that is nowhere.
    pub(crate) fn pieces(&self, addr: TargetAddr, len_bytes: u64) -> Result<Vec<Piece>, Absent> {
        let (mut at, mut left) = (addr, len_bytes);
        let mut pieces = Vec::new();
        while left > 0 {
            let before = self.0.partition_point(|stretch| stretch.range.start() <= at);
            let around = before.checked_sub(1).and_then(|index| self.0.get(index));
            let around = around.filter(|stretch| stretch.range.contains(at));
            let inside = around.map_or(0, |stretch| at.get() - stretch.range.start().get());
            let present = around.map_or(0, |stretch| stretch.present_bytes.saturating_sub(inside));
            let (Some(stretch), 1..) = (around, present) else {
                let left_out_of = around.map(|stretch| stretch.range);
                return Err(Absent { at, left_out_of, present: self.present() });
            };
            let len_bytes = left.min(present);
            let offset = stretch.offset.saturating_add(inside);
            pieces.push(Piece { file: stretch.file, offset, len_bytes });
            left -= len_bytes;
            // Within the stretch, whose end is an address.
            at = TargetAddr::new(at.get().saturating_add(len_bytes));
        }
        Ok(pieces)
    }

    /// What can be read: neighbours joined.
    pub(crate) fn present(&self) -> Vec<AddrRange> {
        let mut ranges: Vec<AddrRange> = Vec::new();
        for stretch in self.0.iter().filter(|stretch| stretch.present_bytes > 0) {
            let joined = ranges.pop_if(|earlier| earlier.end() == stretch.range.start());
            let start = joined.map_or(stretch.range.start(), AddrRange::start);
            let before = joined.map_or(0, AddrRange::len_bytes);
            ranges.extend(AddrRange::new(start, before.saturating_add(stretch.present_bytes)));
        }
        ranges
    }
}

fn sorted(mut stretches: Vec<Stretch>) -> Vec<Stretch> {
    stretches.retain(|stretch| !stretch.range.is_empty());
    stretches.sort_by_key(|stretch| (stretch.range.start(), stretch.offset));
    stretches
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.left_out_of {
            Some(range) => write!(f, "{} of {range} was left out of the dump", self.at)?,
            None => write!(f, "the dump has nothing at {}", self.at)?,
        }
        if self.present.is_empty() {
            return f.write_str(", and nothing elsewhere");
        }
        let named = self.present.iter().take(MAX_NAMED).map(ToString::to_string);
        write!(f, ", it has {}", named.collect::<Vec<_>>().join(", "))?;
        match self.present.len().checked_sub(MAX_NAMED) {
            Some(more @ 1..) => write!(f, " and {more} more ranges"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(start: u64, len_bytes: u64, present_bytes: u64, offset: u64) -> Stretch {
        let range = AddrRange::new(TargetAddr::new(start), len_bytes).expect("fits");
        Stretch { range, present_bytes, file: 0, offset }
    }

    fn at(addr: u64) -> TargetAddr {
        TargetAddr::new(addr)
    }

    #[test]
    fn a_range_may_be_in_several_pieces() {
        let map = Map::distinct(vec![stretch(0x2000, 0x10, 0x10, 0x500), stretch(0x1ff0, 0x10, 0x10, 0x100)]);
        let pieces = map.expect("distinct").pieces(at(0x1ff8), 0x10).expect("there");
        let piece = |offset| Piece { file: 0, offset, len_bytes: 8 };
        assert_eq!(pieces, [piece(0x108), piece(0x500)]);
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let map = Map::distinct(vec![stretch(0x1000, 0x20, 0x10, 0), stretch(0x3000, 8, 8, 0x10)]);
        let map = map.expect("distinct");
        let words = |addr, len| map.pieces(at(addr), len).expect_err("absent").to_string();
        let has = "it has 0x1000..0x1010, 0x3000..0x3008";
        assert_eq!(words(0x1008, 0x10), format!("0x1010 of 0x1000..0x1020 was left out of the dump, {has}"));
        assert_eq!(words(0x3000, 9), format!("the dump has nothing at 0x3008, {has}"));
        assert_eq!(words(u64::MAX, 2), format!("the dump has nothing at 0xffffffffffffffff, {has}"));
        assert_eq!(map.pieces(at(0x5000), 0), Ok(vec![]));
    }

    #[test]
    fn what_is_there_twice_is_refused_or_taken_once() {
        let twice = || vec![stretch(0x1000, 0x20, 0x20, 0), stretch(0x1010, 0x20, 0x18, 0x100)];
        assert!(Map::distinct(twice()).is_err());
        let map = Map::repeated(twice());
        assert_eq!(map.present(), [AddrRange::new(at(0x1000), 0x28).expect("fits")]);
        let pieces = map.pieces(at(0x101c), 8).expect("there");
        assert_eq!((pieces[0].offset, pieces[1].offset), (0x1c, 0x110));
    }
}
