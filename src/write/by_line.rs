//! Files line by line with the branches on each, for the formats that other tools take in.
//!
//! What enters is a [`Coverage`]; what leaves are its files, each with a name of its own and its lines in order. What
//! always holds: only lines that have code are there, and totals are those of the lines that are, so that a reader who
//! adds them up gets the same. Branches whose outcome the compiler knew are left out, as `llvm-cov export` leaves them
//! out, and so are those on lines without code, where no format has a place for them.

use crate::coverage::{Coverage, FileBranch, FileCoverage, FileFunction, LineRun, Tally};

use super::names::{Names, below, text};

/// The largest count that is written: readers keep 32 bits of it, and Jenkins, with a sign, takes more for 0.
pub(super) const MAX_COUNT: u64 = 0x7fff_ffff;

/// A file with a name of its own.
pub(super) struct NamedFile<'a> {
    pub(super) file: FileCoverage<'a>,
    pub(super) name: String,
    pub(super) lines: Lines<'a>,
}

/// The files, those below `root` by their path from there.
pub(super) fn files<'a>(
    coverage: &'a Coverage,
    root: Option<&'a [u8]>,
) -> impl Iterator<Item = NamedFile<'a>> {
    let mut names = Names::default();
    coverage.files().map(move |file| {
        let path = file.name();
        let short = root.and_then(|root| below(path, root)).unwrap_or(path);
        let name = names.claim(text(short), || text(path));
        let lines = Lines::new(file.lines(), file.branches());
        NamedFile { file, name, lines }
    })
}

/// Lines of a file that have code.
pub(super) struct Lines<'a> {
    runs: Vec<LineRun>,
    branches: Vec<FileBranch<'a>>,
}

/// A line that has code.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) number: u32,
    /// How often it ran, as often as readers can hold.
    pub(super) count: u64,
    pub(super) branches: &'a [FileBranch<'a>],
}

impl<'a> Lines<'a> {
    fn new(mut runs: Vec<LineRun>, mut branches: Vec<FileBranch<'a>>) -> Self {
        // A damaged mapping can have a line 0, which readers refuse.
        runs.retain(|run| *run.lines.start() > 0);
        let has_code = |line: u32| {
            let run = runs.get(runs.partition_point(|run| *run.lines.end() < line));
            run.is_some_and(|run| run.lines.contains(&line))
        };
        branches.retain(|branch| !branch.is_folded && has_code(branch.start.line));
        Self { runs, branches }
    }

    /// The lines of a function's body.
    pub(super) fn of_function(file: &FileCoverage<'a>, function: FileFunction<'a>) -> Self {
        Self::new(function.lines_in(file), function.branches_in(file))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        let mut rest = self.branches.as_slice();
        let lines = self.runs.iter().flat_map(|run| run.lines.clone().map(|line| (line, run.count)));
        lines.map(move |(number, count)| {
            let behind = rest.partition_point(|branch| branch.start.line <= number);
            let (branches, after) = rest.split_at_checked(behind).unwrap_or_default();
            rest = after;
            Line { number, count: count.min(MAX_COUNT), branches }
        })
    }

    /// How many of the lines ran.
    pub(super) fn covered(&self) -> Tally {
        self.runs.iter().map(LineRun::tally).sum()
    }

    /// How many of the branches' outcomes there were.
    pub(super) fn outcomes(&self) -> Tally {
        self.branches.iter().map(FileBranch::tally).sum()
    }
}

impl Line<'_> {
    /// How many of its branches' outcomes there were.
    pub(super) fn outcomes(&self) -> Tally {
        self.branches.iter().map(FileBranch::tally).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::LineCol;

    fn branch(line: u32, count: u64, false_count: u64) -> FileBranch<'static> {
        FileBranch::condition(LineCol { line, col: 1 }, count, false_count)
    }

    #[test]
    fn branches_stand_on_their_lines_and_others_are_left_out() {
        let runs = vec![
            LineRun { lines: 0..=0, count: 1 },
            LineRun { lines: 2..=3, count: u64::MAX },
            LineRun { lines: 4..=4, count: 0 },
            LineRun { lines: 7..=7, count: 5 },
        ];
        let folded = FileBranch { is_folded: true, ..branch(3, 0, 0) };
        let branches =
            vec![branch(1, 1, 1), branch(3, 1, 0), folded, branch(3, 2, 2), branch(5, 1, 1), branch(7, 0, 0)];
        let lines = Lines::new(runs, branches);
        let shown: Vec<_> = lines.iter().map(|line| (line.number, line.count, line.outcomes())).collect();
        let tally = |covered, total| Tally { covered, total };
        assert_eq!(
            shown,
            [
                (2, MAX_COUNT, tally(0, 0)),
                (3, MAX_COUNT, tally(3, 4)),
                (4, 0, tally(0, 0)),
                (7, 5, tally(0, 2)),
            ]
        );
        assert_eq!((lines.covered(), lines.outcomes()), (tally(3, 4), tally(3, 6)));
    }
}
