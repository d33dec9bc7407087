//! The same code by covtap and by llvm-objdump: where instructions begin, and where they go.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use covtap_insn::{Flow, Isa, instructions};
use covtap_testbed::tool;
use object::{Object, ObjectSection, SectionKind};

/// What a disassembler's line tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Next,
    Jump(Option<u64>),
    Conditional(Option<u64>),
    Call(Option<u64>),
}

const TARGETS: [(Isa, &str, &[&str]); 10] = [
    (Isa::Thumb, "thumbv6m-none-eabi", &[]),
    (Isa::Thumb, "thumbv7m-none-eabi", &[]),
    (Isa::Thumb, "thumbv7em-none-eabihf", &["-mcpu=cortex-m7"]),
    (Isa::Thumb, "thumbv8.1m.main-none-eabihf", &["-mcpu=cortex-m55"]),
    (Isa::A32, "armv7a-none-eabihf", &["-marm"]),
    (Isa::A64, "aarch64-none-elf", &["-mbranch-protection=standard"]),
    (Isa::Rv32, "riscv32-none-elf", &["-march=rv32imac", "-mno-relax"]),
    (Isa::Rv64, "riscv64-none-elf", &["-march=rv64gc", "-mno-relax"]),
    (Isa::X86, "i386-none-elf", &[]),
    (Isa::X86_64, "x86_64-none-elf", &["-fcf-protection"]),
];

#[test]
fn instructions_are_llvms() {
    let dir = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/code.c");
    for (isa, target, flags) in TARGETS {
        for level in ["-O0", "-O1", "-O2", "-Os"] {
            let object = dir.path().join("code.o");
            let mut clang = Command::new(tool("clang-19").unwrap());
            clang.args(["-c", level, "-ffreestanding", "-ffunction-sections"]);
            clang.arg(format!("--target={target}")).args(flags).arg(&source).arg("-o").arg(&object);
            assert!(clang.status().unwrap().success(), "{target} {level}");
            compare(isa, &object, &format!("{target} {level}"));
        }
    }
}

fn compare(isa: Isa, object: &Path, what: &str) {
    let bytes = std::fs::read(object).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let mut seen = [0u32; 4];
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let name = section.name().unwrap();
        let theirs = disassembled(isa, object, name);
        let code = section.data().unwrap();
        let ours = decoded(isa, code, &theirs);
        let theirs: BTreeMap<u64, Kind> =
            theirs.iter().filter_map(|(at, kind)| Some((*at, (*kind)?))).collect();
        for (at, theirs) in &theirs {
            assert_eq!(ours.get(at), Some(theirs), "{what} {name}+{at:#x}");
            seen[match theirs {
                Kind::Next => 0,
                Kind::Jump(_) => 1,
                Kind::Conditional(_) => 2,
                Kind::Call(_) => 3,
            }] += 1;
        }
        assert_eq!(ours.len(), theirs.len(), "{what} {name}");
    }
    assert!(seen.iter().all(|num| *num > 0), "{what}: {seen:?}");
}

/// The instructions of the parts that are code; literal pools and tables of jumps are none.
fn decoded(isa: Isa, code: &[u8], theirs: &BTreeMap<u64, Option<Kind>>) -> BTreeMap<u64, Kind> {
    let mut ours = BTreeMap::new();
    let mut lines = theirs.iter().peekable();
    while let Some((&start, first)) = lines.next() {
        while lines.next_if(|(_, kind)| kind.is_some() == first.is_some()).is_some() {}
        let end = lines.peek().map_or(code.len(), |(end, _)| usize::try_from(**end).unwrap());
        if first.is_some() {
            let part = &code[usize::try_from(start).unwrap()..end];
            ours.extend(instructions(isa, part, start).map(|insn| (insn.address, kind(insn.flow))));
        }
    }
    ours
}

fn kind(flow: Flow) -> Kind {
    match flow {
        Flow::Next | Flow::Invalid => Kind::Next,
        Flow::Jump { target } => Kind::Jump(target),
        Flow::Conditional { target } => Kind::Conditional(target),
        Flow::Call { target } => Kind::Call(target),
        Flow::Return => Kind::Jump(None),
    }
}

