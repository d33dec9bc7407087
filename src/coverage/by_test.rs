//! Which of many tests reaches what.
//!
//! What enters is the [`Coverage`] of one test after the other, and of all together; what leaves is how much each
//! reached, and for every line that has code the tests that reach it. What always holds: of a test only what it reached
//! is kept, as runs of lines, however long those are; tests are in the order in which they were added; a line that has
//! code is there, also when no test reaches it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::statistics::Statistics;
use super::{Coverage, FileCoverage, FileName, FunctionCoverage, LineRun};

/// How much of a program a test reached.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Reached {
    /// Functions of the source that were entered.
    pub functions: u64,
    /// Lines that ran.
    pub lines: u64,
    /// Regions that ran; none of what gcov counts.
    pub regions: u64,
}

/// What one test reached: nothing of it depends on others.
#[derive(Clone, Default, Debug)]
pub struct TestReach {
    reached: Reached,
    /// The lines that ran, of each file that has any.
    files: Vec<(FileName, Vec<LineRun>)>,
}

/// The tests, and what each reached.
#[derive(Clone, Default, Debug)]
pub struct ByTest {
    names: Vec<String>,
    reached: Vec<Reached>,
    files: BTreeMap<FileName, TestedFile>,
}

/// One file's lines, and the tests that reach them.
#[derive(Clone, Default, Debug)]
pub struct TestedFile {
    /// Those that have code.
    lines: Vec<LineRun>,
    /// Those that tests reach, by the index of the test, in its order.
    by_test: Vec<(usize, Vec<LineRun>)>,
}

/// Lines in a row that have code, and that the same tests reach equally often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestedLines {
    /// The lines.
    pub lines: RangeInclusive<u32>,
    /// The tests that reach them, by index, each with how often it does; never 0.
    pub tests: Vec<(usize, u64)>,
}

/// No file of the coverage is meant by a name, or more than one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FindFileError {
    /// None is.
    #[error("find {name}: none of the {searched} files that have code is called so")]
    Nowhere {
        /// The name.
        name: String,
        /// How many files there are.
        searched: usize,
    },
    /// Two are.
    #[error("find {name}: {first} and {second} both end so")]
    Several {
        /// The name.
        name: String,
        /// The first.
        first: String,
        /// Another one.
        second: String,
    },
}

impl TestReach {
    /// What the coverage of a test has.
    #[must_use]
    pub fn of(coverage: &Coverage) -> Self {
        // A file of which nothing ran has no line that did: most tests reach little of a large program.
        let has_run: Vec<bool> = coverage.functions.iter().map(has_run).collect();
        let is_reached = |file: &FileCoverage<'_>| {
            let known = coverage.by_file.get(file.name);
            let mut functions = known.into_iter().flat_map(|known| &known.functions);
            file.sum.is_some() || functions.any(|index| has_run.get(*index).copied().unwrap_or_default())
        };
        let mut reach = Self::default();
        for file in coverage.files().filter(is_reached) {
            let Statistics { functions, lines, regions, .. } = file.statistics();
            let reached = &mut reach.reached;
            reached.functions = reached.functions.saturating_add(functions.covered);
            reached.lines = reached.lines.saturating_add(lines.covered);
            reached.regions = reached.regions.saturating_add(regions.covered);
            let lines = joined(file.lines().into_iter().filter(|run| run.count > 0));
            if !lines.is_empty() {
                reach.files.push((FileName::clone(file.name), lines));
            }
        }
        reach
    }
}

fn has_run(function: &FunctionCoverage) -> bool {
    function.count > 0 || function.regions.iter().any(|region| region.count > 0)
}

/// Runs that are next to each other and have one count as one; a line 0, which a damaged mapping can have, is left out.
fn joined(runs: impl Iterator<Item = LineRun>) -> Vec<LineRun> {
    let mut joined: Vec<LineRun> = Vec::new();
    for LineRun { lines, count } in runs {
        let (first, last) = (*lines.start().max(&1), *lines.end());
        match joined.last_mut() {
            _ if first > last => {}
            Some(before) if before.count == count && before.lines.end().checked_add(1) == Some(first) => {
                before.lines = *before.lines.start()..=last;
            }
            _ => joined.push(LineRun { lines: first..=last, count }),
        }
    }
    joined.shrink_to_fit();
    joined
}

impl ByTest {
    /// Adds a test.
    pub fn add(&mut self, name: &str, reach: TestReach) {
        let index = self.names.len();
        self.names.push(name.to_owned());
        self.reached.push(reach.reached);
        for (file, lines) in reach.files {
            self.files.entry(file).or_default().by_test.push((index, lines));
        }
    }

    /// Takes the lines that have code from the coverage of all tests, and leaves out files that it does not have.
    pub fn finish(&mut self, all: &Coverage) {
        for file in all.files() {
            let lines = joined(file.lines().into_iter().map(|run| LineRun { count: 0, ..run }));
            self.files.entry(FileName::clone(file.name)).or_default().lines = lines;
        }
        self.files.retain(|name, _| all.by_file.contains_key(name));
    }

