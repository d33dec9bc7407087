//! Traces on source: what `report` and `merge` share of what was executed, and not counted by the program itself.
//!
//! What enters is traces from disk and the programs that ran; what leaves is lines and functions in a [`Coverage`]. What
//! always holds: a program is in one address space of the trace, and what is in none of them is said; nothing is put on
//! the lines of a program of another build than the trace names.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use clap::Args;

use super::formats::Formats;
use super::programs::ElfArg;
use super::split::SplitArgs;
use super::terminal::say as note;
use super::{report, tap};
use crate::coverage::Coverage;
use crate::coverage::object::ObjectCoverage;
use crate::coverage::trace::{LeftOut, Mapped, TracedImage, Unmapped, put_branches};
use crate::image::{BuildId, Image, Slide};
use crate::profile::trace::{self, Counting, Space, Trace};
use crate::write;
use crate::write::html::ObjectProgram;
use crate::write::tfa_json::{self, TfaProgram};

/// Where programs of a trace are.
#[derive(Debug, Default, Args)]
pub(super) struct ImageArgs {
    /// A program of the trace's address space SPACE alone, where there are several; may be given again
    #[arg(long = "image", value_name = "SPACE=ELF[@SLIDE]", value_parser = PlacedElf::parse, conflicts_with = "by_test")]
    images: Vec<PlacedElf>,
    /// Of a trace: a table of functions, and every instruction with its count and which way branches went; needs no source
    #[arg(long, value_name = "FILE", conflicts_with = "by_test")]
    object: Option<PathBuf>,
    /// Of a trace: the intermediate JSON of the trace-based coverage tools of TF-A and TF-M; programs are called by their
    /// address spaces (--image bl2=bl2.elf)
    #[arg(long, value_name = "FILE", conflicts_with = "by_test")]
    tfa_json: Option<PathBuf>,
    #[command(flatten)]
    split: SplitArgs,
}

/// A program in an address space.
#[derive(Clone, Debug)]
struct PlacedElf {
    space: String,
    elf: ElfArg,
}

impl PlacedElf {
    /// Reads `SPACE=ELF[@SLIDE]`.
    fn parse(text: &str) -> Result<Self, String> {
        let (space, elf) = text.split_once('=').ok_or("wants SPACE=ELF")?;
        Ok(Self { space: space.to_owned(), elf: ElfArg::parse(elf)? })
    }
}

/// A trace and the programs do not go together.
#[derive(Debug, thiserror::Error)]
pub(super) enum TraceReportError {
    /// Only a trace was given.
    #[error("report coverage: no ELF for the trace")]
    NoElf,
    /// Only an ELF was given.
    #[error("report coverage: {what}, and there is no trace among the files")]
    NoTrace {
        /// What only a trace needs.
        what: String,
    },
    /// The trace is of other programs.
    #[error(
        "report coverage: the trace is of the programs with the build ids {of_trace}, {image} has {of_image}"
    )]
    OtherProgram {
        /// Those that the trace names.
        of_trace: String,
        /// The ELF.
        image: String,
        /// Its own.
        of_image: String,
    },
    /// It cannot be known which address space a program is in.
    #[error(
        "report coverage: the trace has several address spaces, and which {image} is in is not said: {spaces}"
    )]
    WhichSpace {
        /// The ELF.
        image: String,
        /// The trace's spaces.
        spaces: String,
    },
    /// The trace has no such address space.
    #[error("report coverage: the trace has no address space {space:?}: it has {spaces}")]
    NoSpace {
        /// What was asked for.
        space: String,
        /// The trace's spaces.
        spaces: String,
    },
    /// Nothing of the trace is in the programs.
    #[error("report coverage: nothing of the trace is in {images}: the first code of it is at {first:#x}")]
    Elsewhere {
        /// The ELFs.
        images: String,
        /// The first address.
        first: u64,
    },
    /// Files of different kinds cannot be merged.
    #[error("merge: {path} is {is}, and those before it are not")]
    Mixed {
        /// The file.
        path: String,
        /// What it is.
        is: &'static str,
    },
}

/// A program that is loaded, and where it is.
struct Placed {
    image: Image,
    path: PathBuf,
    slide: Slide,
    space: String,
}

