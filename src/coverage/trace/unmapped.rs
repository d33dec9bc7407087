//! What of a trace is in no image.
//!
//! What enters is runs of an address space and where images are in it; what leaves is how much is outside of all, and
//! where. What always holds: no more than [`MAX_LISTED`] ranges are listed, those of the lowest addresses; borders of
//! counts do not part a range.

use std::fmt;

use crate::image::{Image, Slide};
use crate::profile::trace::Trace;

/// More ranges are counted, and not listed.
const MAX_LISTED: usize = 20;

/// What was executed outside of all images.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Unmapped {
    /// The first ranges: address spaces, first and last addresses.
    pub ranges: Vec<(String, u64, u64)>,
    /// How many there are.
    pub num_ranges: usize,
    /// How many bytes they have.
    pub len_bytes: u64,
}

/// Where images are.
#[derive(Clone, Default, Debug)]
pub struct Mapped {
    /// Address spaces, first and last addresses, numbers of images.
    places: Vec<(String, u64, u64, usize)>,
    num_images: usize,
}

impl Mapped {
    /// Adds an image in an address space.
    pub fn add(&mut self, space: &str, image: &Image, slide: Slide) {
        let number = self.num_images;
        self.num_images = number.saturating_add(1);
        for extent in image.extents().iter().filter(|extent| extent.len_bytes > 0) {
            let start = slide.apply(extent.start, image.pointer_width()).get();
            let last = start.saturating_add(extent.len_bytes - 1);
            self.places.push((space.to_owned(), start, last, number));
        }
        self.places.sort_unstable();
    }

    /// Two images that are at one place: their numbers, in the order in which they were added.
    #[must_use]
    pub fn overlap(&self) -> Option<(usize, usize)> {
        let mut before: Option<&(String, u64, u64, usize)> = None;
        for place in &self.places {
            if let Some(other) =
                before.filter(|other| other.0 == place.0 && place.1 <= other.2 && other.3 != place.3)
            {
                return Some((other.3.min(place.3), other.3.max(place.3)));
            }
            if before.is_none_or(|other| other.0 != place.0 || other.2 < place.2) {
                before = Some(place);
            }
        }
        None
    }

    /// What of a trace is in none of them.
    #[must_use]
    pub fn outside(&self, trace: &Trace) -> Unmapped {
        let mut unmapped = Unmapped::default();
        for (name, space) in trace.spaces() {
            let here: Vec<_> = self.places.iter().filter(|place| place.0 == name).collect();
            let mut open = None;
            for run in space.runs() {
                let mut at = Some(run.start);
                // They are in order of their beginnings, and may overlap.
                for (_, start, last, _) in here.iter().copied() {
                    let Some(from) = at.filter(|from| *from <= run.last && *start <= run.last) else { break };
                    if *last < from {
                        continue;
                    }
                    if from < *start {
                        unmapped.take(name, &mut open, from, start - 1);
                    }
                    at = last.checked_add(1).filter(|after| *after <= run.last);
                }
                if let Some(from) = at {
                    unmapped.take(name, &mut open, from, run.last);
                }
            }
        }
        unmapped
    }
}

impl fmt::Display for Unmapped {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of code were executed outside of all ELFs:", self.len_bytes)?;
        for (index, (space, start, last)) in self.ranges.iter().enumerate() {
            let (comma, space) =
                (if index > 0 { "," } else { "" }, if space.is_empty() { "" } else { space });
            write!(f, "{comma} {space}{}{start:#x}-{last:#x}", if space.is_empty() { "" } else { ":" })?;
        }
        match self.num_ranges.saturating_sub(self.ranges.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Unmapped {
    /// Takes a range, which may go on where the one before ended.
    fn take(&mut self, space: &str, open: &mut Option<u64>, start: u64, last: u64) {
        self.len_bytes = self.len_bytes.saturating_add((last - start).saturating_add(1));
        let goes_on = open.and_then(|end: u64| end.checked_add(1)) == Some(start);
        *open = Some(last);
        match self.ranges.last_mut() {
            Some(range) if goes_on && self.num_ranges <= MAX_LISTED => range.2 = last,
            _ if goes_on => {}
            _ => {
                self.num_ranges = self.num_ranges.saturating_add(1);
                if self.num_ranges <= MAX_LISTED {
                    self.ranges.push((space.to_owned(), start, last));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::trace::{Counting, TraceBuilder};

    #[test]
    fn what_is_in_no_image_is_listed_by_space() {
        let place = |space: &str, start, last, image| (space.to_owned(), start, last, image);
        let places = vec![place("a", 0x10, 0x1f, 0), place("a", 0x18, 0x2f, 1), place("b", 0, 0xff, 2)];
        let mapped = Mapped { places, num_images: 3 };
        assert_eq!(mapped.overlap(), Some((0, 1)));
        let mut trace = TraceBuilder::new(Counting::Times);
        // Two counts, one range.
        for (space, start, len_bytes, count) in
            [("a", 8, 4, 1), ("a", 12, 8, 2), ("a", 0x28, 0x10, 1), ("b", 0xf0, 0x11, 1), ("c", 1, 1, 1)]
        {
            trace.block(space, start, len_bytes, count).unwrap();
        }
        let unmapped = mapped.outside(&trace.finish());
        let text = "18 bytes of code were executed outside of all ELFs: a:0x8-0xf, a:0x30-0x37, b:0x100-0x100, c:0x1-0x1";
        assert_eq!(unmapped.to_string(), text);
    }

    #[test]
    fn only_the_first_ranges_are_listed() {
        let mut trace = TraceBuilder::new(Counting::Reached);
        (0..30).for_each(|index| trace.block("", index * 16, 2, 1).unwrap());
        let unmapped = Mapped::default().outside(&trace.finish());
        let Unmapped { ranges, num_ranges, len_bytes } = &unmapped;
        assert_eq!((ranges.len(), *num_ranges, *len_bytes), (MAX_LISTED, 30, 60));
        assert!(unmapped.to_string().ends_with("0x130-0x131 and 10 more"), "{unmapped}");
    }
}
