//! The intermediate JSON of the trace-based coverage tools of TF-A and TF-M, from which they make and merge reports.
//!
//! ```text
//! {"configuration":{"elf_map":{"bl1":0},"metadata":{},"sources":[]},
//!  "source_files":{"a.c":{
//!    "functions":{"f":{"covered":true,"line_number":12}},
//!    "lines":{"13":{"covered":true,"elf_index":{"0":{"6948":["b2760000 \torr\tx0, x0, #0x400",1]}}}}}}}
//! ```
//!
//! `elf_index` has the instructions of a line by program and address, in decimal, as the ELF has them: each as objdump
//! prints it, and how often it was executed. Programs that the tools know have numbers of their own; others are counted
//! from 100. Where sources are checked out from is not known, and `sources` is empty.
//!
//! What enters is the coverage of traces, and what was executed of object code; what leaves is JSON. What always holds: only
//! files of the coverage are there; no name is there twice; instructions of no line are left out, as in those tools.
//! Source: `intermediate_layer.py` and its description, `coverage-tool` of Trusted Firmware's `qa-tools`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::assembly::{Assembly, digits_of, flow};
use super::by_line;
use super::names::{Names, text};
use crate::coverage::object::{ObjectCoverage, ObjectInstruction};
use crate::coverage::trace::Places;
use crate::coverage::{Coverage, FileCoverage};
use crate::image::ImageAddr;

/// The numbers of programs that those tools know.
const KNOWN: [(&str, u64); 8] = [
    ("bl1", 0),
    ("bl2", 1),
    ("bl31", 2),
    ("bl32", 3),
    ("scp_ram", 10),
    ("scp_rom", 11),
    ("mcp_rom", 12),
    ("mcp_ram", 13),
];

/// The number of the first program that they do not.
const FIRST_OTHER: u64 = 100;

/// A program of a trace.
#[derive(Clone, Copy)]
pub struct TfaProgram<'a> {
    /// Its name: where the trace has address spaces, the one that it is in.
    pub name: &'a str,
    /// What was executed of it.
    pub object: &'a ObjectCoverage<'a>,
    /// The lines that its instructions are of.
    pub places: &'a Places,
}

/// Writes what was executed of programs.
///
/// # Errors
///
/// Writing to `out` failed.
pub fn write(coverage: &Coverage, programs: &[TfaProgram<'_>], out: &mut dyn Write) -> io::Result<()> {
    let elf_map = elf_map(programs);
    let numbers: Vec<u64> = elf_map.iter().map(|(_, number)| *number).collect();
    let insns = Insns::of(programs, numbers);
    let names = elf_map.into_iter().collect();
    let configuration = Configuration { elf_map: names, metadata: BTreeMap::new(), sources: [] };
    let report = Report { configuration, source_files: Files { coverage, insns: &insns } };
    serde_json::to_writer(&mut *out, &report)?;
    out.write_all(b"\n")
}

/// The names and numbers of programs, in their order.
fn elf_map(programs: &[TfaProgram<'_>]) -> Vec<(String, u64)> {
    let (mut names, mut other) = (Names::default(), FIRST_OTHER);
    let number = |program: &TfaProgram<'_>| {
        let short = text(program.name.as_bytes());
        let name = names.claim(short, || text(program.object.image().name().as_bytes()));
        let known = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        let number = known.unwrap_or_else(|| {
            other = other.saturating_add(1);
            other.saturating_sub(1)
        });
        (name, number)
    };
    programs.iter().map(number).collect()
}

/// Instructions by the lines that they are of.
struct Insns<'a> {
    programs: &'a [TfaProgram<'a>],
    numbers: Vec<u64>,
    /// Files, lines, and indices of programs; in order.
    all: Vec<(&'a [u8], u32, usize, ObjectInstruction)>,
    assembly: RefCell<Assembly>,
}

