//! What `record` and `snapshot` share: from an ELF and a target to profiles on disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::Verdict;
use super::formats::{FormatArgs, Formats};
use super::hints;
use super::interrupt;
use super::output::Output;
use super::status::Status;
use super::target::{OpenLink, TargetArgs};
use crate::collect::{self, CollectError, MeteredLink, Reader, Schedule, Session};
use crate::coverage::{Counts, Coverage};
use crate::image::{Image, Slide};
use crate::locate::llvm::{self, RawVersion};
use crate::profile::llvm::LlvmProfile;
use crate::write::profraw::Style;

/// Options of every verb that reads counters from a target.
#[derive(Debug, Args)]
pub(super) struct TapArgs {
    /// The program that the target runs; a slide says how far from its own addresses it was loaded
    #[arg(value_name = "ELF[@SLIDE]", value_parser = ElfArg::parse)]
    elf: ElfArg,
    /// The profile to write; %p %h %m %Nm as LLVM has them, %n the snapshot's number, %t its UTC time
    #[arg(short, long, value_name = "PATTERN", env = "LLVM_PROFILE_FILE", default_value = "default.profraw")]
    output: String,
    /// Write byte for byte what the compiler's own runtime would have written
    #[arg(long)]
    runtime_identical: bool,
    /// Write the profile for another release of llvm-profdata than the compiler's: 5 (LLVM 11, 12), 7 (13),
    /// 8 (14 to 17), 9 (18), 10 (19 to 22) or 11 (23)
    #[arg(long, value_name = "N", value_parser = parse_raw_version, conflicts_with = "runtime_identical")]
    raw_version: Option<RawVersion>,
    /// Go on if the target does not seem to run this ELF
    #[arg(long)]
    force: bool,
    /// No status on stderr; errors are still shown
    #[arg(short, long)]
    quiet: bool,
    // Last, because their help has headings of its own.
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    formats: FormatArgs,
}

/// An ELF and how far it was moved when it was loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ElfArg {
    path: PathBuf,
    slide: Slide,
}

impl ElfArg {
    /// Reads `ELF` or `ELF@SLIDE`. What follows an @ is a slide only if it is a number: paths may hold an @.
    fn parse(text: &str) -> Result<Self, String> {
        let split = text.rsplit_once('@').and_then(|(path, slide)| Some((path, number(slide)?)));
        let (path, slide) = split.unwrap_or((text, 0));
        if path.is_empty() {
            return Err("no ELF before the @".to_owned());
        }
        Ok(Self { path: path.into(), slide: Slide::new(slide) })
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Reads the number of a raw version.
fn parse_raw_version(text: &str) -> Result<RawVersion, String> {
    let version = text.parse().ok().and_then(RawVersion::from_number);
    version.ok_or_else(|| {
        let known = RawVersion::ALL.map(|version| version.to_string()).join(", ");
        format!("it is none of {known}")
    })
}

/// Runs a session with `schedule` from the first look at the ELF to the last line of status.
///
/// # Errors
///
/// Whatever kept covtap from attaching, reading or writing; profiles written before stay.
pub(super) fn run(args: &TapArgs, schedule: Schedule) -> Result<Verdict> {
    let image = load(&args.elf.path)?;
    let located = llvm::locate(&image, args.elf.slide)?;
    let slide = args.elf.slide;
    let style = match args.raw_version {
        Some(version) => Style::Transcoded { version },
        None if args.runtime_identical => Style::RuntimeIdentical { slide },
        None => Style::Normalised,
    };
    let output = Output::prepare(&args.output, style, &located.image)?;
    // From here on Ctrl-C must not end the process by itself: the target may be stopped at any moment.
    let interrupts = interrupt::listen()?;
    let status = Status::new(args.quiet);
    for caution in &located.cautions {
        status.note(hints::for_caution(caution));
    }
    let mut formats = Formats::prepare(&args.formats, vec![args.elf.path.clone()])?;
    let mapping = formats
        .are_wanted()
        .then(|| formats.mapping(&image, located.image.names(), |line| status.note(line)));
    let mapping = mapping.transpose()?;
    let link = attach(args, &image, &status)?;
    let reader = Reader::new(link, located.regions)?;
    let session = Session { reader, schedule, stop: interrupts.stop.clone() };
    let mut last = None;
    let done = session.run(|snapshot| -> Result<()> {
        last = Some(output.write(&located.image, snapshot)?);
        let profile = LlvmProfile::new(&located.image, snapshot.counters.regions())?;
        if let Some(mapping) = &mapping {
            let mut coverage = Coverage::default();
            coverage.add(mapping, &Counts::from(&profile));
            formats.write(coverage, last.as_slice(), |line| status.note(line))?;
        }
        status.show(snapshot, &profile.stats());
        Ok(())
    });
    match &done {
        Ok(summary) => status.done(summary, last.as_deref()),
        Err(_) => status.last_profile(last.as_deref()),
    }
    done?;
    formats.finish(|line| status.note(line))
}

/// Connects, and makes sure that the target runs the image.
fn attach(args: &TapArgs, image: &Image, status: &Status) -> Result<MeteredLink> {
    let OpenLink { link, fallback } = args.target.open()?;
    let mut link = MeteredLink::new(link);
    status.attached(&link.info());
    if let Some(reason) = fallback {
        status.note(&format!("memory is not read in the fastest way: {reason}"));
        status.note(hints::FOR_FALLBACK);
    }
    match collect::check_identity(&mut link, image, args.elf.slide) {
        Ok(_) => Ok(link),
        Err(wrong @ CollectError::WrongImage { .. }) if args.force => {
            status.note(&format!("{wrong}; going on, as --force says"));
            Ok(link)
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads an ELF.
///
/// # Errors
///
/// The file cannot be read or is no ELF.
pub(super) fn load(path: &Path) -> Result<Image> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(Image::parse(&path.display().to_string(), bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (PathBuf, u64) {
        let arg = ElfArg::parse(text).expect("parses");
        (arg.path, arg.slide.get())
    }

    #[test]
    fn a_slide_is_a_number_after_the_last_at() {
        assert_eq!(parse("a.elf"), ("a.elf".into(), 0));
        assert_eq!(parse("a.elf@0x40000000"), ("a.elf".into(), 0x4000_0000));
        assert_eq!(parse("a.elf@4096"), ("a.elf".into(), 4096));
        assert_eq!(parse("user@host/a.elf"), ("user@host/a.elf".into(), 0));
        assert_eq!(parse("user@host/a.elf@0x10"), ("user@host/a.elf".into(), 0x10));
        assert!(ElfArg::parse("@0x10").is_err());
    }
}