    /// The names of the tests, in the order in which they were added.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How much each reached.
    #[must_use]
    pub fn reached(&self) -> &[Reached] {
        &self.reached
    }

    /// The files that have code, by name.
    pub fn files(&self) -> impl Iterator<Item = (&[u8], &TestedFile)> {
        self.files.iter().map(|(name, file)| (&**name, file))
    }

    /// Of each test, how many lines it reaches that no other does.
    #[must_use]
    pub fn only_here(&self) -> Vec<u64> {
        let mut only_here = vec![0u64; self.names.len()];
        for tested in self.files.values().flat_map(TestedFile::lines) {
            if let [(index, _)] = tested.tests[..]
                && let Some(sum) = only_here.get_mut(index)
            {
                *sum = sum.saturating_add(LineRun { lines: tested.lines, count: 1 }.num_lines());
            }
        }
        only_here
    }

    /// The full name of a file, given that or the components at its end.
    ///
    /// # Errors
    ///
    /// No file is called so, or several are.
    pub fn find_file(&self, name: &str) -> Result<&[u8], FindFileError> {
        let wanted = name.as_bytes();
        if let Some((whole, _)) = self.files.get_key_value(wanted) {
            return Ok(whole);
        }
        let ends_so = |path: &&FileName| {
            path.strip_suffix(wanted).is_some_and(|before| before.ends_with(b"/")) && !wanted.is_empty()
        };
        let mut found = self.files.keys().filter(ends_so);
        let text = |path: &FileName| crate::profile::shown(path);
        match (found.next(), found.next()) {
            (None, _) => Err(FindFileError::Nowhere { name: name.to_owned(), searched: self.files.len() }),
            (Some(file), None) => Ok(file),
            (Some(first), Some(second)) => {
                let (first, second) = (text(first), text(second));
                Err(FindFileError::Several { name: name.to_owned(), first, second })
            }
        }
    }

    /// The tests that reach a line, by index, each with how often it does; `None` if the line has no code.
    #[must_use]
    pub fn tests_of(&self, file: &[u8], line: u32) -> Option<Vec<(usize, u64)>> {
        let tested = self.files.get(file)?.tested_lines(line).next()?;
        tested.lines.contains(&line).then_some(tested.tests)
    }
}

impl TestedFile {
    /// Its lines that have code, in order.
    pub fn lines(&self) -> impl Iterator<Item = TestedLines> {
        self.tested_lines(1)
    }

    /// Its lines that have code, from the line `first` on.
    fn tested_lines(&self, first: u32) -> TestedLinesIter<'_> {
        let with_code = Cursor::new(&self.lines, first);
        let by_test = self.by_test.iter().map(|(index, runs)| (*index, Cursor::new(runs, first))).collect();
        TestedLinesIter { with_code, by_test, next_line: first.into() }
    }
}

/// The runs of a file that end at a line or behind it.
struct Cursor<'a>(&'a [LineRun]);

impl<'a> Cursor<'a> {
    fn new(runs: &'a [LineRun], line: u32) -> Self {
        let behind = runs.partition_point(|run| *run.lines.end() < line);
        Self(runs.get(behind..).unwrap_or_default())
    }

    /// The count of the line, if it is in a run, and before which line that changes; lines must not go back.
    fn at(&mut self, line: u64) -> (Option<u64>, u64) {
        while let [first, rest @ ..] = self.0
            && u64::from(*first.lines.end()) < line
        {
            self.0 = rest;
        }
        match self.0 {
            [] => (None, u64::MAX),
            [run, ..] if u64::from(*run.lines.start()) > line => (None, (*run.lines.start()).into()),
            [run, ..] => (Some(run.count), u64::from(*run.lines.end()).saturating_add(1)),
        }
    }
}

/// The lines of a file with their tests. Each step looks at every test that reaches the file, and makes no list of
/// those that do not reach the line.
struct TestedLinesIter<'a> {
    with_code: Cursor<'a>,
    by_test: Vec<(usize, Cursor<'a>)>,
    next_line: u64,
}

