//! `covtap trace`: coverage of code that was not instrumented.
//!
//! What enters is ELFs and a target that its debugger controls, or a QEMU guest; what leaves is a trace's file. What always
//! holds: what was traced is written, also when the target goes away in the middle; the file says no more than the method
//! tells.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use covtap_insn::Insn;
use covtap_link::{AddrRange, LinkError, LogBegun};

use super::Verdict;
use super::attach;
use super::interrupt::{self, Interrupts};
#[cfg(feature = "probe")]
use super::probe::SwoArgs;
use super::programs::ElfArg;
use super::status::Status;
use super::tap::load;
use super::target::TargetArgs;
use super::units;
use crate::collect::trace::{Code, Ended, Limits, LogTrace, PcSamples, TraceError, Tracer, Watch, Watched};
use crate::collect::{self, CollectError, MeteredLink};
use crate::coverage::object::{blocks, function_instructions};
use crate::image::identity::Verdict as Identified;
use crate::image::{BuildId, Image, Slide};
use crate::profile::trace::{Counting, Trace, encode};
use crate::write::write_whole;

/// Trace a target that was not instrumented, by its debugger's means or QEMU's log, into a file of what it executed.
///
/// Ends with Ctrl-C, after --for, when every block was reached (breakpoints), or when the target ends. What was traced is
/// written in any case. docs/trace.md says what each method does to the target and what its counts say.
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// The programs that the target runs; a slide says how far from its own addresses one was loaded
    #[arg(value_name = "ELF[@SLIDE]", required = true, value_parser = ElfArg::parse)]
    elves: Vec<ElfArg>,
    /// How to trace; by default what the server offers and disturbs the target least
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,
    /// The trace to write
    #[arg(short, long, value_name = "FILE", default_value = "default.covtrace")]
    output: PathBuf,
    /// Stop after this time
    #[arg(long = "for", value_name = "TIME", value_parser = units::parse_duration)]
    duration: Option<Duration>,
    /// The share of time for which the target may be halted to be sampled, or to have other blocks watched
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = parse_share)]
    budget: f64,
    /// Set so many breakpoints at a time, or "all": with all from the start nothing is missed, and QEMU is slower with each
    #[arg(long, value_name = "N", value_parser = parse_window)]
    window: Option<usize>,
    #[cfg(feature = "probe")]
    #[command(flatten)]
    swo: SwoArgs,
    /// Go on if the target does not seem to run these ELFs
    #[arg(long)]
    force: bool,
    /// No status on stderr; errors are still shown
    #[arg(short, long)]
    quiet: bool,
    // Last, because its help has a heading of its own.
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Method {
    /// Every instruction, one by one: exact, with branches, and thousands of times slower
    Step,
    /// One breakpoint for each basic block, removed when it is met
    Breakpoints,
    /// Where the target is, now and then
    Sample,
    /// With --qemu: what QEMU translates, which it is told to do anew; the guest runs at its own speed
    Log,
    /// With a debug probe: where a Cortex-M is, as its register DWT_PCSR shows while it runs; statistics, without a halt
    Pcsr,
    /// With a debug probe that receives SWO: where a Cortex-M is, as it sends itself while it runs; statistics, without a halt
    Swo,
}

/// What a debugger's server has of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Means {
    Step,
    Breakpoints,
    Sample,
}

impl Method {
    /// What it asks of a debugger's server; a log and a register's samples ask nothing.
    fn means(self) -> Option<Means> {
        match self {
            Self::Step => Some(Means::Step),
            Self::Breakpoints => Some(Means::Breakpoints),
            Self::Sample => Some(Means::Sample),
            Self::Log | Self::Pcsr | Self::Swo => None,
        }
    }
}

impl Means {
    fn noun(self) -> &'static str {
        match self {
            Self::Step => "steps",
            Self::Breakpoints => "breakpoints",
            Self::Sample => "samples",
        }
    }
}

/// A program that the target runs, or is believed to.
struct Traced {
    image: Image,
    slide: Slide,
    build_id: Option<BuildId>,
}

impl Traced {
    fn code(&self) -> Code<impl Iterator<Item = Insn>> {
        Code {
            instructions: function_instructions(&self.image),
            slide: self.slide,
            width: self.image.pointer_width(),
            repeats: matches!(self.image.architecture(), "x86_64" | "x86_64 (x32)" | "i386"),
        }
    }
}

/// What a method did, and what its counts say.
struct Done {
    ended: Result<Ended, TraceError>,
    summary: String,
    trace: Result<Trace, TraceError>,
}

