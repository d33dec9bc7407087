//! Which instance of which function an address belongs to: the innermost.
//!
//! What enters is the ranges of functions and of what was inlined into them; what leaves is ranges that are apart, each
//! with one instance. What always holds: what passes the end of the range around it is cut there, so that there are no
//! more than twice as many as came in; of functions at one place, as copies of inline functions leave them in several
//! units, the first one counts.

/// A range of an instance, as debug information has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    pub(super) start: u64,
    /// Behind the last address.
    pub(super) end: u64,
    /// How many entries are around it.
    pub(super) depth: isize,
    /// The instance's number.
    pub(super) instance: u32,
}

/// Addresses of one instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    pub(super) start: u64,
    /// Behind the last address.
    pub(super) end: u64,
    /// Of all instances of an image.
    pub(super) instance: u64,
}

/// Makes ranges of one unit apart; `base` is added to the numbers of instances.
pub(super) fn flatten(mut extents: Vec<Extent>, base: u64) -> Vec<Segment> {
    extents.sort_by_key(|extent| (extent.start, extent.depth));
    let mut flat = Flat { segments: Vec::new(), at: 0, base };
    let mut open: Vec<Extent> = Vec::new();
    for mut extent in extents {
        while let Some(inner) = open.pop_if(|inner| inner.end <= extent.start) {
            flat.up_to(inner.end, inner.instance);
        }
        if let Some(around) = open.last() {
            flat.up_to(extent.start, around.instance);
            extent.end = extent.end.min(around.end);
        }
        flat.at = flat.at.max(extent.start);
        open.push(extent);
    }
    while let Some(inner) = open.pop() {
        flat.up_to(inner.end, inner.instance);
    }
    flat.segments
}

struct Flat {
    segments: Vec<Segment>,
    at: u64,
    base: u64,
}

impl Flat {
    fn up_to(&mut self, end: u64, instance: u32) {
        if self.at < end {
            let instance = self.base.saturating_add(u64::from(instance));
            self.segments.push(Segment { start: self.at, end, instance });
            self.at = end;
        }
    }
}

/// Makes those of all units apart.
pub(super) fn apart(mut segments: Vec<Segment>) -> Vec<Segment> {
    segments.sort_by_key(|segment| segment.start);
    let mut end = 0;
    segments.retain_mut(|segment| {
        segment.start = segment.start.max(end);
        let stays = segment.start < segment.end;
        if stays {
            end = segment.end;
        }
        stays
    });
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(segments: &[Segment]) -> Vec<(u64, u64, u64)> {
        segments.iter().map(|it| (it.start, it.end, it.instance)).collect()
    }

    #[test]
    fn the_innermost_counts_and_nothing_passes_what_is_around_it() {
        let extent = |start, end, depth, instance| Extent { start, end, depth, instance };
        let extents = vec![
            extent(10, 50, 1, 0),
            extent(10, 14, 2, 1),
            extent(20, 30, 2, 2),
            extent(22, 24, 3, 3),
            extent(28, 99, 3, 4),
            extent(60, 70, 1, 5),
        ];
        let expected = [
            (10, 14, 101),
            (14, 20, 100),
            (20, 22, 102),
            (22, 24, 103),
            (24, 28, 102),
            (28, 30, 104),
            (30, 50, 100),
            (60, 70, 105),
        ];
        assert_eq!(shown(&flatten(extents, 100)), expected);
    }

    #[test]
    fn of_copies_the_first_counts() {
        let segment = |start, end, instance| Segment { start, end, instance };
        let all = vec![segment(10, 20, 1), segment(10, 20, 2), segment(15, 25, 3), segment(30, 31, 4)];
        assert_eq!(shown(&apart(all)), [(10, 20, 1), (20, 25, 3), (30, 31, 4)]);
    }
}
