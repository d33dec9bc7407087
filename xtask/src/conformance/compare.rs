//! One case: built, counted, and every report of it compared.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use covtap::coverage::{Counts as Lookup, Coverage, Mapping};
use covtap::image::{Image, Slide};
use covtap::locate::llvm::{self, Located, RawVersion};
use covtap::profile::llvm::LlvmProfile;
use covtap::profile::{self, StoredProfile};
use covtap::write::{annotate, json, lcov, profraw, proftext, sources, summary};

use super::build::Builder;
use super::counts::{self, Counts};
use super::setups::Counted;
use super::{Case, oracle};

/// A report that is not LLVM's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Difference {
    pub(super) report: &'static str,
    /// The set of counts.
    pub(super) counts: &'static str,
    /// From 1.
    pub(super) line: usize,
    pub(super) ours: String,
    pub(super) theirs: String,
}

/// What was found in a case.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Found {
    pub(super) reports: usize,
    pub(super) differences: Vec<Difference>,
    /// Whether the tool of the compiler's own release makes another trace than that of LLVM 19.
    pub(super) is_other_in_own_release: bool,
}

/// A program that was built, in its folder.
struct Built<'a> {
    case: &'a Case<'a>,
    exe: PathBuf,
    image: Image,
    located: Located,
}

/// Runs a case. Its folder stays only if something is wrong.
pub(super) fn case(case: &Case<'_>, builder: &Builder) -> Result<Found> {
    let dir = case.dir();
    // What an earlier run kept.
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let exe = builder.build(case, &dir)?;
    let bytes = fs::read(&exe).with_context(|| format!("read {}", exe.display()))?;
    let image = Image::parse("program.elf", bytes)?;
    let located = llvm::locate(&image, Slide::ZERO)?;
    let found = Built { case, exe, image, located }.compare()?;
    if found.differences.is_empty() {
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    Ok(found)
}

impl Built<'_> {
    fn compare(&self) -> Result<Found> {
        let mut found = Found::default();
        let runtimes = self.exe.with_extension("runtime.profraw");
        let sets = counts::sets(self.case, &self.exe, &self.located, &runtimes)?;
        for counts in &sets {
            self.profile(counts, &mut found)?;
            if self.case.setup.flavour.counted == Counted::Coverage {
                self.reports(counts, &mut found)?;
            }
        }
        // The runtime's own file for optimisers has values, which covtap leaves out.
        if runtimes.is_file()
            && self.case.setup.flavour.counted == Counted::Coverage
            && !self.located.image.is_correlated()
        {
            let stored = profile::read("runtime.profraw", &read(&runtimes)?)?;
            self.text("run", &stored, &runtimes, &mut found)?;
        }
        Ok(found)
    }

    /// The counts as a raw profile of the compiler's own version, read by covtap and by the compiler's own tool.
    fn profile(&self, counts: &Counts, found: &mut Found) -> Result<()> {
        let image = &self.located.image;
        let bytes = profraw::encode_as(image, &counts.regions, image.version())?;
        let path = self.path(counts, "own.profraw");
        fs::write(&path, &bytes).with_context(|| format!("write {}", path.display()))?;
        self.text(counts.name, &profile::read("own.profraw", &bytes)?, &path, found)
    }

    fn text(
        &self,
        counts: &'static str,
        ours: &StoredProfile,
        theirs: &Path,
        found: &mut Found,
    ) -> Result<()> {
        let theirs = oracle::text(self.case.setup, theirs)?;
        let ours = String::from_utf8(proftext::encode(ours)?)?;
        found.add("proftext", counts, &ours, &theirs);
        Ok(())
    }

    /// The reports on source.
    fn reports(&self, counts: &Counts, found: &mut Found) -> Result<()> {
        let image = &self.located.image;
        let bytes = profraw::encode_as(image, &counts.regions, RawVersion::V10)?;
        let path = self.path(counts, "profraw");
        fs::write(&path, &bytes).with_context(|| format!("write {}", path.display()))?;
        let indexed = oracle::indexed(&path)?;
        let mapping = Mapping::decode(&self.image, image.names())?;
        let live = LlvmProfile::new(image, &counts.regions)?;
        let coverage = covered(&mapping, &Lookup::from(&live))?;
        let trace = trace(&coverage)?;
        let theirs = oracle::export(&self.exe, &indexed, "lcov")?;
        ensure!(theirs.contains("\nDA:"), "the program has no lines");
        found.add("lcov", counts.name, &trace, &theirs);
        self.look_into_own_release(counts, &theirs, found)?;
        if ["run", "small"].contains(&counts.name) {
            self.texts(counts, &coverage, &indexed, found)?;
        }
        let theirs = oracle::export(&self.exe, &indexed, "text")?;
        let ours = String::from_utf8(json::encode(&coverage, json::Options::default()))?;
        found.add("json", counts.name, &ours, &theirs);
        Self::profile_from_disk(&mapping, &bytes, &trace)
    }

    /// The table and the annotated source, with all that llvm-cov can show in it.
    fn texts(&self, counts: &Counts, coverage: &Coverage, indexed: &Path, found: &mut Found) -> Result<()> {
        let mut ours = Vec::new();
        summary::write(coverage, &summary::Options::llvm(), &mut ours)?;
        let theirs = oracle::view(&self.exe, indexed, "report", &[])?;
        found.add("report", counts.name, &String::from_utf8_lossy(&ours), &theirs);
        let options = annotate::Options {
            regions: true,
            expansions: true,
            branches: Some(annotate::Branches::Counts),
            ..annotate::Options::default()
        };
        let mut ours = Vec::new();
        // Of sources that are not there both show nothing.
        annotate::write(coverage, &options, &sources::read, &mut ours)?;
        let args = ["--show-line-counts", "--show-regions", "--show-expansions", "--show-branches=count"];
        let theirs = oracle::view(&self.exe, indexed, "show", &args)?;
        found.add("show", counts.name, &String::from_utf8_lossy(&ours), &theirs);
        Ok(())
    }

    /// Counts that come from a profile are those that came from memory.
    fn profile_from_disk(mapping: &Mapping, profraw: &[u8], trace_of_memory: &str) -> Result<()> {
        let stored = profile::read("profraw", profraw)?;
        let coverage = covered(mapping, &Lookup::from(&stored))?;
        ensure!(trace(&coverage)? == trace_of_memory, "the profile's trace is not that of the counters");
        Ok(())
    }

    /// Whether LLVM itself has changed: covtap follows LLVM 19.
    fn look_into_own_release(&self, counts: &Counts, lcov_of_19: &str, found: &mut Found) -> Result<()> {
        if self.case.setup.compiler.llvm != "19" && ["run", "small"].contains(&counts.name) {
            let profile = self.path(counts, "own.profraw");
            found.is_other_in_own_release =
                oracle::own_lcov(self.case.setup, &self.exe, &profile)? != lcov_of_19;
        }
        Ok(())
    }

    fn path(&self, counts: &Counts, extension: &str) -> PathBuf {
        self.exe.with_file_name(format!("{}.{extension}", counts.name))
    }
}

