//! What differs between the releases of GCC, in one table: counters, structures and files by version.
//!
//! What enters is the version word of a structure in memory or of a file; what leaves is its [`Layout`]. What always
//! holds: a word that no compiler writes has no [`Version`].
//!
//! Source: `gcc/gcov-io.h`, `gcc/gcov-counter.def`, `gcc/coverage.cc` and `libgcc/libgcov.h` of the releases named;
//! of clang's files `compiler-rt/lib/profile/GCDAProfiling.c`, llvmorg-19.1.7.

use std::fmt;

/// Whose structures in memory and whose files: both compilers write versions of GCC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dialect {
    /// GCC and libgcov.
    Gcc,
    /// clang (`--coverage`) and compiler-rt.
    Clang,
}

impl Dialect {
    /// What structures and files of that version look like, as [`Version::layout`] says of GCC's. clang's have no
    /// layout from GCC 12 on: its runtime knows nothing of what changed then, so that no tool reads its files.
    #[must_use]
    pub fn layout(self, version: Version) -> Option<&'static Layout> {
        let at = (version.major, version.minor);
        let (layouts, is_written) = match self {
            Self::Gcc => (&LAYOUTS[..], true),
            Self::Clang => (&LAYOUTS_OF_CLANG[..], at < GCC_12.since),
        };
        layouts.iter().rev().find(|layout| is_written && at >= layout.since)
    }
}

/// A compiler's version as gcov's structures and files carry it: four characters, the first one the highest byte of
/// the word. `B22*` is GCC 12.2, `408*` is GCC 4.8 and what clang writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    word: u32,
    major: u8,
    minor: u8,
}

impl Version {
    /// The version of that word, in the host's order; `None` if no compiler writes it.
    #[must_use]
    pub fn from_word(word: u32) -> Option<Self> {
        let [first, second, third, phase] = word.to_be_bytes();
        let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
        // Releases have `*`, development versions `e`, prereleases `r`, and distributions a space at times.
        if !matches!(phase, b'*' | b'e' | b'r' | b' ') {
            return None;
        }
        let (second, third) = (digit(second)?, digit(third)?);
        match first {
            // Up to GCC 6: the major version, and two digits for the minor one.
            b'3'..=b'6' => Some(Self { word, major: first - b'0', minor: second * 10 + third }),
            // From GCC 7 on: a letter for the tens of the major version, its ones, and the minor one.
            b'A'..=b'Z' => {
                let major = ((first - b'A') * 10).checked_add(second)?;
                Some(Self { word, major, minor: third })
            }
            _ => None,
        }
    }

    /// The word, in the host's order.
    #[must_use]
    pub fn word(self) -> u32 {
        self.word
    }

    /// The major version, 12 of GCC 12.2.
    #[must_use]
    pub fn major(self) -> u8 {
        self.major
    }

    /// The minor version, 2 of GCC 12.2.
    #[must_use]
    pub fn minor(self) -> u8 {
        self.minor
    }

    /// What GCC's structures and files of this version look like; `None` of one older than GCC 4.7. Of a version that
    /// is newer than all known it is the newest known: see [`is_known`](Self::is_known).
    #[must_use]
    pub fn layout(self) -> Option<&'static Layout> {
        Dialect::Gcc.layout(self)
    }

    /// Whether the table has it, or it is newer.
    #[must_use]
    pub fn is_known(self) -> bool {
        self.major <= NEWEST_KNOWN && self.layout().is_some()
    }
}

impl fmt::Display for Version {
    /// `12.2`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.word.to_be_bytes().escape_ascii())
    }
}

/// What a counter counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CounterKind {
    /// How often an arc of the flow graph was taken.
    Arcs,
    /// Values of a range of numbers.
    Interval,
    /// Powers of two.
    Pow2,
    /// The most frequent value, or several: single values up to GCC 9.
    TopN,
    /// The difference of two values that follow each other (up to GCC 6).
    Delta,
    /// The most frequent call target, or several.
    IndirectCall,
    /// The sum and the number of values.
    Average,
    /// The bitwise or of values.
    Ior,
    /// When a function ran first.
    TimeProfile,
    /// The most frequent call targets (GCC 5 to 9).
    IndirectCallTopN,
    /// The outcomes of conditions, as bits: MC/DC (from GCC 14).
    Conditions,
    /// The paths that were taken, as bits (from GCC 15).
    Paths,
}

/// How counters of two runs combine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MergeFn {
    /// The sum (`__gcov_merge_add`).
    Add,
    /// The bitwise or (`__gcov_merge_ior`).
    Ior,
    /// The smallest that is not 0 (`__gcov_merge_time_profile`).
    TimeProfile,
    /// Values with their counts (`__gcov_merge_topn`, `_single`, `_icall_topn`).
    TopN,
    /// A difference with its counts (`__gcov_merge_delta`).
    Delta,
}

