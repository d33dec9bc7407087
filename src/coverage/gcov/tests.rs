//! Notes and counters that no compiler here writes.

use proptest::prelude::*;

use super::cycles::Cycles;
use super::evaluate::Graphs;
use super::solve::Graph;
use super::*;

/// Writes notes in the order and the unit of a release.
struct Writer {
    bytes: Vec<u8>,
    is_big: bool,
    in_bytes: bool,
}

impl Writer {
    fn new(version: &[u8; 4], is_big: bool, in_bytes: bool) -> Self {
        let mut writer = Self { bytes: Vec::new(), is_big, in_bytes };
        writer.words(&[u32::from_be_bytes(*b"gcno"), u32::from_be_bytes(*version), 77]);
        writer
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.bytes.extend(if self.is_big { word.to_be_bytes() } else { word.to_le_bytes() });
        }
    }

    fn string(&mut self, text: &str) {
        let mut bytes = [text.as_bytes(), &[0]].concat();
        if !self.in_bytes {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let unit = if self.in_bytes { 1 } else { 4 };
        self.words(&[u32::try_from(bytes.len() / unit).unwrap()]);
        self.bytes.extend(bytes);
    }

    fn record(&mut self, tag: u32, fill: impl FnOnce(&mut Self)) {
        let mut data = Self { bytes: Vec::new(), ..*self };
        fill(&mut data);
        let unit = if self.in_bytes { 1 } else { 4 };
        self.words(&[tag, u32::try_from(data.bytes.len() / unit).unwrap()]);
        self.bytes.extend(data.bytes);
    }

    fn arcs(&mut self, words: &[u32]) {
        self.record(0x0143_0000, |data| data.words(words));
    }
}

/// A loop over block 2 or 1, on line 7: entered from the entry, left to the exit. GCC 4.8 has no columns.
fn old_notes(version: &[u8; 4], is_big: bool, exit: u32) -> Vec<u8> {
    let inner = 3 - exit.min(2);
    let mut writer = Writer::new(version, is_big, false);
    writer.record(0x0100_0000, |data| {
        data.words(&[1, 2, 3]);
        data.string("main");
        data.string("./a//b.c");
        data.words(&[5]);
    });
    writer.record(0x0141_0000, |data| data.words(&[0, 0, 0]));
    writer.arcs(&[0, inner, 1]);
    writer.arcs(&[inner, inner, 0, exit, 0]);
    writer.record(0x0145_0000, |data| data.words(&[inner, 7, 0, 0]));
    writer.bytes
}

fn counters(arcs: &[u64]) -> FunctionCounters<'_> {
    FunctionCounters { ident: 1, lineno_checksum: 2, cfg_checksum: 3, arcs, conditions: &[], paths: &[] }
}

#[test]
fn old_releases_are_read_in_either_order() {
    // Since GCC 4.8 the exit is block 1; before, it was the last.
    for (version, exit) in [(b"408*", 1), (b"407*", 2), (b"A75*", 1)] {
        let [little, big] =
            [false, true].map(|is_big| Notes::parse(&old_notes(version, is_big, exit)).unwrap());
        assert_eq!(little, big);
        assert_eq!((little.stamp, &little.damage, &little.cwd), (77, &None, &None));
        let function = &little.functions[0];
        assert_eq!((function.exit_block, function.start_line, function.end_line), (exit, 5, None));
        assert_eq!(&*little.sources[0], b"a/b.c");
        // The loop was taken 4 times, and left once.
        let unit = UnitCoverage::new(&little, [counters(&[4, 1])]);
        assert_eq!(unit.incoherent, []);
        let lines = &unit.sources[0].lines;
        assert_eq!((lines[0].line_number, lines.len()), (7, 1));
        assert_eq!(unit.sources[0].functions[0].execution_count, 1);
        assert_eq!(lines[0].count, 5);
    }
}

#[test]
fn decisions_of_gcc_14_are_read() {
    let mut writer = Writer::new(b"B42*", false, true);
    writer.words(&[0]);
    writer.string("/src");
    writer.words(&[1]);
    writer.record(0x0100_0000, |data| {
        data.words(&[1, 2, 3]);
        data.string("f");
        data.words(&[0]);
        data.string("f.c");
        data.words(&[1, 2, 3, 4]);
    });
    writer.record(0x0141_0000, |data| data.words(&[4]));
    writer.record(0x0147_0000, |data| data.words(&[2, 3, 3, 2]));
    writer.record(0x0149_0000, |data| data.words(&[9]));
    let notes = Notes::parse(&writer.bytes).unwrap();
    assert_eq!((notes.cwd.as_deref(), notes.has_unexecuted_blocks), (Some(&b"/src"[..]), true));
    let function = &notes.functions[0];
    assert_eq!(
        function.conditions,
        [Condition { block: 2, num_terms: 3 }, Condition { block: 3, num_terms: 2 }]
    );
    assert_eq!((function.start_column, function.end_line, function.end_column), (Some(2), Some(3), Some(4)));
}

#[test]
fn what_is_no_notes_file_is_refused() {
    let error = |bytes: &[u8]| Notes::parse(bytes).unwrap_err().to_string();
    assert_eq!(
        error(b"adcg*22B"),
        "read notes: the file begins with \"adcg\", not with gcno in either byte order"
    );
    assert_eq!(error(b"gcno406*\0\0\0\0"), "read notes: version \"406*\" is no release since GCC 4.7");
    assert_eq!(
        error(b"gcnoB22*\0"),
        "read the header of notes at offset 8: 4 bytes are said to follow, there are 1"
    );
}

