//! One case: built, counted, and every report of it compared.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use covtap::coverage::{Counts as Lookup, Coverage, Mapping};
use covtap::image::{Image, Slide};
use covtap::locate::llvm::{self, Located, RawVersion};
use covtap::profile::llvm::LlvmProfile;
use covtap::profile::{self, StoredProfile};
use covtap::write::{json, lcov, profraw, proftext};

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
        for counts in &counts::sets(self.case, &self.exe, &self.located, &runtimes)? {
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
        let stored = profile::read("profraw", &bytes)?;
        let coverage = covered(&mapping, &Lookup::from(&live))?;
        let theirs = oracle::export(&self.exe, &indexed, "lcov")?;
        ensure!(theirs.contains("\nDA:"), "the program has no lines");
        let ours = trace(&coverage)?;
        found.add("lcov", counts.name, &ours, &theirs);
        let is_older = self.case.setup.compiler.llvm != "19";
        if is_older && counts.name == "small" {
            let own = oracle::own_lcov(self.case.setup, &self.exe, &self.path(counts, "own.profraw"))?;
            found.is_other_in_own_release = own != theirs;
        }
        let theirs = oracle::export(&self.exe, &indexed, "text")?;
        let ours = String::from_utf8(json::encode(&coverage, json::Options::default()))?;
        found.add("json", counts.name, &ours, &theirs);
        let from_disk = covered(&mapping, &Lookup::from(&stored))?;
        ensure!(trace(&from_disk)? == ours, "the trace of the profile is not that of the counters");
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
            (a, b) => return (line, shown(a), shown(b)),
        }
    }
}

/// A line, cut to what a terminal shows.
fn shown(line: Option<&str>) -> String {
    line.map_or("(its end)".to_owned(), |line| line.chars().take(300).collect())
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
