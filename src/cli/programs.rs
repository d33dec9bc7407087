//! The programs of one session: each an ELF, where it was loaded, and which of the snapshot's regions are its own.
//!
//! What always holds: no two of them count in the same memory.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::hints;
use super::tap::load;
use crate::collect::{Counters, Expected, FollowedList, Movable, Snapshot};
use crate::image::{Image, Slide};
use crate::locate::gcov::{self, GcovError, GcovImage};
use crate::locate::llvm::LlvmImage;
use crate::locate::{self, CounterRegion, ListHead, Located, frozen};
use crate::profile::gcov::GcovProfile;
use crate::profile::llvm::LlvmProfile;
use crate::profile::{RunningSummary, Stats, Summary};

/// An ELF and how far it was moved when it was loaded, as the user gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ElfArg {
    pub(super) path: PathBuf,
    /// `None` where the user gave none.
    pub(super) slide: Option<Slide>,
}

impl ElfArg {
    /// Reads `ELF` or `ELF@SLIDE`. What follows an @ is a slide only if it is a number: paths may hold an @.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let split = text.rsplit_once('@').and_then(|(path, slide)| Some((path, Some(number(slide)?))));
        let (path, slide) = split.unwrap_or((text, None));
        if path.is_empty() {
            return Err("no ELF before the @".to_owned());
        }
        Ok(Self { path: path.into(), slide: slide.map(Slide::new) })
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A program that the target runs.
pub(super) struct Program {
    pub(super) image: Image,
    pub(super) slide: Slide,
    /// Whether the slide was found out, and not given by the user.
    is_found: bool,
    /// What LLVM counts in it, if it does.
    pub(super) llvm: Option<LlvmImage>,
    /// What GCC counts in it, if it does.
    pub(super) gcov: Option<GcovImage>,
    /// Those of LLVM before those of gcov.
    regions: Vec<CounterRegion>,
    num_llvm_regions: usize,
    num_lists: usize,
    cautions: Vec<Cow<'static, str>>,
    /// Whether gcov's side was searched for in the target's memory, which was then known to be this program's.
    pub(super) is_scanned: bool,
}

/// The programs that the target runs, in the order in which they were given.
pub(super) struct Programs {
    all: Vec<Program>,
}

/// The counters of one program in a snapshot, by who counts.
pub(super) struct ProgramCounters<'a> {
    pub(super) program: &'a Program,
    /// The index of its first region among those of all programs.
    pub(super) first_region: usize,
    pub(super) llvm: Option<(&'a LlvmImage, &'a [Vec<u8>])>,
    pub(super) gcov: Option<(&'a GcovImage, &'a [Vec<u8>])>,
}

/// What is known of LLVM's counters from one snapshot to the next.
#[derive(Default)]
pub(super) struct Summaries {
    /// By program, of those that LLVM has counters in.
    running: Vec<RunningSummary>,
    /// Of the last snapshot.
    number: u64,
}

impl Summaries {
    /// What there is to know of a snapshot, by program.
    ///
    /// # Errors
    ///
    /// The counters do not fit the programs.
    pub(super) fn update(&mut self, programs: &Programs, snapshot: &Snapshot) -> Result<Vec<Summary>> {
        let changes = snapshot.changes_since(self.number);
        self.number = snapshot.number;
        self.running.resize_with(programs.llvm().count(), RunningSummary::default);
        let llvm = programs.counters(&snapshot.counters).filter_map(|it| Some((it.first_region, it.llvm?)));
        let summaries = llvm.zip(&mut self.running).map(|((counters, (image, regions)), running)| {
            Ok(running.update(image, regions, changes.map(|changes| changes.of_region(counters)))?)
        });
        summaries.collect()
    }
}

/// What the counters of all programs count.
pub(super) struct Profiles {
    /// By program, of those that LLVM has counters in, if that is in full.
    pub(super) llvm: Vec<LlvmProfile>,
    /// By program, of those that GCC has counters in.
    pub(super) gcov: Vec<GcovProfile>,
}

/// What a target's memory has of gcov's, or what kept it from being read.
pub(super) type Scanned = Result<Result<gcov::Located, GcovError>>;

/// Two programs cannot be told apart in memory.
#[derive(Debug, thiserror::Error)]
#[error("read the counters of {} and {}: both are at {at}", first.display(), second.display())]
pub(super) struct SamePlace {
    first: PathBuf,
    second: PathBuf,
    at: String,
}

