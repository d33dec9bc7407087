//! What a `.gcda` file holds: the counters of one object, function by function.

use covtap_link::Endianness;

use crate::locate::gcov::{Dialect, Layout, Version};

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
    /// A file of GCC without functions; `None` if files of that version are not known, because it is older than
    /// GCC 4.7.
    #[must_use]
    pub fn new(version: Version, endianness: Endianness, stamp: u32) -> Option<Self> {
        Self::new_of(Dialect::Gcc, version, endianness, stamp)
    }

    /// A file of that dialect without functions; `None` if it has no files of that version.
    #[must_use]
    pub fn new_of(dialect: Dialect, version: Version, endianness: Endianness, stamp: u32) -> Option<Self> {
        let layout = dialect.layout(version)?;
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

    /// Makes it one of clang's, if it can be: only arcs, of a version that clang has files of.
    pub(super) fn become_clangs(&mut self) {
        let counters = self.functions.iter().flatten().flat_map(|function| &function.counters);
        let layout = Dialect::Clang.layout(self.version);
        if let Some(layout) = layout.filter(|_| counters.into_iter().all(|counters| counters.index == 0)) {
            self.layout = layout;
        }
    }

    /// Says what the runtime of the target would say of one run, of which `sum_max` is the largest arc counter of the
    /// program: GCC 9 and later, and clang, which writes no such counter.
    pub fn set_run(&mut self, sum_max: u32) {
        let is_clang = self.layout.dialect == Dialect::Clang;
        if self.layout.is_object_summary() {
            self.summary = Some(GcdaSummary { runs: 1, sum_max: if is_clang { 0 } else { sum_max } });
        } else if is_clang {
            self.program_summaries = vec![vec![0, 0, 1]];
        }
    }
}