/// Traces.
///
/// # Errors
///
/// Anything that kept covtap from attaching, tracing or writing.
pub(super) fn run(mut args: TraceArgs) -> Result<Verdict> {
    let interrupts = interrupt::listen_saying("writing what was traced")?;
    let status = Status::new(args.quiet);
    let images = args.elves.iter().map(|elf| Ok((load(&elf.path)?, elf.slide.unwrap_or(Slide::ZERO))));
    let images: Vec<(Image, Slide)> = images.collect::<Result<_>>()?;
    #[cfg(feature = "probe")]
    receive(&mut args, &status)?;
    let mut link = MeteredLink::new(attach::open(&mut args.target, &status)?);
    let programs = images
        .into_iter()
        .map(|(image, slide)| identified(&mut link, image, slide, args.force, &status))
        .collect::<Result<Vec<_>>>()?;
    let trace_by = match args.method {
        Some(Method::Log) => trace_by_log,
        Some(Method::Pcsr | Method::Swo) => trace_by_samples,
        None if link.has_block_log() => trace_by_log,
        None if link.sampler().is_some() => trace_by_samples,
        _ => trace,
    };
    let done = trace_by(&args, &mut link, &programs, &interrupts, &status)?;
    let ended = how_it_ended(done.ended, &mut link);
    // The target first: a slow disk is no reason for it to wait.
    let left = if ended.is_ok() { link.detach() } else { Ok(()) };
    let mut trace = done.trace?;
    trace.build_ids = programs.into_iter().filter_map(|program| program.build_id).collect();
    if !trace.is_empty() || ended.is_ok() {
        write_whole(&args.output, &encode(&trace))?;
        status.note(&done.summary);
        status.note(&format!("the trace is {}", args.output.display()));
    }
    if let Some(why) = ended? {
        status.note(why);
    }
    left.context("the trace is written, but the target could not be left")?;
    Ok(Verdict::Passed)
}

/// Has the target send its samples, where that was asked for.
#[cfg(feature = "probe")]
fn receive(args: &mut TraceArgs, status: &Status) -> Result<()> {
    let swo = args.swo.swo(args.method == Some(Method::Swo))?;
    if let Some(swo) = &swo {
        status.note(&format!("SWO at {} baud, with {:.0} samples a second", swo.baud(), swo.samples_per_s()));
    }
    args.target.receive(swo);
    Ok(())
}

/// Makes sure that the target runs an image.
fn identified(
    link: &mut MeteredLink,
    image: Image,
    slide: Slide,
    force: bool,
    status: &Status,
) -> Result<Traced> {
    let build_id = match collect::check_identity(link, &image, slide) {
        Ok(Identified::SameBuildId(id)) => Some(id),
        Ok(_) => None,
        Err(wrong @ CollectError::WrongImage { .. }) if force => {
            status.note(&format!("{wrong}; going on, as --force says"));
            None
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Traced { image, slide, build_id })
}

/// Traces by the method that was asked for, or that suits the server.
fn trace(
    args: &TraceArgs,
    link: &mut MeteredLink,
    programs: &[Traced],
    interrupts: &Interrupts,
    status: &Status,
) -> Result<Done> {
    let Some(first) = programs.first() else { anyhow::bail!("trace: no ELF was given") };
    let watches = watches(programs);
    let is_asked = || interrupts.has_come();
    let mut tracer = Tracer::new(link, &first.image, limits(args, &is_asked))?;
    let method = match args.method.and_then(Method::means) {
        Some(method) => {
            status.note(&format!("tracing by {}: as was asked for", method.noun()));
            method
        }
        None => choose(&mut tracer, &watches, status)?,
    };
    let (mut watched, mut counting) = (Watched::default(), Counting::Samples);
    let ended = match method {
        Means::Step => tracer.step(),
        Means::Sample => tracer.sample(),
        Means::Breakpoints => tracer.breakpoints(&watches, &mut watched),
    };
    match method {
        Means::Step => counting = Counting::Times,
        Means::Breakpoints if watched.is_complete => counting = Counting::Reached,
        Means::Breakpoints | Means::Sample => {}
    }
    let summary = summary(method, &tracer, watched, args.budget);
    let trace = tracer.trace(counting, programs.iter().map(Traced::code));
    Ok(Done { ended, summary, trace })
}

/// Traces by samples that need no halt: of a register, or sent by the target.
fn trace_by_samples(
    args: &TraceArgs,
    link: &mut MeteredLink,
    programs: &[Traced],
    interrupts: &Interrupts,
    status: &Status,
) -> Result<Done> {
    let is_asked = || interrupts.has_come();
    let how = if args.method == Some(Method::Swo) { "that the target sends" } else { "of a register" };
    status.note(&format!(
        "tracing by samples {how}, without a halt: where the target spends its time, and not all that runs"
    ));
    let (taken, ended) = PcSamples::take(link, &limits(args, &is_asked))?;
    let summary = summary_of_samples(&taken);
    let trace = taken.trace(programs.iter().map(Traced::code));
    Ok(Done { ended, summary, trace })
}

/// How many there were, and how many there should have been.
fn summary_of_samples(taken: &PcSamples) -> String {
    let (num, different, all) = (taken.seen.num(), taken.seen.num_different(), taken.all);
    let rate = per_second(num, taken.elapsed);
    let mut summary = format!(
        "{num} samples in {}, {rate:.0} a second, {different} different; {} more showed no place: it slept, or was halted",
        units::duration(taken.elapsed),
        taken.nowhere
    );
    let lost = all.lost();
    if lost > 0 {
        let share = 100.0 * lost as f64 / all.due as f64;
        summary += &format!("; {lost} of {} that it was to send did not come ({share:.1} %)", all.due);
    }
    if all.overflows > 0 {
        summary += &format!("; {} times it said that it dropped some", all.overflows);
    }
    if all.undecoded_bytes > 0 {
        summary += &format!("; {} bytes meant nothing", all.undecoded_bytes);
    }
    summary
}

fn limits<'a>(args: &TraceArgs, is_asked: &'a dyn Fn() -> bool) -> Limits<'a> {
    Limits { duration: args.duration, is_asked, budget: args.budget, window: args.window }
}

