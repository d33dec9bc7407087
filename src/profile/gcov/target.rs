//! What a target has counted, as a file: what libgcov, or compiler-rt, would write if the program ended now.
//!
//! What enters is the static side of an image, a snapshot of its counter regions and the lists of most frequent values
//! that begin there; what leaves is a [`GcdaFile`] for each object. What always holds: a count is the target's own; a list
//! that could not be followed is empty and [`has_lists`](GcovProfile::has_lists) says so.

use super::{GcdaCounters, GcdaFile, GcdaFunction, topn};
use crate::image::uint;
use crate::locate::ListHead;
use crate::locate::gcov::{CounterKind, Function, GcovImage, Layout, Object};
use crate::profile::stats::{self, Stats};

/// The length of a counter.
const COUNTER_BYTES: usize = 8;
/// What memory has of one expression's list: total, number of values, the first one's address.
const LIST_WORDS: usize = ListHead::BYTES / COUNTER_BYTES;

/// The values of a list and their counts; `None` if they are not known.
type FollowedPairs<'l> = Option<&'l [(u64, u64)]>;
/// Lists, in the order of the heads.
type Lists<'a, 'l> = &'a mut dyn Iterator<Item = FollowedPairs<'l>>;
/// What was read: the regions, and the lists that begin there.
type Counted<'a, 'l> = (&'a [Vec<u8>], Lists<'a, 'l>);

/// An object's file cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("read the gcov counters of {image} for {filename}: {detail}")]
pub struct TargetError {
    /// The image's name.
    pub image: String,
    /// The file that the object's counters go to, control characters escaped.
    pub filename: String,
    /// Why not.
    pub detail: String,
}

/// What the objects of an image have counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GcovProfile {
    /// The files, in the order of the image's objects.
    pub files: Vec<GcdaFile>,
    /// Whether lists of most frequent values are not known, and have values that are not in the files.
    pub has_lists: bool,
}

impl GcovProfile {
    /// Reads the counts out of a snapshot of the image's regions.
    ///
    /// # Errors
    ///
    /// The snapshot is of other regions.
    pub fn new(image: &GcovImage, regions: &[Vec<u8>]) -> Result<Self, TargetError> {
        Self::with_lists(image, regions, [])
    }

    /// The same with the values, and their counts, of the lists that begin in the regions: of [`GcovImage::lists`], in
    /// that order. One that is missing or `None` is written with its total and no values, as libgcov writes one that it
    /// had no memory for: nobody takes a value for more frequent than it was.
    ///
    /// # Errors
    ///
    /// The snapshot is of other regions.
    pub fn with_lists<'l>(
        image: &GcovImage,
        regions: &[Vec<u8>],
        lists: impl IntoIterator<Item = FollowedPairs<'l>>,
    ) -> Result<Self, TargetError> {
        let mut profile = Self { files: Vec::with_capacity(image.objects.len()), has_lists: false };
        let mut lists = lists.into_iter();
        for object in &image.objects {
            let file = profile.file(image, object, (regions, &mut lists)).map_err(|detail| TargetError {
                image: image.name.clone(),
                filename: object.filename.escape_ascii().to_string(),
                detail,
            })?;
            profile.files.push(file);
        }
        let sum_max = profile.max_arc();
        profile.files.iter_mut().for_each(|file| file.set_run(sum_max));
        Ok(profile)
    }

    fn file(
        &mut self,
        image: &GcovImage,
        object: &Object,
        (regions, lists): Counted<'_, '_>,
    ) -> Result<GcdaFile, String> {
        let file = GcdaFile::new_of(object.dialect, object.version, image.endianness, object.stamp);
        let mut file = file.ok_or_else(|| format!("files of GCC {} are not known", object.version))?;
        file.checksum = object.checksum;
        for function in &object.functions {
            let counted = function.as_ref().map(|function| {
                let counted = self.function(image, file.layout(), function, (regions, &mut *lists));
                counted
                    .ok_or_else(|| format!("the snapshot lacks those of function {:#010x}", function.ident))
            });
            file.functions.push(counted.transpose()?);
        }
        Ok(file)
    }

    /// `None` if the snapshot lacks its counters.
    fn function(
        &mut self,
        image: &GcovImage,
        layout: &Layout,
        function: &Function,
        (regions, lists): Counted<'_, '_>,
    ) -> Option<GcdaFunction> {
        let Function { ident, lineno_checksum, cfg_checksum, ref counters } = *function;
        let counted = counters.iter().map(|counters| {
            let bytes = counters.bytes(regions)?.chunks_exact(COUNTER_BYTES);
            let mut values: Vec<u64> = bytes.map(|bytes| uint(bytes, image.endianness)).collect();
            let index = counters.index;
            topn::prune_fixed(layout, index, &mut values);
            let values = if layout.is_topn_list(index) { self.lists(&values, lists) } else { values };
            Some(GcdaCounters { index, values })
        });
        let counters = counted.collect::<Option<_>>()?;
        Some(GcdaFunction { ident, lineno_checksum, cfg_checksum, counters })
    }

    /// Lists as a file has them.
    fn lists(&mut self, memory: &[u64], lists: Lists<'_, '_>) -> Vec<u64> {
        let mut values = Vec::new();
        for [total, num, _] in memory.as_chunks::<LIST_WORDS>().0 {
            let pairs = lists.next().flatten();
            self.has_lists |= pairs.is_none() && *num > 0;
            let pairs = pairs.unwrap_or_default();
            values.extend([*total, pairs.len() as u64]);
            values.extend(pairs.iter().flat_map(|(value, count)| [*value, *count]));
        }
        values
    }

    /// The counters of arcs of each function that has content.
    fn arcs(&self) -> impl Iterator<Item = &[u64]> {
        self.files.iter().flat_map(|file| {
            let is_arcs = |counters: &&GcdaCounters| {
                matches!(file.layout().counters.get(counters.index), Some((CounterKind::Arcs, _)))
            };
            file.functions.iter().flatten().map(move |function| {
                function.counters.iter().find(is_arcs).map_or(&[][..], |arcs| &arcs.values)
            })
        })
    }

    /// The largest arc counter of the program: its low half, as libgcov keeps it.
    fn max_arc(&self) -> u32 {
        let [.., a, b, c, d] = self.arcs().flatten().max().copied().unwrap_or_default().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// How many counts of arcs are larger than any run makes them: the memory was not set to zero, or is not theirs.
    #[must_use]
    pub fn num_unbelievable(&self) -> usize {
        stats::num_unbelievable(self.arcs().flatten())
    }

    /// How much was reached, by the counters of arcs.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.arcs().map(Stats::of_function).sum()
    }
}