impl Program {
    fn locate(
        mut image: Image,
        slide: Slide,
        scan: Option<impl FnMut(&Image, Slide) -> Scanned>,
    ) -> Result<Self> {
        let found = gcov::locate(&image, slide);
        let may_scan = !matches!(found, Ok(_) | Err(GcovError::Relocatable { .. }));
        let scan = scan.filter(|_| may_scan);
        let is_scanned = scan.is_some();
        let found = scan.map_or(Ok(found), |mut scan| scan(&image, slide))?;
        let Located { llvm, gcov, left_out } = locate::locate_with(&image, slide, found).map_err(plain)?;
        let (mut regions, mut cautions) = (Vec::new(), Vec::new());
        let llvm = llvm.map(|located| {
            regions.extend(located.regions);
            cautions.extend(located.cautions.iter().map(|caution| hints::for_caution(caution).into()));
            located.image
        });
        let num_llvm_regions = regions.len();
        let gcov = gcov.map(|located| {
            regions.extend(located.regions);
            let caution = |it| Cow::from(format!("{it}; {}", hints::for_gcov_caution(it)));
            cautions.extend(located.cautions.iter().map(caution));
            cautions.extend(hints::for_loops(&frozen::of(&image, &located.image)));
            located.image
        });
        cautions.extend(left_out.map(|error| Cow::from(format!("left out: {error}"))));
        let num_lists = gcov.as_ref().map_or(0, |image| image.lists(0).len());
        // A session keeps the program, and its counters are found: they, their data and the symbols need not be there twice.
        image.forget();
        Ok(Self {
            image,
            slide,
            is_found: false,
            llvm,
            gcov,
            regions,
            num_llvm_regions,
            num_lists,
            cautions,
            is_scanned,
        })
    }

    /// Counters of what LLVM counts in it, all zero.
    pub(super) fn nothing_counted_by_llvm(&self) -> Result<Counters> {
        let regions = self.regions.get(..self.num_llvm_regions).unwrap_or_default();
        Counters::for_regions(regions).context("make room for the counters")
    }

    /// The profile of the program's gcov side before anything ran.
    pub(super) fn nothing_counted(&self, image: &GcovImage) -> Result<GcovProfile> {
        let regions = self.regions.get(self.num_llvm_regions..).unwrap_or_default();
        let zeros = Counters::for_regions(regions).context("make room for the gcov counters")?;
        Ok(GcovProfile::new(image, zeros.regions())?)
    }
}

impl Programs {
    /// Reads the ELFs and finds their counters. `place` says where one was loaded for which the user did not; `scan`
    /// searches the target's memory for gcov's structures where an ELF has none.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is no ELF or has no counters; or two of them count in the same place; or what `place` or
    /// `scan` says.
    pub(super) fn load(
        args: &[ElfArg],
        mut place: impl FnMut(&Image) -> Result<Slide>,
        mut scan: Option<impl FnMut(&Image, Slide) -> Scanned>,
    ) -> Result<Self> {
        let mut all: Vec<Program> = Vec::with_capacity(args.len());
        for arg in args {
            let image = load(&arg.path)?;
            let slide = arg.slide.map_or_else(|| place(&image), Ok)?;
            let mut program = Program::locate(image, slide, scan.as_mut())?;
            program.is_found = arg.slide.is_none();
            for (other, earlier) in args.iter().zip(&all) {
                if let Some(region) = overlap(&earlier.regions, &program.regions) {
                    let (first, second) = (other.path.clone(), arg.path.clone());
                    return Err(SamePlace { first, second, at: region.range.to_string() }.into());
                }
            }
            all.push(program);
        }
        Ok(Self { all })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Program> {
        self.all.iter()
    }

    /// Those that LLVM counts in.
    pub(super) fn llvm(&self) -> impl Iterator<Item = (&Program, &LlvmImage)> {
        self.all.iter().filter_map(|program| Some((program, program.llvm.as_ref()?)))
    }

    /// Those that GCC counts in.
    pub(super) fn gcov(&self) -> impl Iterator<Item = (&Program, &GcovImage)> {
        self.all.iter().filter_map(|program| Some((program, program.gcov.as_ref()?)))
    }

    /// What is read from the target: the regions of one program after those of the other.
    pub(super) fn regions(&self) -> Vec<CounterRegion> {
        self.all.iter().flat_map(|program| &program.regions).cloned().collect()
    }

    /// Those of which it was found out where they are, and may be again.
    pub(super) fn movable(&self) -> Vec<Movable> {
        let mut next = 0usize;
        let all = self.all.iter().enumerate().map(|(index, program)| {
            let regions = next..next.saturating_add(program.regions.len());
            next = regions.end;
            let expected = Expected::of(&program.image, program.slide);
            program.is_found.then_some(Movable { program: index, expected, regions })
        });
        all.flatten().collect()
    }

    /// What GCC counts in, each with the index of its first region among all that are read.
    pub(super) fn gcov_regions(&self) -> impl Iterator<Item = (&GcovImage, usize)> {
        let mut next = 0usize;
        let images = self.all.iter().map(move |program| {
            let first = next.saturating_add(program.num_llvm_regions);
            next = next.saturating_add(program.regions.len());
            (program.gcov.as_ref(), first)
        });
        images.filter_map(|(image, first)| Some((image?, first)))
    }

    /// Where lists of most frequent values begin in those regions.
    pub(super) fn lists(&self) -> Vec<ListHead> {
        self.gcov_regions().flat_map(|(image, first)| image.lists(first)).collect()
    }

    /// What is to be known about any of them, each once.
    pub(super) fn cautions(&self) -> Vec<&str> {
        let mut cautions = Vec::new();
        for caution in self.all.iter().flat_map(|program| &program.cautions) {
            if !cautions.contains(&&**caution) {
                cautions.push(&**caution);
            }
        }
        cautions
    }

    /// The counters of each program.
    pub(super) fn counters<'a>(
        &'a self,
        counters: &'a Counters,
    ) -> impl Iterator<Item = ProgramCounters<'a>> {
        let (mut rest, mut next) = (counters.regions(), 0usize);
        self.all.iter().map(move |program| {
            let (own, others) = rest.split_at_checked(program.regions.len()).unwrap_or_default();
            let first_region = next;
            (rest, next) = (others, next.saturating_add(own.len()));
            let (llvm, gcov) = own.split_at_checked(program.num_llvm_regions).unwrap_or_default();
            ProgramCounters {
                program,
                first_region,
                llvm: program.llvm.as_ref().map(|image| (image, llvm)),
                gcov: program.gcov.as_ref().map(|image| (image, gcov)),
            }
        })
    }

    /// What each program's counters count, with the lists that were followed. What LLVM's count is left out unless it
    /// `is_wanted`.
    ///
    /// # Errors
    ///
    /// The counters do not fit the programs.
    pub(super) fn profiles(
        &self,
        counters: &Counters,
        lists: &[FollowedList],
        is_wanted: bool,
    ) -> Result<Profiles> {
        let mut profiles = Profiles { llvm: Vec::new(), gcov: Vec::new() };
        let mut lists = lists.iter().map(|list| list.as_deref().ok()).chain(std::iter::repeat(None));
        for counters in self.counters(counters) {
            if let Some((image, regions)) = counters.llvm.filter(|_| is_wanted) {
                profiles.llvm.push(LlvmProfile::new(image, regions)?);
            }
            if let Some((image, regions)) = counters.gcov {
                let lists = lists.by_ref().take(counters.program.num_lists);
                profiles.gcov.push(GcovProfile::with_lists(image, regions, lists)?);
            }
        }
        Ok(profiles)
    }
}

