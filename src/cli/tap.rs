//! What `record` and `snapshot` share: from ELFs and a target to profiles on disk.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use crossbeam_channel::never;

use super::Verdict;
use super::attach::Early;
use super::formats::{FormatArgs, Formats};
use super::gcda::{GcdaArgs, GcdaOutput};
use super::interrupt::{self, Interrupts};
use super::live_notes::{LiveNotes, NotesArgs};
use super::output::{Form, Output};
use super::programs::{ElfArg, Profiles, Program, Programs, Summaries};
use super::session::SessionArgs;
use super::status::{LastFiles, Losing, Restless, Status, Stillness};
use super::target::{OpenLink, TargetArgs};
use super::test_dir::TestDir;
use crate::collect::{
    CollectError, Ended, MeteredLink, Reconnect, Schedule, Session, Snapshot, TestCounts, Told,
};
use crate::coverage::{Counts, Coverage, Mapping};
use crate::image::Image;
use crate::locate::llvm::{LlvmImage, RawVersion};

/// Options of every verb that attaches to a target.
#[derive(Debug, Args)]
pub(super) struct TapArgs {
    /// The programs that the target runs, a bootloader and a kernel say; a slide says how far from its own addresses one
    /// was loaded
    #[arg(value_name = "ELF[@SLIDE]", required = true, value_parser = ElfArg::parse)]
    elves: Vec<ElfArg>,
    #[command(flatten)]
    options: TapOptions,
    /// Search the target's memory for gcov's structures where an ELF has none, as when start-up code unpacks its data
    #[arg(long, conflicts_with = "find_image")]
    scan: bool,
    // Last, because their help has headings of its own.
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    formats: FormatArgs,
}

/// The profile where none is named.
const DEFAULT_OUTPUT: &str = "default.profraw";

/// Options of every verb that reads counters from a target.
#[derive(Debug, Args)]
pub(super) struct TapOptions {
    /// The profile to write; %p %h as LLVM has them, %c for a file that is kept up to date in place, %m or %Nm for files
    /// that programs merge into, one for each ELF, %n the snapshot's number, %t its UTC time
    #[arg(short, long, value_name = "PATTERN", env = "LLVM_PROFILE_FILE", default_value = DEFAULT_OUTPUT)]
    output: String,
    /// Write byte for byte what the compiler's own runtime would have written
    #[arg(long)]
    runtime_identical: bool,
    /// Write the profile for another release of llvm-profdata than the compiler's: 5 (LLVM 11, 12), 7 (13),
    /// 8 (14 to 17), 9 (18), 10 (19 to 22) or 11 (23)
    #[arg(long, value_name = "N", value_parser = parse_raw_version, conflicts_with = "runtime_identical")]
    raw_version: Option<RawVersion>,
    #[command(flatten)]
    gcda: GcdaArgs,
    #[command(flatten)]
    notes: NotesArgs,
    /// Go on if the target does not seem to run these ELFs
    #[arg(long)]
    pub(super) force: bool,
    /// No status on stderr; errors are still shown
    #[arg(short, long)]
    pub(super) quiet: bool,
}

impl TapOptions {
    /// The file that was asked for; `None` for the default.
    pub(super) fn output(&self) -> Option<&str> {
        Some(self.output.as_str()).filter(|output| *output != DEFAULT_OUTPUT)
    }
}

/// What a session is about.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) elves: &'a [ElfArg],
    pub(super) options: &'a TapOptions,
    pub(super) session: &'a SessionArgs,
    pub(super) formats: &'a FormatArgs,
    pub(super) scan: bool,
    /// For how long a link that failed is sought again.
    pub(super) patience: Duration,
}

/// Connects once more.
pub(super) type Connect<'a> = Box<dyn FnMut() -> Result<MeteredLink, CollectError> + Send + 'a>;

/// A target and the way to it.
pub(super) trait Target {
    /// Connects.
    ///
    /// # Errors
    ///
    /// It could not be reached, or did not speak as expected.
    fn open(&mut self, status: &Status) -> Result<OpenLink>;

    /// Whether ELFs are searched for in its physical memory.
    fn finds_images(&self) -> bool {
        false
    }

    /// Whether it may be a process, which knows where it has its programs.
    fn may_tell_mapped_files(&self) -> bool {
        false
    }

    /// How it is reached once more when the link fails; `None` if it is gone then.
    fn again(&self) -> Option<Connect<'_>> {
        None
    }

    /// Its counters were read once, and the session begins.
    ///
    /// # Errors
    ///
    /// It does not begin.
    fn begin(&mut self) -> Result<Begun> {
        Ok(Begun::Found)
    }
}

/// How a target was when its session began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begun {
    /// As it was found.
    Found,
    /// It had not executed anything.
    FromRest,
}

/// How a session ended that did what it was asked to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) ended: Ended,
    pub(super) verdict: Verdict,
}