/// Structures and files since one release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Whose they are. clang's runtime writes the summary behind the functions, and one more word of 0 at the end.
    pub dialect: Dialect,
    /// The first release, major and minor.
    pub since: (u8, u8),
    /// What counters of each index count, and how they merge: as many as `gcov_info` has merge functions.
    pub counters: &'static [(CounterKind, MergeFn)],
    /// `gcov_info` and files have a checksum behind the stamp, by which libgcov then tells builds apart.
    pub has_checksum: bool,
    /// Lengths in files are in bytes, not in words of 4.
    pub lengths_in_bytes: bool,
    /// Counters that are all 0 are a negative length in files.
    pub has_zero_lengths: bool,
    /// The tag of a file's summary: of the object since GCC 9, of the program before.
    pub summary_tag: u32,
    /// Most frequent values are lists in memory, not fields of the counters.
    pub has_topn_lists: bool,
}

impl Layout {
    /// Whether a file's summary is of the object, `runs` and `sum_max` alone, and not of the program.
    #[must_use]
    pub fn is_object_summary(&self) -> bool {
        self.summary_tag == OBJECT_SUMMARY
    }

    /// Whether the counters of that index are heads of lists: in memory {total, n, address of the first node}, in files
    /// {total, n, n x (value, count)}.
    #[must_use]
    pub fn is_topn_list(&self, index: usize) -> bool {
        let kind = self.counters.get(index).map(|(kind, _)| *kind);
        self.has_topn_lists && matches!(kind, Some(CounterKind::TopN | CounterKind::IndirectCall))
    }
}

/// The newest release that the table was made from.
const NEWEST_KNOWN: u8 = 16;

/// The tag of a summary up to GCC 8 (`GCOV_TAG_PROGRAM_SUMMARY`) and since (`GCOV_TAG_OBJECT_SUMMARY`).
const PROGRAM_SUMMARY: u32 = 0xa300_0000;
const OBJECT_SUMMARY: u32 = 0xa100_0000;

use CounterKind as K;
use MergeFn as M;

/// Counters by index, of the releases that changed them.
const OF_4_7: [(K, M); 8] = [
    (K::Arcs, M::Add),
    (K::Interval, M::Add),
    (K::Pow2, M::Add),
    (K::TopN, M::TopN),
    (K::Delta, M::Delta),
    (K::IndirectCall, M::TopN),
    (K::Average, M::Add),
    (K::Ior, M::Ior),
];
const OF_4_9: [(K, M); 9] = followed_by(OF_4_7, (K::TimeProfile, M::TimeProfile));
const OF_5: [(K, M); 10] = followed_by(OF_4_9, (K::IndirectCallTopN, M::TopN));
const OF_7: [(K, M); 9] = followed_by(OF_10, (K::IndirectCallTopN, M::TopN));
const OF_10: [(K, M); 8] = [
    (K::Arcs, M::Add),
    (K::Interval, M::Add),
    (K::Pow2, M::Add),
    (K::TopN, M::TopN),
    (K::IndirectCall, M::TopN),
    (K::Average, M::Add),
    (K::Ior, M::Ior),
    (K::TimeProfile, M::TimeProfile),
];
const OF_14: [(K, M); 9] = followed_by(OF_10, (K::Conditions, M::Ior));
const OF_15: [(K, M); 10] = followed_by(OF_14, (K::Paths, M::Ior));

/// The counters of a release that added one at the end.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where it is an error")]
const fn followed_by<const N: usize, const L: usize>(first: [(K, M); N], last: (K, M)) -> [(K, M); L] {
    let mut all = [last; L];
    let mut index = 0;
    while index < N {
        all[index] = first[index];
        index += 1;
    }
    all
}

/// What the first release of the table had.
const OLDEST: Layout = Layout {
    dialect: Dialect::Gcc,
    since: (4, 7),
    counters: &OF_4_7,
    has_checksum: false,
    lengths_in_bytes: false,
    has_zero_lengths: false,
    summary_tag: PROGRAM_SUMMARY,
    has_topn_lists: false,
};
const GCC_10: Layout = Layout { since: (10, 0), counters: &OF_10, summary_tag: OBJECT_SUMMARY, ..OLDEST };
const GCC_11: Layout = Layout { since: (11, 0), has_zero_lengths: true, has_topn_lists: true, ..GCC_10 };
const GCC_12: Layout = Layout { since: (12, 0), has_checksum: true, lengths_in_bytes: true, ..GCC_11 };

/// What clang writes as GCC 4.7 and later: arcs alone.
const CLANG: Layout = Layout { dialect: Dialect::Clang, counters: &[(K::Arcs, M::Add)], ..OLDEST };