#[test]
fn damage_leaves_the_functions_before_it() {
    let whole = old_notes(b"408*", false, 1);
    let mut twice = whole.clone();
    twice.extend_from_slice(&whole[12..]);
    for end in whole.len() + 1..twice.len() {
        let notes = Notes::parse(&twice[..end]).unwrap();
        let num = notes.functions.len();
        // The first one ends where the second one's record of 52 bytes is whole; the file might end with any record.
        let whole_ones = usize::from(end >= whole.len() + 52);
        assert_eq!(num, whole_ones + usize::from(notes.damage.is_none()), "{end} {:?}", notes.damage);
    }
    assert_eq!(Notes::parse(&twice).unwrap().functions.len(), 2);
    // More blocks than the file has words for.
    let mut huge = Writer::new(b"B22*", false, true);
    huge.words(&[0, 0, 1]);
    huge.record(0x0100_0000, |data| {
        data.words(&[1, 2, 3, 0, 0, 0, 0, 0, 0, 0]);
    });
    huge.record(0x0141_0000, |data| data.words(&[u32::MAX]));
    let damage = Notes::parse(&huge.bytes).unwrap().damage.unwrap();
    assert!(
        damage.detail.starts_with("4294967295 blocks are said to follow, there is room for"),
        "{damage:?}"
    );
}

/// A function of so many blocks on one line, with these arcs.
pub(super) fn tangle(num_blocks: u32, arcs: &[(u32, u32, u32)]) -> Notes {
    let mut writer = Writer::new(b"B22*", false, true);
    writer.words(&[0, 0, 1]);
    writer.record(0x0100_0000, |data| {
        data.words(&[1, 2, 3]);
        data.string("f");
        data.words(&[0]);
        data.string("f.c");
        data.words(&[1, 1, 9, 1]);
    });
    writer.record(0x0141_0000, |data| data.words(&[num_blocks]));
    for block in 0..num_blocks {
        let of_block = arcs.iter().filter(|arc| arc.0 == block);
        let words: Vec<_> = of_block.flat_map(|(_, to, flags)| [*to, *flags]).collect();
        writer.arcs(&[&[block][..], &words].concat());
        writer.record(0x0145_0000, |data| {
            data.words(&[block, 0]);
            data.string("f.c");
            data.words(&[3, 0, 0]);
        });
    }
    let notes = Notes::parse(&writer.bytes).unwrap();
    assert_eq!(notes.damage, None);
    notes
}

#[test]
fn a_search_for_loops_ends_with_its_budget() {
    // Every block leads to every other.
    let arcs: Vec<_> = (2..40).flat_map(|a| (2..40).map(move |b| (a, b, 0))).collect();
    let notes = tangle(41, &arcs);
    let counts: Vec<_> = (0..arcs.len()).map(|at| 1u64 << (at % 50)).collect();
    let graphs = Graphs(vec![Some(Graph::solve(&notes.functions[0], &counts))]);
    let places: Vec<_> = (0..41).map(|block| (0, block)).collect();
    let mut budget = 1000;
    assert_eq!(Cycles::count(&graphs, &places, &mut budget), None);
    budget = 1 << 24;
    let count = Cycles::count(&graphs, &places, &mut budget).unwrap();
    // Loops of one block each are counted whole, and no arc twice.
    let own: u64 = arcs.iter().zip(&counts).filter(|(arc, _)| arc.0 == arc.1).map(|(_, count)| count).sum();
    assert!((own..=counts.iter().sum()).contains(&count), "{count}");
}

#[test]
fn sources_have_paths_from_the_root() {
    let path = |cwd: Option<&str>, source: &str| {
        let mut notes = tangle(2, &[]);
        notes.cwd = cwd.map(|cwd| cwd.as_bytes().to_vec());
        String::from_utf8(notes.path_of(source.as_bytes())).unwrap()
    };
    assert_eq!(path(Some("/build/lib"), "../src/a.c"), "/build/src/a.c");
    assert_eq!(path(Some("/build"), "/usr/lib/../include/a.h"), "/usr/include/a.h");
    assert_eq!(path(None, "src/a.c"), "src/a.c");
    // No folder has that name.
    assert_eq!(path(Some(&format!("/{}", "x".repeat(5000))), "a.c"), "a.c");
}

proptest! {
    #[test]
    fn nonsense_graphs_end_without_negative_counts(
        arcs in prop::collection::vec((0u32..12, 0u32..12, 0u32..8), 0..60),
        counts in prop::collection::vec(prop_oneof![0u64..9, any::<u64>()], 60),
    ) {
        let notes = tangle(12, &arcs);
        let counts = &counts[..notes.functions[0].num_counters()];
        let unit = UnitCoverage::new(&notes, [counters(counts)]);
        let sum = counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count));
        // Coherent counts of arcs are no greater than what was counted in all.
        let lines = unit.sources.iter().flat_map(|source| &source.lines);
        if let Some(sum) = sum.filter(|_| unit.incoherent.is_empty()) {
            for branch in lines.flat_map(|line| &line.branches) {
                prop_assert!(branch.count <= sum);
            }
        }
    }
}