/// Reads the number of a raw version.
fn parse_raw_version(text: &str) -> Result<RawVersion, String> {
    let version = text.parse().ok().and_then(RawVersion::from_number);
    version.ok_or_else(|| {
        let known = RawVersion::ALL.map(|version| version.to_string()).join(", ");
        format!("it is none of {known}")
    })
}

impl TapArgs {
    /// Whether the target is a dump, which does not change.
    pub(super) fn is_of_dump(&self) -> bool {
        self.target.is_dump()
    }
}

impl TapOptions {
    /// The form of the profiles.
    fn form(&self) -> Form {
        match self.raw_version {
            Some(version) => Form::Transcoded { version },
            None if self.runtime_identical => Form::RuntimeIdentical,
            None => Form::Normalised,
        }
    }
}

/// Attaches, and runs a session with `schedule`.
///
/// # Errors
///
/// As [`run_session`].
pub(super) fn run(
    args: &mut TapArgs,
    session: &SessionArgs,
    schedule: Schedule,
    patience: Duration,
) -> Result<Verdict> {
    let TapArgs { elves, options, formats, scan, target } = args;
    let task = Task { elves, options, session, formats, scan: *scan, patience };
    // From here on Ctrl-C must not end the process by itself: the target may be stopped at any moment.
    let interrupts = interrupt::listen()?;
    run_session(task, target, schedule, &interrupts).map(|done| done.verdict)
}

/// Runs a session with `schedule` from the first look at the ELFs to the last line of status.
///
/// # Errors
///
/// Whatever kept covtap from attaching, reading or writing; profiles written before stay.
pub(super) fn run_session(
    task: Task<'_>,
    target: &mut dyn Target,
    schedule: Schedule,
    interrupts: &Interrupts,
) -> Result<Done> {
    let args = task.options;
    let status = Status::new(args.quiet);
    let control = task.session.listen()?;
    let mut early = Early::open(task, target, &status)?;
    let programs = early.load(task, &status)?;
    let calls = task.session.calls(&programs)?;
    let output = Output::prepare(&args.output, args.form(), &programs)?;
    let gcda = GcdaOutput::prepare(&args.gcda, &programs, |line| status.note(line))?;
    for caution in programs.cautions() {
        status.note(caution);
    }
    let tests = task.session.test_dir()?;
    if tests.is_some() {
        output.check_one_file(&programs)?;
    }
    let formats = Formats::prepare(task.formats, task.elves.iter().map(|elf| elf.path.clone()).collect())?;
    let mappings = mappings(&formats, &programs, &status)?;
    let note = |line: &str| status.note(line);
    let notes = LiveNotes::find(&args.notes, &programs, formats.are_wanted(), &note)?;
    let checks = notes.checks(&programs, &note);
    let reader = early.reader(task, target, &programs, checks, &status)?;
    let mut reader = task.session.apply(reader, calls, &status)?;
    if target.begin()? == Begun::FromRest {
        reader = reader.at_rest();
    }
    let requests = control.as_ref().map_or_else(never, |server| server.requests.clone());
    let connect = target.again().filter(|_| !task.patience.is_zero());
    let reconnect = connect.map(|connect| Reconnect { connect, patience: task.patience });
    let stop = interrupts.stop.clone();
    let session = Session { reader, schedule, stop, requests, reconnect, has_labels: tests.is_some() };
    let mut taker = Taker {
        programs: &programs,
        output,
        gcda,
        formats,
        mappings,
        notes,
        status: &status,
        last: LastFiles::default(),
        said: Said::default(),
        unbelievable: None,
        summaries: Summaries::default(),
        tests,
        gcda_args: &args.gcda,
        era: 0,
    };
    let done = session.run(|told| taker.hear(told));
    match &done {
        Ok(summary) => status.done(summary, &taker.last),
        Err(_) => status.last_profile(&taker.last),
    }
    let ended = done?.ended;
    Ok(Done { ended, verdict: taker.finish()? })
}

/// What was said of snapshots, so that it is not said of each.
#[derive(Default)]
struct Said {
    stillness: Stillness,
    restless: Restless,
    losing: Losing,
    has_lists: bool,
}

/// Makes files of snapshots.
struct Taker<'a> {
    programs: &'a Programs,
    output: Output,
    gcda: GcdaOutput,
    formats: Formats<'a>,
    mappings: Vec<Mapping>,
    notes: LiveNotes,
    status: &'a Status,
    last: LastFiles,
    said: Said,
    unbelievable: Option<Unbelievable>,
    summaries: Summaries,
    tests: Option<TestDir>,
    gcda_args: &'a GcdaArgs,
    /// Of the last snapshot.
    era: u64,
}