impl Placed {
    /// What was executed in its address space; nothing, in an empty trace.
    fn space_of<'t>(&self, trace: &'t Trace) -> &'t Space {
        static NOTHING: Space = Space::new();
        trace.space(&self.space).unwrap_or(&NOTHING)
    }

    /// What it is called beside others: by its address space, else by its file.
    fn name(&self) -> &str {
        let stem = Path::new(self.image.name()).file_stem().and_then(OsStr::to_str);
        if self.space.is_empty() { stem.unwrap_or(self.image.name()) } else { &self.space }
    }

    /// Its instructions, with what was executed.
    fn object<'t>(&'t self, trace: &'t Trace) -> ObjectCoverage<'t> {
        ObjectCoverage::new(&self.image, self.slide, trace, self.space_of(trace))
    }

    /// Its lines and functions, and the lines of its instructions if they are wanted.
    fn traced(&self, trace: &Trace, split: &[Image], wants_places: bool) -> Result<TracedImage> {
        let (space, counting) = (self.space_of(trace), trace.counting);
        Ok(match wants_places {
            true => TracedImage::with_places(&self.image, split, self.slide, space, counting),
            false => TracedImage::new(&self.image, split, self.slide, space, counting),
        }?)
    }
}

impl ImageArgs {
    /// What is asked for that only a trace has.
    pub(super) fn wants(&self) -> Option<&'static str> {
        let object = self.object.as_ref().map(|_| "--object is given");
        let tfa_json = self.tfa_json.as_ref().map(|_| "--tfa-json is given");
        let image = (!self.images.is_empty()).then_some("--image is given");
        object.or(tfa_json).or(image).or(self.split.any().then_some("--dwo is given"))
    }

    /// The programs that are named.
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.images.iter().map(|placed| placed.elf.path.clone())
    }

    /// Reports what traces say of programs: those that are placed, and `elves`, which are in the only address space.
    ///
    /// # Errors
    ///
    /// A file cannot be read, the traces are of other programs, or what was asked for cannot be written.
    pub(super) fn report(
        &self,
        formats: &mut Formats<'_>,
        elves: &[ElfArg],
        traces: &[PathBuf],
        all: bool,
    ) -> Result<()> {
        let trace = sum(traces)?;
        let placed = self.place(elves, &trace)?;
        check_build_ids(&placed, &trace)?;
        let mut mapped = Mapped::default();
        placed.iter().for_each(|program| mapped.add(&program.space, &program.image, program.slide));
        if let Some((one, other)) = mapped.overlap() {
            let name = |index: usize| placed.get(index).map_or("", |program| program.image.name());
            note(&format!(
                "{} and {} are at one place: what ran there counts for both",
                name(one),
                name(other)
            ));
        }
        say_unmapped(&mapped.outside(&trace), &placed, &trace)?;
        let objects: Vec<_> = placed.iter().map(|program| program.object(&trace)).collect();
        if let Some(path) = &self.object {
            write::write_whole_with(path, |out| write_object(&objects, out))?;
            note(&format!("coverage of object code is in {}", path.display()));
        }
        let mut traced = Vec::new();
        for (program, object) in placed.iter().zip(&objects) {
            let wants_places = formats.wants_site() || self.tfa_json.is_some() || trace.has_branches;
            let split = self.split.find(&program.image, &program.path, &|name| formats.moved(name))?;
            let mut of_program = program.traced(&trace, &split, wants_places)?;
            say(&of_program, &program.image, all, formats);
            formats.rename_traced(&mut of_program);
            traced.push((of_program, object));
        }
        for (program, left_out) in placed.iter().zip(put_branches(&mut traced)) {
            say_left_out(program.image.name(), left_out);
        }
        say_counting(trace.counting, formats);
        let mut coverage = Coverage::default();
        for (program, (traced, _)) in placed.iter().zip(&traced) {
            coverage.add_unit(program.image.name(), &traced.unit);
        }
        formats.leave_out(&mut coverage);
        self.write_tfa_json(&coverage, &placed, &traced)?;
        let programs = placed.iter().zip(&traced).map(|(placed, (traced, object))| ObjectProgram {
            object,
            places: &traced.places,
            space: &placed.space,
        });
        formats.write_traced(coverage, traces, &programs.collect::<Vec<_>>(), note)
    }

    fn write_tfa_json(
        &self,
        coverage: &Coverage,
        placed: &[Placed],
        traced: &[(TracedImage, &ObjectCoverage<'_>)],
    ) -> Result<()> {
        let Some(path) = &self.tfa_json else { return Ok(()) };
        let programs = placed.iter().zip(traced).map(|(placed, (traced, object))| TfaProgram {
            name: placed.name(),
            object,
            places: &traced.places,
        });
        let programs: Vec<_> = programs.collect();
        write::write_whole_with(path, |out| tfa_json::write(coverage, &programs, out))?;
        Ok(())
    }

    fn place(&self, elves: &[ElfArg], trace: &Trace) -> Result<Vec<Placed>> {
        let spaces: Vec<&str> = trace.spaces().map(|(name, _)| name).collect();
        let listed = || spaces.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let mut placed = Vec::new();
        for elf in elves {
            let image = elf.path.display().to_string();
            let [space] = spaces[..] else {
                if spaces.is_empty() {
                    placed.push(load(elf, "")?);
                    continue;
                }
                return Err(TraceReportError::WhichSpace { image, spaces: listed() }.into());
            };
            placed.push(load(elf, space)?);
        }
        for PlacedElf { space, elf } in &self.images {
            if !spaces.contains(&space.as_str()) {
                return Err(TraceReportError::NoSpace { space: space.clone(), spaces: listed() }.into());
            }
            placed.push(load(elf, space)?);
        }
        if placed.is_empty() { Err(TraceReportError::NoElf.into()) } else { Ok(placed) }
    }
}

/// Writes what of the programs' object code was executed.
fn write_object(objects: &[ObjectCoverage<'_>], out: &mut dyn io::Write) -> io::Result<()> {
    for object in objects {
        writeln!(out, "{}\n", object.image().name())?;
        write::object::write_table(object, out)?;
        write::object::write_listing(object, out)?;
    }
    Ok(())
}

fn load(elf: &ElfArg, space: &str) -> Result<Placed> {
    let slide = elf.slide.unwrap_or_default();
    Ok(Placed { image: tap::load(&elf.path)?, path: elf.path.clone(), slide, space: space.to_owned() })
}

/// Reads traces, and adds them up.
///
/// # Errors
///
/// One cannot be read, or is damaged.
pub(super) fn sum(paths: &[PathBuf]) -> Result<Trace> {
    let mut sum = Trace::default();
    for path in paths {
        sum.add(&read(path)?);
    }
    Ok(sum)
}

fn read(path: &Path) -> Result<Trace> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(trace::parse(&path.display().to_string(), &bytes)?)
}

/// Makes sure that each program is one that the trace names, if it names any.
fn check_build_ids(placed: &[Placed], trace: &Trace) -> Result<(), TraceReportError> {
    if trace.build_ids.is_empty() {
        return Ok(());
    }
    for Placed { image, .. } in placed {
        let ids = image.build_ids();
        if !ids.iter().any(|id| trace.build_ids.contains(id)) {
            let listed = |ids: &[BuildId]| match ids {
                [] => "none".to_owned(),
                ids => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            return Err(TraceReportError::OtherProgram {
                of_trace: listed(&trace.build_ids),
                image: image.name().to_owned(),
                of_image: listed(&ids),
            });
        }
    }
    Ok(())
}

/// Says what of the trace is in no program.
fn say_unmapped(unmapped: &Unmapped, placed: &[Placed], trace: &Trace) -> Result<(), TraceReportError> {
    let Some((_, first, _)) = unmapped.ranges.first() else { return Ok(()) };
    if unmapped.len_bytes == trace.len_bytes() {
        let names: Vec<&str> = placed.iter().map(|program| program.image.name()).collect();
        return Err(TraceReportError::Elsewhere { images: names.join(", "), first: *first });
    }
    note(&unmapped.to_string());
    Ok(())
}

/// Says what of a program could not be put on lines.
fn say(traced: &TracedImage, image: &Image, all: bool, formats: &mut Formats<'_>) {
    let name = image.name();
    if !traced.has_lines {
        note(&format!("{name} has no line information: only its functions are shown, by its symbols"));
    }
    if traced.num_without_line > 0 {
        let num = traced.num_without_line;
        note(&format!("{num} functions of {name} have no line information and are left out"));
    }
    if let Some(first) = traced.missing.first() {
        let (missing, all) = (traced.missing.len(), traced.num_split);
        note(&format!(
            "{name}: debug information of {missing} of {all} units that have it in files of their own (.dwo) was not found, \
             {first} for one: symbols alone tell their functions; --dwo says where such files are"
        ));
    }
    if matches!(image.architecture(), "arm" | "thumb") {
        caution(
            formats,
            &format!(
                "{name}: instructions of an IT block count as executed also if their condition was false"
            ),
        );
    }
    let problems: Vec<String> =
        traced.problems.iter().map(|problem| format!("left out of {name}: {problem}")).collect();
    report::say(&problems, "problems", all);
}

/// Says which branches of a program are on no line.
fn say_left_out(name: &str, LeftOut { num_unknown, num_without_line }: LeftOut) {
    if num_unknown > 0 {
        note(&format!(
            "{num_unknown} conditional branches of {name} ran, and nobody saw which way they went: no line has them"
        ));
    }
    if num_without_line > 0 {
        note(&format!("{num_without_line} conditional branches of {name} are of no line"));
    }
}

fn say_counting(counting: Counting, formats: &mut Formats<'_>) {
    match counting {
        Counting::Times => {}
        Counting::Reached => {
            caution(formats, "the trace says what was reached, not how often: counts are 0 or 1");
        }
        Counting::Samples => caution(
            formats,
            "the trace has samples: counts are 0 or 1, and what has 0 may have been executed too",
        ),
    }
}

/// Says what is to be known of counts here, and to who reads the pages.
fn caution(formats: &mut Formats<'_>, text: &str) {
    note(text);
    formats.caution(text);
}
