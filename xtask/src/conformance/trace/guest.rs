//! Guests: the programs of the corpus that need no library, all linked into one.
//!
//! What enters is a toolchain and flags; what leaves is an ELF, where each program's code is in it, and where its
//! instructions begin as llvm-objdump has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use covtap_testbed::{run, workspace_root};
use object::{Object, ObjectSymbol};

use super::super::build::succeed;
use super::super::corpus::{self, Language, Program};
use super::setups::Toolchain;

/// With fewer the corpus has lost some.
const MIN_PROGRAMS: usize = 20;

/// The programs that need no library.
pub(super) fn programs() -> Result<Vec<Program>> {
    let mut programs = corpus::programs()?;
    programs.retain(|program| program.language == Language::C && !program.is_hosted);
    ensure!(programs.len() >= MIN_PROGRAMS, "only {} C programs need no library", programs.len());
    Ok(programs)
}

/// What was compiled, in a folder of its own.
pub(super) struct Objects<'a> {
    pub(super) toolchain: Toolchain,
    pub(super) dir: PathBuf,
    programs: &'a [Program],
    /// Beside those of the programs.
    support: Vec<&'static str>,
    /// Of the programs, by number.
    of_programs: Vec<Vec<String>>,
}

/// An ELF that was linked.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) elf: PathBuf,
    /// The programs that it runs: their numbers, and where their code is.
    pub(super) code: Vec<(usize, Range<u64>)>,
    /// Beginnings and lengths of instructions.
    pub(super) instructions: BTreeMap<u64, u64>,
}

impl<'a> Objects<'a> {
    /// Compiles all programs with some flags; `is_counted` says that they count by themselves by these.
    pub(super) fn compile(
        toolchain: Toolchain,
        programs: &'a [Program],
        dir: PathBuf,
        flags: &[&str],
        is_counted: bool,
    ) -> Result<Self> {
        // What an earlier run kept.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let mut objects = Self { toolchain, dir, programs, support: Vec::new(), of_programs: Vec::new() };
        for (number, program) in programs.iter().enumerate() {
            let entry = format!("-Dprogram=program_{number}");
            let mut names = Vec::new();
            for source in &program.sources {
                let name = format!("p{number}.{}.o", source.file_stem().unwrap_or_default().display());
                objects.compile_one(source, &name, &[flags, &[entry.as_str()]].concat())?;
                names.push(name);
            }
            objects.of_programs.push(names);
        }
        let own = |name: &str| workspace_root().join("tests/trace").join(name);
        objects.compile_one(&own("guest.c"), "guest.o", &["-O1"])?;
        objects.support.push("guest.o");
        if is_counted {
            objects.compile_one(&own("counted.c"), "counted.o", &["-O1"])?;
            objects.support.push("counted.o");
        }
        Ok(objects)
    }

    fn compile_one(&self, source: &Path, object: &str, flags: &[&str]) -> Result<()> {
        let mut command = self.toolchain.compile(&self.dir)?;
        succeed(command.args(flags).args(["-c", "-o", object]).arg(source))
    }

    /// Links those programs, by their numbers, into a guest that runs them.
    pub(super) fn link(&self, name: &str, chosen: &[usize]) -> Result<Guest> {
        let run = format!("{name}.run.c");
        let write = |name: &str, text: String| {
            let path = self.dir.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        write(&run, calls(chosen))?;
        write(&format!("{name}.x"), script(self.toolchain.target.base, chosen))?;
        let (run_object, elf) = (format!("{name}.run.o"), format!("{name}.elf"));
        self.compile_one(Path::new(&run), &run_object, &["-O1"])?;
        let mut command = self.toolchain.link(&self.dir)?;
        command.args(["--build-id=sha1", "--nmagic", "-e", self.toolchain.target.base]);
        command.args(["-T", &format!("{name}.x"), "-o", &elf]);
        command.args(chosen.iter().filter_map(|number| self.of_programs.get(*number)).flatten());
        command.args(&self.support).arg(&run_object).arg(self.toolchain.support_library()?);
        succeed(&mut command)?;
        Guest::read(self.dir.join(elf), chosen)
    }

    pub(super) fn programs(&self) -> &'a [Program] {
        self.programs
    }