#[cfg(test)]
mod tests {
    use covtap_link::{Endianness, PointerWidth};

    use super::*;
    use crate::locate::gcov::{Counters, Dialect, MergeFn, Place, Version};
    use crate::profile::gcov::GcdaSummary;

    fn counters(index: usize, kind: CounterKind, num: u32, offset: usize) -> Counters {
        Counters { index, kind, merge: MergeFn::Add, num, place: Some(Place { region: 0, offset }) }
    }

    fn image(version: [u8; 4]) -> GcovImage {
        let function = Function {
            ident: 3,
            lineno_checksum: 4,
            cfg_checksum: 5,
            counters: vec![counters(0, CounterKind::Arcs, 2, 8), counters(3, CounterKind::TopN, 3, 24)],
        };
        let object = Object {
            dialect: Dialect::Gcc,
            version: Version::from_word(u32::from_be_bytes(version)).expect("a version"),
            stamp: 1,
            checksum: Some(2),
            filename: b"/a\n.gcda".to_vec(),
            functions: vec![None, Some(function)],
        };
        let (endianness, pointer_width) = (Endianness::Big, PointerWidth::Bits32);
        GcovImage { name: "a.elf".to_owned(), endianness, pointer_width, objects: vec![object] }
    }

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn counters_become_a_file_with_the_largest_arc_of_the_program() {
        let regions = [bytes(&[99, 7, 0x5_0000_0001, 12, 2, 0x2000])];
        let profile = GcovProfile::new(&image(*b"B22*"), &regions).unwrap();
        let [file] = &profile.files[..] else { panic!("{profile:?}") };
        assert_eq!(file.summary, Some(GcdaSummary { runs: 1, sum_max: 1 }));
        let [None, Some(function)] = &file.functions[..] else { panic!("{file:?}") };
        let values: Vec<_> = function.counters.iter().map(|c| (c.index, &c.values[..])).collect();
        assert_eq!(values, [(0, &[7, 0x5_0000_0001][..]), (3, &[12, 0])]);
        assert!(profile.has_lists);
        let pairs: &[(u64, u64)] = &[(40, 9), (41, 3)];
        let profile = GcovProfile::with_lists(&image(*b"B22*"), &regions, [Some(pairs)]).unwrap();
        let function = profile.files[0].functions[1].as_ref().unwrap();
        assert_eq!(
            (&function.counters[1].values[..], profile.has_lists),
            (&[12, 2, 40, 9, 41, 3][..], false)
        );
        let stats = Stats { counters_hit: 2, counters: 2, functions_entered: 1, functions: 1 };
        assert_eq!((profile.stats(), profile.num_unbelievable()), (stats, 0));
    }

    #[test]
    fn a_snapshot_of_something_else_is_refused() {
        let error = GcovProfile::new(&image(*b"B22*"), &[bytes(&[1, 2])]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "read the gcov counters of a.elf for /a\\n.gcda: the snapshot lacks those of function 0x00000003"
        );
    }
}
