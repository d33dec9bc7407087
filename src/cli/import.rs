//! `covtap import`: traces that other tools wrote, made into one of covtap's.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::programs::ElfArg;
use super::tap::load;
use super::terminal::say;
use crate::image::{Image, ImageAddr};
use crate::profile::trace::import::{self, Format, Module, Options};
use crate::profile::trace::{self, Counting, Trace};
use crate::write::{self, drcov};

/// How modules are aligned that a drcov file tells of.
const PAGE_BYTES: u64 = 4096;

/// Take in traces of other tools, plain or compressed by gzip or zstd, and add them up in one of covtap's own.
///
/// What a format can tell, and what it cannot, is in docs/trace-formats.md.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// A trace; several, as of several processors, are added up
    #[arg(value_name = "TRACE", required = true)]
    traces: Vec<PathBuf>,
    /// The trace to write
    #[arg(short, long, value_name = "OUT", default_value = "default.covtrace")]
    output: PathBuf,
    /// The form of the traces, if their first bytes do not tell
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(Format::names()))]
    format: Option<String>,
    /// Keep what is whole of a trace that is damaged or cut off
    #[arg(long)]
    partial: bool,
    /// Counts are too small, or not to be trusted: take code as reached
    #[arg(long)]
    reached: bool,
    /// Blocks of drcov have addresses, and no offsets into modules, as QEMU's plugin writes them
    #[arg(long)]
    absolute: bool,
    /// Keep one module of drcov, whose path ends so, by the addresses of its ELF
    #[arg(long, value_name = "NAME=ELF", value_parser = ModuleArg::parse)]
    module: Option<ModuleArg>,
    /// How long every instruction is, for hotblocks, which counts instructions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=16))]
    insn_bytes: Option<u64>,
    /// Write what was executed as drcov too, for Lighthouse
    #[arg(long, value_name = "FILE", requires = "elf")]
    drcov: Option<PathBuf>,
    /// A program whose code --drcov writes
    #[arg(long, value_name = "ELF[@SLIDE]", value_parser = ElfArg::parse, requires = "drcov")]
    elf: Vec<ElfArg>,
}

/// A module and the ELF that it was loaded from.
#[derive(Clone, Debug)]
struct ModuleArg {
    name: String,
    elf: PathBuf,
}

impl ModuleArg {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, elf)) if !name.is_empty() && !elf.is_empty() => {
                Ok(Self { name: name.to_owned(), elf: elf.into() })
            }
            _ => Err("it is not NAME=ELF".to_owned()),
        }
    }
}

/// Imports traces. What each said is said.
///
/// # Errors
///
/// A trace cannot be read, or is damaged and its whole part is not asked for; nothing is written then. Or a file cannot be
/// written.
pub(super) fn run(args: &ImportArgs) -> Result<()> {
    write::check_writable(&args.output)?;
    args.drcov.iter().try_for_each(|path| write::check_writable(path))?;
    let modules = args.elf.iter().map(drcov_module).collect::<Result<Vec<_>>>()?;
    let options = options(args)?;
    let format = args.format.as_deref().and_then(Format::by_name);
    let mut sum = Trace::default();
    for path in &args.traces {
        sum.add(&read(path, format, &options, args.partial)?);
    }
    if let Some(path) = &args.drcov {
        let encoded = drcov::encode(&sum, &modules)?;
        if encoded.outside_bytes > 0 {
            say(&format!("{}: left out are {} bytes in no ELF", path.display(), encoded.outside_bytes));
        }
        write::write_whole(path, &encoded.bytes)?;
    }
    write::write_whole(&args.output, &trace::encode(&sum))?;
    say(&format!("the trace is {}", args.output.display()));
    Ok(())
}

fn options(args: &ImportArgs) -> Result<Options> {
    let module = args.module.as_ref().map(|ModuleArg { name, elf }| -> Result<Module> {
        let image_base = extent(&load(elf)?)?.0;
        Ok(Module { name: name.clone(), image_base: image_base - image_base % PAGE_BYTES })
    });
    Ok(Options {
        is_absolute: args.absolute,
        module: module.transpose()?,
        insn_bytes: args.insn_bytes,
        only_reached: args.reached,
    })
}

fn read(path: &Path, format: Option<Format>, options: &Options, is_partial: bool) -> Result<Trace> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("read {name}"))?;
    let imported = import::import(&name, BufReader::with_capacity(1 << 16, file), format, options)?;
    check_options(&name, imported.format, options)?;
    match imported.fault {
        Some(fault) if !is_partial => return Err(fault.into()),
        Some(fault) => say(&format!("{fault}; what was whole before it is kept")),
        None => {}
    }
    say(&format!("{name}: {}, which says {}", imported.format, what(imported.trace.counting)));
    let counts_blocks = matches!(imported.format, Format::QemuLog | Format::Hotblocks);
    if counts_blocks && imported.trace.counting == Counting::Times {
        say(&format!(
            "{name}: blocks are counted as QEMU enters them: what is behind a fault, or an access to a device, in the midst of \
             one is counted too often"
        ));
    }
    Ok(imported.trace)
}

/// What an option asks for has to be done.
fn check_options(name: &str, format: Format, options: &Options) -> Result<()> {
    let uses = [
        ("--module", options.module.is_some(), Format::Drcov),
        ("--absolute", options.is_absolute, Format::Drcov),
        ("--insn-bytes", options.insn_bytes.is_some(), Format::Hotblocks),
    ];
    for (option, is_given, only) in uses {
        ensure!(
            !is_given || format == only,
            "import {name}: {option} is for {only} alone, and this is {format}"
        );
    }
    Ok(())
}

/// What counts say.
fn what(counting: Counting) -> &'static str {
    match counting {
        Counting::Times => "how often code ran",
        Counting::Reached => "that code ran, and not how often",
        Counting::Samples => "that some code ran: other code may have run too",
    }
}

fn drcov_module(elf: &ElfArg) -> Result<drcov::Module> {
    let image = load(&elf.path)?;
    let (base, end) = extent(&image)?;
    let slide = elf.slide.unwrap_or_default();
    let at = |address| slide.apply(ImageAddr::new(address), image.pointer_width()).get();
    Ok(drcov::Module { path: elf.path.display().to_string(), base: at(base), end: at(end) })
}

/// The first address that an image has, and the one behind its last.
fn extent(image: &Image) -> Result<(u64, u64)> {
    let extents = image.extents();
    let ends = extents.iter().map(|extent| extent.start.get().saturating_add(extent.len_bytes));
    let range = extents.first().map(|first| first.start.get()).zip(ends.max());
    range.with_context(|| format!("read {}: it has nothing that is loaded", image.name()))
}