/// Of clang, by the release of GCC that it names.
const LAYOUTS_OF_CLANG: [Layout; 2] = [CLANG, Layout { since: (9, 0), summary_tag: OBJECT_SUMMARY, ..CLANG }];

/// By release, the oldest first.
const LAYOUTS: [Layout; 10] = [
    OLDEST,
    Layout { since: (4, 9), counters: &OF_4_9, ..OLDEST },
    Layout { since: (5, 0), counters: &OF_5, ..OLDEST },
    Layout { since: (7, 0), counters: &OF_7, ..OLDEST },
    Layout { since: (9, 0), counters: &OF_7, summary_tag: OBJECT_SUMMARY, ..OLDEST },
    GCC_10,
    GCC_11,
    GCC_12,
    Layout { since: (14, 0), counters: &OF_14, ..GCC_12 },
    Layout { since: (15, 0), counters: &OF_15, ..GCC_12 },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &[u8; 4]) -> Option<Version> {
        Version::from_word(u32::from_be_bytes(*text))
    }

    #[test]
    fn letters_and_digits_of_any_word_are_a_version_or_none() {
        assert_eq!(version(b"Z55*").map(Version::major), Some(255));
        assert_eq!(version(b"Z65*").map(Version::major), None);
        assert_eq!(version(b"[00*").map(Version::major), None);
        assert_eq!(version(b"B:0*").map(Version::major), None);
    }

    #[test]
    fn versions_are_read_as_compilers_write_them() {
        for (text, shown, counters) in [
            (b"407*", "4.7", 8),
            (b"408*", "4.8", 8),
            (b"409*", "4.9", 9),
            (b"501*", "5.1", 10),
            (b"603*", "6.3", 10),
            (b"A75*", "7.5", 9),
            (b"A83r", "8.3", 9),
            (b"A93*", "9.3", 9),
            (b"B02*", "10.2", 8),
            (b"B13*", "11.3", 8),
            (b"B22*", "12.2", 8),
            (b"B33 ", "13.3", 8),
            (b"B42*", "14.2", 9),
            (b"B53e", "15.3", 10),
            (b"B62*", "16.2", 10),
        ] {
            let version = version(text).unwrap();
            assert_eq!(version.to_string(), shown);
            assert_eq!(version.word().to_be_bytes(), *text);
            assert_eq!(version.layout().unwrap().counters.len(), counters, "{shown}");
            assert!(version.is_known());
        }
    }

    #[test]
    fn what_no_compiler_writes_is_no_version() {
        for text in [b"B2x*", b"B22#", b"1234", b"xxxx", b"\0\0\0\0", b"722*"] {
            assert_eq!(version(text), None);
        }
        // Too old, and newer than the table.
        assert_eq!(version(b"406*").unwrap().layout(), None);
        let newer = version(b"B71*").unwrap();
        assert!(!newer.is_known());
        assert_eq!(newer.layout().unwrap().since, (15, 0));
    }

    #[test]
    fn files_of_clang_are_those_of_old_releases() {
        let layout = |text| Dialect::Clang.layout(version(text).unwrap());
        assert_eq!(layout(b"406*"), None);
        let oldest = layout(b"408*").unwrap();
        assert_eq!((oldest.dialect, oldest.counters.len()), (Dialect::Clang, 1));
        assert!(!oldest.is_object_summary() && layout(b"A93*").unwrap().is_object_summary());
        let newest = layout(b"B13*").unwrap();
        assert!(!newest.has_zero_lengths && !newest.has_checksum && !newest.lengths_in_bytes);
        assert_eq!(layout(b"B21*"), None);
    }

    #[test]
    fn layouts_differ_where_releases_did() {
        let layout = |text| version(text).unwrap().layout().unwrap();
        let facts = |text| {
            let layout = layout(text);
            (layout.has_checksum, layout.lengths_in_bytes, layout.has_zero_lengths, layout.has_topn_lists)
        };
        assert_eq!(facts(b"B02*"), (false, false, false, false));
        assert_eq!(facts(b"B13*"), (false, false, true, true));
        assert_eq!(facts(b"B22*"), (true, true, true, true));
        assert_eq!(
            (layout(b"A83*").summary_tag, layout(b"A93*").summary_tag),
            (PROGRAM_SUMMARY, OBJECT_SUMMARY)
        );
        assert_eq!(layout(b"B42*").counters[8], (CounterKind::Conditions, MergeFn::Ior));
        assert_eq!(layout(b"A83*").counters[4], (CounterKind::IndirectCall, MergeFn::TopN));
        assert_eq!(layout(b"603*").counters[9], (CounterKind::IndirectCallTopN, MergeFn::TopN));
    }
}
