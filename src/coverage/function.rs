//! A function with its counts.

use super::evaluate::Evaluator;
use super::lines::{self, LineRun};
use super::mapping::{Counter, FileName, LineCol, MappedFunction, Region, RegionKind};
use super::mcdc::McdcRecord;
use super::segments::{self, Segment};

/// A region and how often it ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CountedRegion {
    /// What it is.
    pub kind: RegionKind,
    /// Where it begins.
    pub start: LineCol,
    /// Where it ends: behind its last column.
    pub end: LineCol,
    /// Index into [`FunctionCoverage::files`].
    pub file: u32,
    /// How often it ran; for branches, how often it was true.
    pub count: u64,
    /// For branches: how often it was false.
    pub false_count: u64,
    /// For branches: the compiler knew the outcome, and counts neither.
    pub is_folded: bool,
}

/// A function's regions, with counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionCoverage {
    /// The mangled name, without the file that is before the name of a local one.
    pub name: Vec<u8>,
    /// How often it was entered: the count of its first region.
    pub count: u64,
    /// The files that its regions are in: the one of its body first, then one for each expansion.
    pub files: Vec<FileName>,
    /// Code, expansions, what was skipped, and gaps. Never empty.
    pub regions: Vec<CountedRegion>,
    /// Branches.
    pub branches: Vec<CountedRegion>,
    /// MC/DC of its decisions, as far as it is known.
    pub mcdc_records: Vec<McdcRecord>,
    main_file: Option<u32>,
    pub(super) is_byte_coverage: bool,
}

impl FunctionCoverage {
    /// Puts counts to a function's regions; `None` are the counts of a function that has none.
    pub(super) fn evaluate(
        mapped: &MappedFunction<'_>,
        counts: Option<&[u64]>,
        is_byte_coverage: bool,
    ) -> Result<Self, String> {
        let mut evaluator = Evaluator::new(&mapped.expressions, counts);
        let num_branches = mapped.regions.iter().filter(|region| region.kind.is_branch()).count();
        let num_others = mapped.regions.len().saturating_sub(num_branches);
        let (mut regions, mut branches) = (Vec::with_capacity(num_others), Vec::with_capacity(num_branches));
        for region in &mapped.regions {
            let counted = evaluate(region, &mut evaluator)?;
            match region.kind {
                RegionKind::McdcDecision { .. } => {}
                kind if kind.is_branch() => branches.push(counted),
                _ => regions.push(counted),
            }
        }
        let first = regions.first().ok_or("it has no regions")?;
        Ok(Self {
            name: without_file(mapped.name, mapped.files.first()).to_vec(),
            count: first.count,
            files: mapped.files.clone(),
            main_file: main_file(&regions, mapped.files.len()),
            regions,
            branches,
            mcdc_records: Vec::new(),
            is_byte_coverage,
        })
    }

    /// The line that it begins on.
    #[must_use]
    pub fn start_line(&self) -> u32 {
        self.regions.first().map_or(0, |region| region.start.line)
    }

    /// The last line of its body.
    #[must_use]
    pub fn last_line(&self) -> u32 {
        let first = self.regions.first().map(|region| region.file);
        let body = self.regions.iter().filter(|region| Some(region.file) == first);
        body.map(|region| region.end.line).max().unwrap_or_default()
    }

    /// The index of the file of its body: the first that is not an expansion's.
    #[must_use]
    pub fn main_file(&self) -> Option<u32> {
        self.main_file
    }

    /// The name of a file of its.
    pub(super) fn file_name(&self, file: u32) -> Option<&FileName> {
        usize::try_from(file).ok().and_then(|file| self.files.get(file))
    }

    /// The segments of its body.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment> {
        let Some(main) = self.main_file() else { return Vec::new() };
        segments::build(self.regions.iter().filter(|region| region.file == main), self.is_byte_coverage)
    }

    /// The lines of its body.
    #[must_use]
    pub fn lines(&self) -> Vec<LineRun> {
        lines::runs(&self.segments())
    }

    /// The expansions in a file of its, each with the branches in it.
    pub(super) fn expansions(&self, file: u32) -> Vec<Expansion<'_>> {
        // What is expanded has a file of its own.
        if self.files.len() < 2 {
            return Vec::new();
        }
        let by_file = ByFile::new(self);
        let expansion = |region| Expansion { function: self, region, branches: by_file.expanded(region) };
        by_file.expansions(file).iter().map(|region| expansion(*region)).collect()
    }

    /// The branches in the expansions of a file of its, each with the place of the outermost expansion.
    pub(super) fn expanded_branches(&self, file: u32) -> impl Iterator<Item = (LineCol, &CountedRegion)> {
        let expansions = self.expansions(file).into_iter();
        expansions.flat_map(|Expansion { region, branches, .. }| {
            branches.into_iter().map(|branch| (region.start, branch))
        })
    }
}