    /// The objects of the programs.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.of_programs.iter().flatten().map(String::as_str)
    }
}

impl Guest {
    fn read(elf: PathBuf, chosen: &[usize]) -> Result<Self> {
        let bytes = fs::read(&elf).with_context(|| format!("read {}", elf.display()))?;
        let file =
            object::File::parse(bytes.as_slice()).with_context(|| format!("parse {}", elf.display()))?;
        let symbols: BTreeMap<&str, u64> =
            file.symbols().filter_map(|symbol| Some((symbol.name().ok()?, symbol.address()))).collect();
        let address = |name: &str| {
            symbols.get(name).copied().with_context(|| format!("{} has no {name}", elf.display()))
        };
        let mut code = Vec::with_capacity(chosen.len());
        for number in chosen {
            code.push((*number, address(&format!("start_{number}"))?..address(&format!("end_{number}"))?));
        }
        let listed = run("llvm-objdump-19", ["-d", &elf.display().to_string()])?;
        let instructions = listed.lines().filter_map(instruction).collect();
        Ok(Self { elf, code, instructions })
    }

    /// From where to where programs are: first and last addresses.
    pub(super) fn extent(&self) -> Option<(u64, u64)> {
        let first = self.code.iter().map(|(_, range)| range.start).min()?;
        let behind = self.code.iter().map(|(_, range)| range.end).max()?;
        Some((first, behind.saturating_sub(1)))
    }
}

/// Address and length of the instruction on a line of llvm-objdump's; data has none.
fn instruction(line: &str) -> Option<(u64, u64)> {
    let (address, rest) = line.split_once(": ")?;
    let address = u64::from_str_radix(address.trim(), 16).ok()?;
    let mut columns = rest.split('\t');
    let digits = columns.next()?.chars().filter(char::is_ascii_hexdigit).count() as u64;
    let mnemonic = columns.next()?.trim();
    (!mnemonic.starts_with('.') && !mnemonic.starts_with('<')).then_some((address, digits / 2))
}

/// The source of what calls the programs.
fn calls(chosen: &[usize]) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    for number in chosen {
        let _ = writeln!(text, "int program_{number}(int);");
    }
    text += "static volatile int result;\nvoid run_programs(int n) {\n";
    for number in chosen {
        let _ = writeln!(text, "  result = program_{number}(n);");
    }
    text + "}\n"
}

/// The script by which a guest is linked: programs by themselves, in order.
fn script(base: &str, chosen: &[usize]) -> String {
    let mut programs = String::new();
    for number in chosen {
        let _ = writeln!(
            programs,
            "    start_{number} = .; p{number}.*.o(.text .text.*) end_{number} = .; . = ALIGN(16);"
        );
    }
    SCRIPT.replace("BASE", base).replace("PROGRAMS", &programs)
}

/// What is written has pages of its own: an emulator is slow where it shares one with code.
const SCRIPT: &str = "PHDRS { load PT_LOAD FLAGS(7); note PT_NOTE; }
SECTIONS
{
  . = BASE;
  .begin : { KEEP(*(.begin)) } :load
  .note.pvh : ALIGN(4) { KEEP(*(.note.pvh)) } :load :note
  .note.gnu.build-id : ALIGN(4) { KEEP(*(.note.gnu.build-id)) } :load
  .text : ALIGN(16) {
PROGRAMS
    *(.text .text.*)
  } :load
  .rodata : { *(.rodata .rodata.* .srodata .srodata.*) } :load
  .init_array : ALIGN(8) { __init_start = .; KEEP(*(SORT(.init_array.*))) KEEP(*(.init_array)) __init_end = .; } :load
  .gcov_info : ALIGN(8) { __gcov_info_start = .; KEEP(*(.gcov_info)) __gcov_info_end = .; } :load
  .data : ALIGN(4096) { *(.data .data.* .sdata .sdata.*) } :load
  .bss (NOLOAD) : ALIGN(8) { *(.bss .bss.* .sbss .sbss.* COMMON) } :load
  .stack (NOLOAD) : ALIGN(16) { . += 64K; __stack_top = .; } :load
  /DISCARD/ : { *(.ARM.exidx* .ARM.extab* .eh_frame*) }
}
";