/// Traces by what the target's server logs.
fn trace_by_log(
    args: &TraceArgs,
    link: &mut MeteredLink,
    programs: &[Traced],
    interrupts: &Interrupts,
    status: &Status,
) -> Result<Done> {
    let is_asked = || interrupts.has_come();
    let code: Vec<AddrRange> = programs.iter().flat_map(code_of).collect();
    let log = LogTrace::begin(link, limits(args, &is_asked), &code)?;
    let LogBegun { pause, missed_bytes } = log.begun;
    status.note(&format!(
        "tracing by QEMU's log of the code that it translates; the guest stood still for {} so that it translates all of it \
         anew, and runs at its own speed",
        units::duration(pause)
    ));
    if missed_bytes > 0 {
        status.complain(&format!(
            "{missed_bytes} bytes of the code were not mapped: what has run there before may be missing"
        ));
    }
    let (ended, trace, elapsed) = log.follow();
    let summary = format!(
        "{} bytes of code were reached in {}; how often is not known",
        trace.len_bytes(),
        units::duration(elapsed)
    );
    Ok(Done { ended, summary, trace: Ok(trace) })
}

/// Where a program has code. One that does not tell has it anywhere.
fn code_of(program: &Traced) -> Vec<AddrRange> {
    let Traced { image, slide, .. } = program;
    let sections = image.sections().filter(|section| section.is_loaded() && section.is_executable());
    let mut parts: Vec<_> = sections.map(|section| (section.address(), section.len_bytes())).collect();
    if parts.is_empty() {
        parts.extend(image.extents().iter().map(|extent| (extent.start, extent.len_bytes)));
    }
    let moved = |(start, len_bytes)| AddrRange::new(slide.apply(start, image.pointer_width()), len_bytes);
    parts.into_iter().filter_map(moved).collect()
}

/// The method that suits the server, which is said, and why.
fn choose(tracer: &mut Tracer<'_>, watches: &[Watch], status: &Status) -> Result<Means> {
    let takes = match watches.first() {
        Some(watch) => tracer.takes_breakpoints(*watch)?,
        None => false,
    };
    let (method, line) = if takes {
        (
            Means::Breakpoints,
            "tracing by breakpoints: the server sets them, and each stops the target once at most",
        )
    } else {
        (Means::Sample, "tracing by samples: the server sets no breakpoints, or no ELF has functions")
    };
    status.note(line);
    Ok(method)
}