impl<'a> Insns<'a> {
    fn of(programs: &'a [TfaProgram<'a>], numbers: Vec<u64>) -> Self {
        let mut all = Vec::new();
        for (index, program) in programs.iter().enumerate() {
            for insn in program.object.functions().flat_map(|function| function.instructions) {
                if let Some(place) = program.places.at(ImageAddr::new(insn.insn.address)) {
                    all.push((&place.path[..], place.line, index, insn));
                }
            }
        }
        all.sort_unstable_by_key(|(file, line, index, insn)| (*file, *line, *index, insn.insn.address));
        Self { programs, numbers, all, assembly: RefCell::default() }
    }

    /// Those of a file.
    fn of_file(&self, name: &[u8]) -> &[(&'a [u8], u32, usize, ObjectInstruction)] {
        let first = self.all.partition_point(|(file, ..)| *file < name);
        let rest = self.all.get(first..).unwrap_or_default();
        rest.get(..rest.partition_point(|(file, ..)| *file == name)).unwrap_or_default()
    }

    /// An instruction as objdump prints it.
    fn text(&self, program: usize, insn: &ObjectInstruction) -> String {
        let image = self.programs.get(program).map(|program| program.object.image());
        let (address, len_bytes) = (ImageAddr::new(insn.insn.address), insn.insn.len_bytes as u64);
        let code = image.and_then(|image| image.bytes_at(address, len_bytes)).unwrap_or_default();
        let text = self.assembly.borrow_mut().text(insn.isa, &insn.insn, code);
        let text = text.unwrap_or_else(|| flow(&insn.insn));
        format!("{} \t{}", digits_of(insn.isa, code), text.replacen(' ', "\t", 1))
    }
}

#[derive(serde::Serialize)]
struct Report<'a> {
    configuration: Configuration,
    source_files: Files<'a>,
}

#[derive(serde::Serialize)]
struct Configuration {
    elf_map: BTreeMap<String, u64>,
    metadata: BTreeMap<String, String>,
    sources: [String; 0],
}

/// Files by name; one after the other, as they may be many.
struct Files<'a> {
    coverage: &'a Coverage,
    insns: &'a Insns<'a>,
}

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for file in by_line::files(self.coverage, None) {
            let lines = Lines::of(&file.file, self.insns);
            let functions = functions(&file.file);
            map.serialize_entry(&file.name, &File { functions, lines })?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct File<'a> {
    functions: BTreeMap<String, Function>,
    lines: Lines<'a>,
}

#[derive(serde::Serialize)]
struct Function {
    covered: bool,
    line_number: u32,
}

fn functions(file: &FileCoverage<'_>) -> BTreeMap<String, Function> {
    let mut names = Names::default();
    let function = |function: crate::coverage::FileFunction<'_>| {
        let name = text(function.name);
        let name = names.claim(name.clone(), || name);
        (name, Function { covered: function.count > 0, line_number: function.start_line() })
    };
    file.functions().map(function).collect()
}

/// Lines of a file, whether they ran, and their instructions.
struct Lines<'a> {
    covered: BTreeMap<u32, bool>,
    insns: &'a Insns<'a>,
    of_file: &'a [(&'a [u8], u32, usize, ObjectInstruction)],
}

impl<'a> Lines<'a> {
    fn of(file: &FileCoverage<'_>, insns: &'a Insns<'a>) -> Self {
        let of_file = insns.of_file(file.name());
        let runs = file.lines().into_iter().flat_map(|run| run.lines.map(move |line| (line, run.count > 0)));
        let mut covered: BTreeMap<u32, bool> = runs.collect();
        for (_, line, _, insn) in of_file {
            *covered.entry(*line).or_default() |= insn.count > 0;
        }
        Self { covered, insns, of_file }
    }
}

impl Serialize for Lines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rest = self.of_file;
        let lines = self.covered.iter().map(|(line, covered)| {
            let (here, behind) = rest.split_at(rest.partition_point(|(_, of, ..)| of == line));
            rest = behind;
            (line, Line { covered: *covered, elf_index: ByProgram { insns: self.insns, here } })
        });
        serializer.collect_map(lines)
    }
}

#[derive(serde::Serialize)]
struct Line<'a> {
    covered: bool,
    elf_index: ByProgram<'a>,
}

/// The instructions of a line, by the numbers of programs.
struct ByProgram<'a> {
    insns: &'a Insns<'a>,
    here: &'a [(&'a [u8], u32, usize, ObjectInstruction)],
}

impl Serialize for ByProgram<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let programs = self.here.chunk_by(|(_, _, one, _), (_, _, other, _)| one == other);
        serializer.collect_map(programs.filter_map(|of_program| {
            let (_, _, program, _) = of_program.first()?;
            let number = self.insns.numbers.get(*program)?;
            Some((number, ByAddress(Self { here: of_program, ..*self })))
        }))
    }
}

/// The same of one program, by address.
struct ByAddress<'a>(ByProgram<'a>);

impl Serialize for ByAddress<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ByProgram { insns, here } = self.0;
        let insn = |(_, _, program, insn): &(&[u8], u32, usize, ObjectInstruction)| {
            (insn.insn.address, (insns.text(*program, insn), insn.count))
        };
        serializer.collect_map(here.iter().map(insn))
    }
}