impl Iterator for TestedLinesIter<'_> {
    type Item = TestedLines;

    fn next(&mut self) -> Option<TestedLines> {
        while self.next_line <= u64::from(u32::MAX) {
            let first = self.next_line;
            let (code, mut behind) = self.with_code.at(first);
            let mut tests = Vec::new();
            for (index, runs) in &mut self.by_test {
                let (count, changes_at) = runs.at(first);
                behind = behind.min(changes_at);
                tests.extend(count.map(|count| (*index, count)));
            }
            self.next_line = behind;
            if code.is_some() || !tests.is_empty() {
                let [first, last] = [first, behind.saturating_sub(1)].map(u32::try_from);
                return Some(TestedLines { lines: first.ok()?..=last.ok()?, tests });
            }
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn run(lines: RangeInclusive<u32>, count: u64) -> LineRun {
        LineRun { lines, count }
    }

    fn reach(files: &[(&str, &[LineRun])]) -> TestReach {
        let file = |(name, runs): &(&str, &[LineRun])| (FileName::from(name.as_bytes()), runs.to_vec());
        TestReach { files: files.iter().map(file).collect(), ..TestReach::default() }
    }

    /// Three tests on two files.
    pub(crate) fn by_test() -> ByTest {
        let mut by_test = ByTest::default();
        by_test.add("a", reach(&[("/s/x.c", &[run(1..=2, 1), run(4..=4, 7)])]));
        by_test.add("b", reach(&[]));
        by_test.add("c", reach(&[("/s/x.c", &[run(2..=4, 2)]), ("/s/y/x.c", &[run(9..=10, 3)])]));
        for (name, lines) in [("/s/x.c", run(1..=6, 0)), ("/s/y/x.c", run(8..=10, 0)), ("z.c", run(5..=5, 0))]
        {
            by_test.files.entry(FileName::from(name.as_bytes())).or_default().lines = vec![lines];
        }
        by_test
    }

    #[test]
    fn lines_have_the_tests_that_reach_them() {
        let by_test = by_test();
        let shown: Vec<_> = by_test
            .files()
            .map(|(name, lines)| {
                let lines = lines.lines().map(|tested| (tested.lines, tested.tests)).collect::<Vec<_>>();
                (String::from_utf8(name.to_vec()).unwrap(), lines)
            })
            .collect();
        let x = vec![
            (1..=1, vec![(0, 1)]),
            (2..=2, vec![(0, 1), (2, 2)]),
            (3..=3, vec![(2, 2)]),
            (4..=4, vec![(0, 7), (2, 2)]),
            (5..=6, vec![]),
        ];
        let y = vec![(8..=8, vec![]), (9..=10, vec![(2, 3)])];
        let z = vec![(5..=5, vec![])];
        assert_eq!(shown, [("/s/x.c".to_owned(), x), ("/s/y/x.c".to_owned(), y), ("z.c".to_owned(), z)]);
        assert_eq!(by_test.only_here(), [1, 0, 3]);
    }

    #[test]
    fn a_line_is_looked_up_by_itself() {
        let by_test = by_test();
        let of = |line| by_test.tests_of(b"/s/x.c", line);
        assert_eq!(of(2), Some(vec![(0, 1), (2, 2)]));
        assert_eq!([of(5), of(6)], [Some(vec![]), Some(vec![])]);
        assert_eq!([of(0), of(7), of(u32::MAX)], [None, None, None]);
        assert_eq!(by_test.tests_of(b"/s/y/x.c", 10), Some(vec![(2, 3)]));
        assert_eq!(by_test.tests_of(b"z.c", 4), None);
        assert_eq!(by_test.tests_of(b"no.c", 4), None);
    }

    #[test]
    fn the_last_line_that_there_can_be_ends_it() {
        let lines = vec![run(8..=u32::MAX, 0)];
        let file = TestedFile { lines, by_test: vec![(4, vec![run(9..=u32::MAX, 3)])] };
        let shown: Vec<_> = file.lines().map(|tested| (tested.lines, tested.tests)).collect();
        assert_eq!(shown, [(8..=8, vec![]), (9..=u32::MAX, vec![(4, 3)])]);
    }

    #[test]
    fn a_file_is_found_by_whole_components() {
        let by_test = by_test();
        let find = |name: &str| by_test.find_file(name).map_err(|error| error.to_string());
        assert_eq!(find("/s/x.c"), Ok(&b"/s/x.c"[..]));
        assert_eq!(find("s/x.c"), Ok(&b"/s/x.c"[..]));
        assert_eq!(find("y/x.c"), Ok(&b"/s/y/x.c"[..]));
        assert_eq!(find("z.c"), Ok(&b"z.c"[..]));
        assert_eq!(find("x.c").unwrap_err(), "find x.c: /s/x.c and /s/y/x.c both end so");
        for name in [".c", "", "/x.c", "/s/y"] {
            let said = format!("find {name}: none of the 3 files that have code is called so");
            assert_eq!(find(name).unwrap_err(), said);
        }
    }

    #[test]
    fn runs_of_one_count_are_one() {
        let runs = [run(0..=0, 1), run(1..=2, 1), run(3..=3, 1), run(4..=4, 2), run(6..=6, 2)];
        assert_eq!(joined(runs.into_iter()), [run(1..=3, 1), run(4..=4, 2), run(6..=6, 2)]);
        assert_eq!(joined([run(0..=5, 1)].into_iter()), [run(1..=5, 1)]);
    }

    /// As many as a large suite has, on as many lines.
    #[test]
    fn a_thousand_tests_on_ten_thousand_lines_are_swept_at_once() {
        let mut by_test = ByTest::default();
        for test in 0..1000u32 {
            let lines: Vec<LineRun> =
                (1..=10_000).filter(|line| line % 1000 == test).map(|line| run(line..=line, 1)).collect();
            by_test.add(&test.to_string(), reach(&[("a.c", &lines)]));
        }
        let started = std::time::Instant::now();
        assert_eq!(by_test.only_here(), vec![10; 1000]);
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }
}