/// The blocks of all programs, each once.
fn watches(programs: &[Traced]) -> Vec<Watch> {
    let of_program = |program: &Traced| {
        let (slide, width) = (program.slide, program.image.pointer_width());
        let watch = |block: crate::coverage::object::Block| Watch {
            at: slide.apply(block.address, width),
            len_bytes: block.len_bytes,
            kind: block.breakpoint_kind,
        };
        blocks(&program.image).into_iter().map(watch).collect::<Vec<_>>()
    };
    let mut all: Vec<Watch> = programs.iter().flat_map(of_program).collect();
    all.sort_by_key(|watch| watch.at);
    all.dedup_by_key(|watch| watch.at);
    all
}

/// What there is to say of an end, if it is none that was asked for. A target that has ended in order is no error.
fn how_it_ended(ended: Result<Ended, TraceError>, link: &mut MeteredLink) -> Result<Option<&'static str>> {
    match ended {
        Ok(Ended::Asked | Ended::Elapsed) => Ok(None),
        Ok(Ended::Exited) => Ok(Some("the target has ended")),
        Ok(Ended::AllReached) => Ok(Some("every block was reached")),
        Ok(Ended::StoppedByOther) => Ok(Some("somebody else has stopped the target, and it is left so")),
        Err(TraceError::Link(LinkError::Refused { .. })) if link.has_exited().unwrap_or(false) => {
            Ok(Some("the target has ended"))
        }
        Err(error) => Err(error.into()),
    }
}

/// What was seen, and what that did to the target.
fn summary(method: Means, tracer: &Tracer<'_>, watched: Watched, budget: f64) -> String {
    let (elapsed, paused) = (tracer.elapsed(), tracer.paused);
    let share = 100.0 * paused.as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    let (num, different) = (tracer.seen.num(), tracer.seen.num_different());
    let stood = format!(
        "it stood still for {} of {}, {share:.1} %",
        units::duration(paused),
        units::duration(elapsed)
    );
    match method {
        Means::Step => {
            let rate = per_second(num, elapsed);
            format!(
                "{num} instructions were stepped in {}, {rate:.0} a second, {different} different ones; for {share:.1} % of that \
                 time the target did nothing else",
                units::duration(elapsed)
            )
        }
        Means::Sample => {
            format!("{num} samples, {different} different; {stood}, with a budget of {:.1} %", budget * 100.0)
        }
        Means::Breakpoints => {
            let Watched { blocks, reached, window, turns, rested, is_complete } = watched;
            let missed = if is_complete {
                "all were watched from the start".to_owned()
            } else {
                format!("{window} at a time in {turns} turns: one that ran out of its turn is not seen")
            };
            let alone = match rested {
                Duration::ZERO => String::new(),
                _ => {
                    format!("; nothing new was reached, and it was let alone for {}", units::duration(rested))
                }
            };
            format!("{reached} of {blocks} blocks were reached; {missed}{alone}; {stood}")
        }
    }
}

/// A number in a time, by the second.
fn per_second(num: u64, elapsed: Duration) -> f64 {
    num as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Reads a share in percent, with its sign or without.
fn parse_share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    let share = percent.map_err(|error| format!("{error}; write it as 5%"))? / 100.0;
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err("must be more than 0% and at most 100%".to_owned())
    }
}

/// Reads how many breakpoints are set at a time.
fn parse_window(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        number => match number.parse() {
            Ok(0) => Err("must be more than 0".to_owned()),
            Ok(window) => Ok(window),
            Err(error) => Err(format!("{error}; write a number, or all")),
        },
    }
}

#[cfg(test)]
mod tests {
    use covtap_link::Burst;

    use super::*;

    #[test]
    fn samples_that_did_not_come_are_said() {
        let mut taken = PcSamples::default();
        assert!(summary_of_samples(&taken).ends_with("showed no place: it slept, or was halted"));
        taken.all = Burst { num: 1, due: 4, overflows: 2, undecoded_bytes: 7 };
        let said = summary_of_samples(&taken);
        assert!(
            said.ends_with(
                "; 3 of 4 that it was to send did not come (75.0 %); 2 times it said that it dropped some; \
                 7 bytes meant nothing"
            ),
            "{said}"
        );
    }

    #[test]
    fn a_window_is_a_number_or_all() {
        assert_eq!((parse_window("16"), parse_window("all")), (Ok(16), Ok(usize::MAX)));
        for wrong in ["0", "-1", "every"] {
            assert!(parse_window(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_budget_is_a_share_of_time() {
        assert_eq!(parse_share("5%"), Ok(0.05));
        assert_eq!(parse_share("100"), Ok(1.0));
        for wrong in ["0%", "101%", "-1%", "NaN", "x"] {
            assert!(parse_share(wrong).is_err(), "{wrong}");
        }
    }
}