/// A macro or an include as a function has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expansion<'a> {
    /// The function.
    pub function: &'a FunctionCoverage,
    /// Where it is used; its kind names the file of its text.
    pub region: &'a CountedRegion,
    /// The branches in its text, behind those in the expansions in that, of which the innermost are first.
    pub branches: Vec<&'a CountedRegion>,
}

/// A function's expansions and branches by the file that they are in.
struct ByFile<'a> {
    expansions: Vec<Vec<&'a CountedRegion>>,
    branches: Vec<Vec<&'a CountedRegion>>,
}

impl<'a> ByFile<'a> {
    fn new(function: &'a FunctionCoverage) -> Self {
        let files = function.files.len();
        let mut sorted = Self { expansions: vec![Vec::new(); files], branches: vec![Vec::new(); files] };
        let index = |file: u32| usize::try_from(file).unwrap_or(usize::MAX);
        for region in &function.regions {
            if matches!(region.kind, RegionKind::Expansion { .. })
                && let Some(of_file) = sorted.expansions.get_mut(index(region.file))
            {
                of_file.push(region);
            }
        }
        for branch in &function.branches {
            if let Some(of_file) = sorted.branches.get_mut(index(branch.file)) {
                of_file.push(branch);
            }
        }
        sorted
    }

    /// The branches in what a region expands to.
    fn expanded(&self, region: &CountedRegion) -> Vec<&'a CountedRegion> {
        let mut found = Vec::new();
        // A walk by hand: how deep macros nest is for the program to say.
        let mut pending = vec![(region, false)];
        while let Some((region, is_done)) = pending.pop() {
            let RegionKind::Expansion { file } = region.kind else { continue };
            if is_done {
                found.extend_from_slice(self.branches(file));
            } else {
                pending.push((region, true));
                pending.extend(self.expansions(file).iter().rev().map(|region| (*region, false)));
            }
        }
        found
    }

    fn expansions(&self, file: u32) -> &[&'a CountedRegion] {
        usize::try_from(file).ok().and_then(|file| self.expansions.get(file)).map_or(&[], Vec::as_slice)
    }

    fn branches(&self, file: u32) -> &[&'a CountedRegion] {
        usize::try_from(file).ok().and_then(|file| self.branches.get(file)).map_or(&[], Vec::as_slice)
    }
}

/// The first of so many files that is not an expansion's.
fn main_file(regions: &[CountedRegion], num_files: usize) -> Option<u32> {
    let mut is_expanded = vec![false; num_files];
    for region in regions {
        if let RegionKind::Expansion { file } = region.kind
            && let Some(seen) = usize::try_from(file).ok().and_then(|file| is_expanded.get_mut(file))
        {
            *seen = true;
        }
    }
    is_expanded.iter().position(|seen| !seen).and_then(|file| u32::try_from(file).ok())
}

fn evaluate(region: &Region, evaluator: &mut Evaluator<'_>) -> Result<CountedRegion, String> {
    let Region { kind, start, end, file, .. } = *region;
    let (count, false_count) = (evaluator.value(region.count)?, evaluator.value(region.false_count)?);
    let is_folded = kind.is_branch() && (region.count, region.false_count) == (Counter::Zero, Counter::Zero);
    Ok(CountedRegion { kind, start, end, file, count, false_count, is_folded })
}

/// A local function's name without `file:` or `file;` (`getFuncNameWithoutPrefix` in
/// `llvm/lib/ProfileData/InstrProf.cpp`, llvmorg-19.1.7).
fn without_file<'n>(name: &'n [u8], file: Option<&FileName>) -> &'n [u8] {
    let rest = file.filter(|file| !file.is_empty()).and_then(|file| name.strip_prefix(&**file));
    rest.and_then(|rest| rest.get(1..)).unwrap_or(name)
}
