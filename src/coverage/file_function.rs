//! A function as a file has it, whoever counted it.

use super::branch::FileBranch;
use super::file::FileCoverage;
use super::function::FunctionCoverage;
use super::gcov::{ConditionCount, FunctionSum};
use super::lines::LineRun;
use super::segments::Segment;
use super::statistics::{self, Statistics};
use super::whole_lines;

/// A function whose body is in a file's text.
#[derive(Clone, Copy, Debug)]
pub struct FileFunction<'a> {
    /// The name that the linker knows.
    pub name: &'a [u8],
    /// How often it was entered.
    pub count: u64,
    source: Source<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Llvm(&'a FunctionCoverage),
    Gcov(&'a FunctionSum),
}

impl<'a> FileFunction<'a> {
    /// What LLVM knows of it, if it is who counted.
    #[must_use]
    pub fn llvm(&self) -> Option<&'a FunctionCoverage> {
        match self.source {
            Source::Llvm(function) => Some(function),
            Source::Gcov(_) => None,
        }
    }

    /// The line that it begins on.
    #[must_use]
    pub fn start_line(&self) -> u32 {
        match self.source {
            Source::Llvm(function) => function.start_line(),
            Source::Gcov(function) => function.start_line,
        }
    }

    /// The last line of its body.
    #[must_use]
    pub fn last_line(&self) -> u32 {
        match self.source {
            Source::Llvm(function) => function.last_line(),
            Source::Gcov(function) => function.end_line,
        }
    }

    /// The segments of its body.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment> {
        match self.source {
            Source::Llvm(function) => function.segments(),
            Source::Gcov(function) => whole_lines::segments(Vec::new(), &[], &function.lines),
        }
    }

    /// The lines of its body.
    #[must_use]
    pub fn lines(&self) -> Vec<LineRun> {
        match self.source {
            Source::Llvm(function) => function.lines(),
            Source::Gcov(function) => whole_lines::runs(Vec::new(), &function.lines),
        }
    }

    /// The branches in the text of its body, but not those in macros.
    #[must_use]
    pub fn own_branches(&self) -> Vec<FileBranch<'a>> {
        match self.source {
            Source::Llvm(function) => {
                let body = function.main_file().unwrap_or_default();
                function.branches_of(body).iter().map(FileBranch::from).collect()
            }
            Source::Gcov(function) => whole_lines::branches(&function.lines).collect(),
        }
    }

    /// The lines of its body; none if the body is not in `file`.
    #[must_use]
    pub fn lines_in(&self, file: &FileCoverage<'a>) -> Vec<LineRun> {
        match self.source {
            Source::Llvm(function) if file.main_file(function).is_none() => Vec::new(),
            _ => self.lines(),
        }
    }

    /// The branches of its body, those in macros where the macro is used; none if the body is not in `file`.
    #[must_use]
    pub fn branches_in(&self, file: &FileCoverage<'a>) -> Vec<FileBranch<'a>> {
        match self.source {
            Source::Llvm(function) => file.branches_of(function),
            Source::Gcov(function) => whole_lines::branches(&function.lines).collect(),
        }
    }

    /// What gcov counted of decisions in its body, by the lines that they are taken on.
    pub fn conditions(&self) -> impl Iterator<Item = (u32, &'a [ConditionCount])> + use<'a> {
        match self.source {
            Source::Llvm(_) => whole_lines::conditions(&[]),
            Source::Gcov(function) => whole_lines::conditions(&function.lines),
        }
    }

    /// How much ran of its lines, regions, branches and conditions.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        match self.source {
            Source::Llvm(function) => function.statistics(),
            Source::Gcov(function) => statistics::of_sum(function),
        }
    }
}

impl<'a> From<&'a FunctionCoverage> for FileFunction<'a> {
    fn from(function: &'a FunctionCoverage) -> Self {
        Self { name: &function.name, count: function.count, source: Source::Llvm(function) }
    }
}

impl<'a> From<&'a FunctionSum> for FileFunction<'a> {
    fn from(function: &'a FunctionSum) -> Self {
        Self { name: &function.name, count: function.count, source: Source::Gcov(function) }
    }
}