impl Profiles {
    /// How many counters are larger than any run makes them, with those of LLVM's summaries.
    pub(super) fn num_unbelievable(&self, summaries: &[Summary]) -> usize {
        let llvm = summaries.iter().map(|summary| summary.num_unbelievable);
        llvm.chain(self.gcov.iter().map(GcovProfile::num_unbelievable)).sum()
    }

    /// How much was reached, with what LLVM's summaries say.
    pub(super) fn stats(&self, summaries: &[Summary]) -> Stats {
        let llvm = summaries.iter().map(|summary| summary.stats);
        llvm.chain(self.gcov.iter().map(GcovProfile::stats)).sum()
    }
}

/// The side's own error, for which there are hints.
fn plain(error: locate::Error) -> anyhow::Error {
    match error {
        locate::Error::Llvm(error) => error.into(),
        locate::Error::Gcov(error) => error.into(),
    }
}

/// A region of `ours` that shares memory with one of `theirs`.
fn overlap<'a>(theirs: &[CounterRegion], ours: &'a [CounterRegion]) -> Option<&'a CounterRegion> {
    let meets = |a: &CounterRegion, b: &CounterRegion| {
        a.range.start() < b.range.end() && b.range.start() < a.range.end()
    };
    ours.iter().find(|own| theirs.iter().any(|other| meets(own, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (PathBuf, Option<u64>) {
        let arg = ElfArg::parse(text).expect("parses");
        (arg.path, arg.slide.map(Slide::get))
    }

    #[test]
    fn a_slide_is_a_number_after_the_last_at() {
        assert_eq!(parse("a.elf"), ("a.elf".into(), None));
        assert_eq!(parse("a.elf@0x40000000"), ("a.elf".into(), Some(0x4000_0000)));
        assert_eq!(parse("a.elf@0"), ("a.elf".into(), Some(0)));
        assert_eq!(parse("a.elf@4096"), ("a.elf".into(), Some(4096)));
        assert_eq!(parse("user@host/a.elf"), ("user@host/a.elf".into(), None));
        assert_eq!(parse("user@host/a.elf@0x10"), ("user@host/a.elf".into(), Some(0x10)));
        assert!(ElfArg::parse("@0x10").is_err());
    }
}
