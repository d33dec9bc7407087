//! The programs of one session: each an ELF, where it was loaded, and which of the snapshot's regions are its own.
//!
//! What always holds: no two of them count in the same memory.

use std::path::PathBuf;

use anyhow::Result;

use super::tap::load;
use crate::collect::Snapshot;
use crate::image::{Image, Slide};
use crate::locate::CounterRegion;
use crate::locate::llvm::{self, Caution, LlvmImage, Located};
use crate::profile::llvm::LlvmProfile;

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
    pub(super) located: LlvmImage,
    regions: Vec<CounterRegion>,
    cautions: Vec<Caution>,
}

/// The programs that the target runs, in the order in which they were given.
pub(super) struct Programs {
    all: Vec<Program>,
}

/// Two programs cannot be told apart in memory.
#[derive(Debug, thiserror::Error)]
#[error("read the counters of {} and {}: both are at {at}", first.display(), second.display())]
pub(super) struct SamePlace {
    first: PathBuf,
    second: PathBuf,
    at: String,
}

impl Programs {
    /// Reads the ELFs and finds their counters. `place` says where one was loaded for which the user did not.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is no ELF or has no counters; or two of them count in the same place; or what `place`
    /// says.
    pub(super) fn load(args: &[ElfArg], mut place: impl FnMut(&Image) -> Result<Slide>) -> Result<Self> {
        let mut all: Vec<Program> = Vec::with_capacity(args.len());
        for arg in args {
            let image = load(&arg.path)?;
            let slide = arg.slide.map_or_else(|| place(&image), Ok)?;
            let Located { regions, image: located, cautions } = llvm::locate(&image, slide)?;
            for (other, earlier) in args.iter().zip(&all) {
                if let Some(region) = overlap(&earlier.regions, &regions) {
                    let (first, second) = (other.path.clone(), arg.path.clone());
                    return Err(SamePlace { first, second, at: region.range.to_string() }.into());
                }
            }
            all.push(Program { image, slide, located, regions, cautions });
        }
        Ok(Self { all })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Program> {
        self.all.iter()
    }

    /// What is read from the target: the regions of one program after those of the other.
    pub(super) fn regions(&self) -> Vec<CounterRegion> {
        self.all.iter().flat_map(|program| &program.regions).cloned().collect()
    }

    /// What is to be known about any of them, each once.
    pub(super) fn cautions(&self) -> Vec<&Caution> {
        let mut cautions = Vec::new();
        for caution in self.all.iter().flat_map(|program| &program.cautions) {
            if !cautions.contains(&caution) {
                cautions.push(caution);
            }
        }
        cautions
    }

    /// The counters of each program.
    pub(super) fn counters<'a>(
        &'a self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a Program, &'a [Vec<u8>])> {
        let mut rest = snapshot.counters.regions();
        self.all.iter().map(move |program| {
            let (own, others) = rest.split_at_checked(program.regions.len()).unwrap_or_default();
            rest = others;
            (program, own)
        })
    }

    /// What each program's counters count.
    ///
    /// # Errors
    ///
    /// The snapshot does not fit the programs.
    pub(super) fn profiles(&self, snapshot: &Snapshot) -> Result<Vec<LlvmProfile>> {
        let profile =
            |(program, regions): (&Program, &[Vec<u8>])| LlvmProfile::new(&program.located, regions);
        Ok(self.counters(snapshot).map(profile).collect::<Result<_, _>>()?)
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
