//! What a `.gcda` file holds: the counters of one object, function by function.

use covtap_link::Endianness;

use crate::locate::gcov::{Layout, Version};

/// A `.gcda` file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GcdaFile {
    version: Version,
    layout: &'static Layout,
    /// The byte order of the target, and so of the file.
    pub endianness: Endianness,
    /// Which compilation it is of: the same in the `.gcno` file.
    pub stamp: u32,
    /// The same of the flow graphs; `None` before GCC 12.
    pub checksum: Option<u32>,
    /// What is said of the runs; from GCC 9 on. Some writers, such as Linux, leave it out.
    pub summary: Option<GcdaSummary>,
    /// The same up to GCC 8, one for each program that the object is in, as they stand in the file: words behind the
    /// length.
    pub program_summaries: Vec<Vec<u32>>,
    /// The object's functions; `None` where another object's copy of the function was linked.
    pub functions: Vec<Option<GcdaFunction>>,
}

/// What a file says of the runs that its counters are of.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GcdaSummary {
    /// How many runs.
    pub runs: u32,
    /// The largest arc counter of the whole program in each run, summed up: its low half.
    pub sum_max: u32,
}

/// The counters of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GcdaFunction {
    /// Which function of the object.
    pub ident: u32,
    /// Of its name and place in the source.
    pub lineno_checksum: u32,
    /// Of its flow graph.
    pub cfg_checksum: u32,
    /// By index, ascending.
    pub counters: Vec<GcdaCounters>,
}

/// The counters of one index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GcdaCounters {
    /// The index in [`Layout::counters`], which tells what they count.
    pub index: usize,
    /// As in the file: most frequent values are {total, n, n x (value, count)} from GCC 11 on.
    pub values: Vec<u64>,
}

impl GcdaFile {
    /// A file without functions; `None` if files of that version are not known, because it is older than GCC 4.7.
    #[must_use]
    pub fn new(version: Version, endianness: Endianness, stamp: u32) -> Option<Self> {
        let layout = version.layout()?;
        let checksum = layout.has_checksum.then_some(0);
        let (summary, program_summaries, functions) = (None, Vec::new(), Vec::new());
        Some(Self { version, layout, endianness, stamp, checksum, summary, program_summaries, functions })
    }

    /// The version of the compiler.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// What files of that version look like.
    #[must_use]
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }
}