impl Taker<'_> {
    /// Does what is to be done about what a session tells.
    fn hear(&mut self, told: &Told) -> Result<()> {
        match told {
            Told::Snapshot(snapshot) => self.take(snapshot),
            Told::Test(test) => self.take_test(test),
            Told::Notice(notice) => {
                self.status.note(&notice.to_string());
                Ok(())
            }
            Told::Answer(pending) => {
                pending.written(&self.last.paths());
                Ok(())
            }
        }
    }

    /// Writes the files of a test.
    fn take_test(&mut self, test: &TestCounts) -> Result<()> {
        let Some(tests) = &mut self.tests else { return Ok(()) };
        let made = (self.programs, &self.output, &self.notes);
        tests.write(test, made, self.gcda_args, self.status)?;
        self.status.note(&if test.is_cut {
            format!("test {} has not ended, and is cut off by the session's end", test.name)
        } else {
            format!("test {} has ended, run {}", test.name, test.runs)
        });
        Ok(())
    }

    /// Writes the profiles and reports of a snapshot, and shows it.
    fn take(&mut self, snapshot: &Snapshot) -> Result<()> {
        if std::mem::replace(&mut self.era, snapshot.era) != snapshot.era {
            self.output.begin_anew();
        }
        let is_wanted = self.formats.are_wanted();
        let profiles = self.programs.profiles(&snapshot.counters, &snapshot.lists, is_wanted)?;
        let summaries = self.summaries.update(self.programs, snapshot)?;
        let counters = profiles.num_unbelievable(&summaries);
        self.unbelievable = Unbelievable::of(snapshot.number, counters);
        if let Some(unbelievable) = &self.unbelievable {
            self.status.note(&unbelievable.to_string());
            return Ok(());
        }
        if self.last.is_empty() {
            self.notes.place(&self.gcda, &|line| self.status.note(line))?;
        }
        self.last = LastFiles { profiles: self.output.write(self.programs, snapshot)?, data: None };
        if let Some(line) = self.output.take_note() {
            self.status.complain(&line);
        }
        self.last.data = self.gcda.write(&profiles)?.map(|(count, dir)| (count, dir.to_owned()));
        if self.formats.are_wanted() {
            let counts = Counts::from(&profiles.llvm[..]);
            let mut coverage = Coverage::default();
            self.mappings.iter().for_each(|mapping| coverage.add(mapping, &counts));
            self.notes.add_to(&mut coverage, &self.formats, &profiles.gcov);
            self.formats.write(coverage, &self.last.paths(), |line| self.status.note(line))?;
        }
        self.say(snapshot, &profiles);
        self.status.show(snapshot, &profiles.stats(&summaries));
        Ok(())
    }

    /// Says what is to be known about a snapshot that was written.
    fn say(&mut self, snapshot: &Snapshot, profiles: &Profiles) {
        let has_lists = profiles.gcov.iter().any(|profile| profile.has_lists);
        if has_lists && !std::mem::replace(&mut self.said.has_lists, true) {
            self.status.note(
                "value profiles: some lists of most frequent values could not be followed and are empty",
            );
        }
        let Said { stillness, restless, losing, .. } = &mut self.said;
        for line in
            restless.see(snapshot).into_iter().chain(losing.see(snapshot)).chain(stillness.see(snapshot))
        {
            self.status.note(&line);
        }
    }

    /// Prints and judges what the last snapshot showed.
    fn finish(self) -> Result<Verdict> {
        self.output.finish()?;
        match self.unbelievable {
            Some(unbelievable) => Err(unbelievable.into()),
            None => self.formats.finish(|line| self.status.note(line)),
        }
    }
}

/// A snapshot that is not written: what was read are no counts.
#[derive(Debug, thiserror::Error)]
#[error("snapshot {number} is left out: {counters} counters are larger than any run makes them")]
pub(super) struct Unbelievable {
    number: u64,
    counters: usize,
}

impl Unbelievable {
    fn of(number: u64, counters: usize) -> Option<Self> {
        (counters > 0).then_some(Self { number, counters })
    }
}

/// The mappings of all programs, if anything was asked for that needs them.
fn mappings(formats: &Formats<'_>, programs: &Programs, status: &Status) -> Result<Vec<Mapping>> {
    if !formats.are_wanted() {
        return Ok(Vec::new());
    }
    // Reports are made on one processor: the others may be the guest's.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().context("start a thread")?;
    let counts_bytes = |(_, image): &(&Program, &LlvmImage)| image.is_byte_coverage();
    if let (Some((bytes, _)), Some((wide, _))) =
        (programs.llvm().find(counts_bytes), programs.llvm().find(|side| !counts_bytes(side)))
    {
        let (bytes, wide) = (bytes.image.name(), wide.image.name());
        bail!("add up the coverage of {bytes} and {wide}: one has byte counters, the other counts");
    }
    let mapping = |(program, image): (&Program, &LlvmImage)| {
        formats.mapping(&program.image, image.names(), |line| status.note(line))
    };
    programs.llvm().map(mapping).collect()
}

/// Opens an ELF; of its content is read what is used.
///
/// # Errors
///
/// The file cannot be read or is no ELF.
pub(super) fn load(path: &Path) -> Result<Image> {
    let file = File::open(path).with_context(|| format!("read {}", path.display()))?;
    Ok(Image::read(&path.display().to_string(), file)?)
}