/// What covtap makes of the counts, without a complaint.
fn covered(mapping: &Mapping, counts: &Lookup<'_>) -> Result<Coverage> {
    let mut coverage = Coverage::default();
    coverage.add(mapping, counts);
    ensure!(coverage.problems().is_empty(), "the mapping has problems: {:?}", coverage.problems());
    ensure!(coverage.uncounted().is_empty(), "functions are left out: {:?}", coverage.uncounted());
    Ok(coverage)
}

fn trace(coverage: &Coverage) -> Result<String> {
    Ok(String::from_utf8(lcov::encode(coverage))?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

impl Found {
    fn add(&mut self, report: &'static str, counts: &'static str, ours: &str, theirs: &str) {
        self.reports = self.reports.saturating_add(1);
        if ours != theirs {
            let (line, ours, theirs) = first_difference(ours, theirs);
            self.differences.push(Difference { report, counts, line, ours, theirs });
        }
    }
}

/// The first line that differs, its number from 1, and what both have there.
fn first_difference(ours: &str, theirs: &str) -> (usize, String, String) {
    let (mut ours, mut theirs) = (ours.split('\n'), theirs.split('\n'));
    let mut line = 1usize;
    loop {
        match (ours.next(), theirs.next()) {
            (Some(a), Some(b)) if a == b => line = line.saturating_add(1),
            (Some(a), Some(b)) => {
                let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
                return (line, shown(a, same), shown(b, same));
            }
            (a, b) => return (line, a.unwrap_or("(its end)").into(), b.unwrap_or("(its end)").into()),
        }
    }
}

/// How much of a line is shown before and behind the first character that differs.
const SHOWN: usize = 120;

/// A line about its character `at`: JSON is one long line.
fn shown(line: &str, at: usize) -> String {
    line.chars().skip(at.saturating_sub(SHOWN)).take(2 * SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_told() {
        assert_eq!(first_difference("a\nb\nc", "a\nx\nc"), (2, "b".into(), "x".into()));
        assert_eq!(first_difference("a\n", "a\nb\n"), (2, String::new(), "b".into()));
        assert_eq!(first_difference("a", "a\nb"), (2, "(its end)".into(), "b".into()));
        let mut found = Found::default();
        found.add("lcov", "run", "same", "same");
        assert!(found.differences.is_empty());
        found.add("lcov", "run", "one", "other");
        assert_eq!((found.reports, found.differences.len()), (2, 1));
    }
}