/// By address; `None` where there is data.
fn disassembled(isa: Isa, object: &Path, section: &str) -> BTreeMap<u64, Option<Kind>> {
    let mut objdump = Command::new(tool("llvm-objdump-19").unwrap());
    objdump.args(["-d", "--no-show-raw-insn", "--section", section]).arg(object);
    let output = objdump.output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter_map(|line| {
        let (address, insn) = line.split_once(':')?;
        let address = u64::from_str_radix(address.trim(), 16).ok()?;
        let insn = insn.split([';', '@']).next()?.split(" // ").next()?.trim();
        let is_data = [".word", ".short", ".byte", ".long"].iter().any(|data| insn.contains(data));
        Some((address, (!is_data).then(|| by_name(isa, insn))))
    });
    lines.collect()
}

/// What an instruction is by its name and its operands.
fn by_name(isa: Isa, insn: &str) -> Kind {
    let (name, operands) = insn.split_once(|c: char| c.is_whitespace()).unwrap_or((insn, ""));
    let operands = operands.trim();
    // The last operand, without the symbol behind it.
    let target = operands.split(", ").last().and_then(|last| {
        let number = last.split(' ').next()?.trim_start_matches('#').strip_prefix("0x")?;
        u64::from_str_radix(number, 16).ok()
    });
    match isa {
        Isa::Thumb | Isa::A32 => arm(name.trim_end_matches(".w").trim_end_matches(".n"), operands, target),
        Isa::A64 => a64(name, target),
        Isa::Rv32 | Isa::Rv64 => riscv(name, operands, target),
        Isa::X86 | Isa::X86_64 => x86(name, operands, target),
    }
}

const CONDITIONS: [&str; 14] =
    ["eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le"];

fn arm(name: &str, operands: &str, target: Option<u64>) -> Kind {
    let bases = ["blx", "bx", "bl", "b", "pop", "ldm", "ldr", "mov", "add", "tbb", "tbh", "ldmdb", "ldmib"];
    let condition = |base: &&&str| name.strip_prefix(**base).is_some_and(|rest| CONDITIONS.contains(&rest));
    let (base, is_conditional) = match bases.iter().find(|base| **base == name) {
        Some(base) => (*base, false),
        None => bases.iter().find(condition).map_or((name, false), |base| (*base, true)),
    };
    let to_pc = || match base {
        "pop" | "ldm" | "ldmdb" | "ldmib" => operands.contains("pc}"),
        "ldr" | "mov" | "add" => operands.starts_with("pc,"),
        _ => false,
    };
    let jump = |target| if is_conditional { Kind::Conditional(target) } else { Kind::Jump(target) };
    match base {
        "b" => jump(target),
        "bx" | "tbb" | "tbh" => jump(None),
        "cbz" | "cbnz" | "le" | "letp" => Kind::Conditional(target),
        "bl" | "blx" => Kind::Call(target),
        _ if name.starts_with("wls") => Kind::Conditional(target),
        _ if to_pc() => jump(None),
        _ => Kind::Next,
    }
}

fn a64(name: &str, target: Option<u64>) -> Kind {
    match name {
        "b" => Kind::Jump(target),
        "br" | "ret" | "eret" | "retaa" | "retab" | "braa" => Kind::Jump(None),
        "bl" => Kind::Call(target),
        "blr" => Kind::Call(None),
        "cbz" | "cbnz" | "tbz" | "tbnz" => Kind::Conditional(target),
        _ if name.starts_with("b.") => Kind::Conditional(target),
        _ => Kind::Next,
    }
}

fn riscv(name: &str, operands: &str, target: Option<u64>) -> Kind {
    match name {
        "j" => Kind::Jump(target),
        "jal" => Kind::Call(target),
        "jr" | "ret" | "mret" => Kind::Jump(None),
        "jalr" if operands.starts_with("zero,") => Kind::Jump(None),
        "jalr" => Kind::Call(None),
        "beq" | "bne" | "blt" | "bge" | "bltu" | "bgeu" | "beqz" | "bnez" | "bltz" | "bgez" | "blez"
        | "bgtz" | "bgt" | "ble" | "bgtu" | "bleu" => Kind::Conditional(target),
        _ => Kind::Next,
    }
}

fn x86(name: &str, operands: &str, target: Option<u64>) -> Kind {
    let direct = (!operands.contains('*')).then_some(target).flatten();
    match name {
        "jmp" | "jmpl" | "jmpq" => Kind::Jump(direct),
        "call" | "calll" | "callq" => Kind::Call(direct),
        "ret" | "retl" | "retq" | "iret" => Kind::Jump(None),
        _ if name.starts_with('j') => Kind::Conditional(direct),
        _ => Kind::Next,
    }
}
