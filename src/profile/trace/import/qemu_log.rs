//! QEMU's log: `exec` has a line for each block that is entered, `in_asm` the instructions of each that is translated.
//!
//! ```text
//! ----------------
//! IN: main
//! 0x00000184:  f04f 5304  mov.w    r3, #0x21000000          address, bytes, disassembly
//!
//! Linking TBs 0x7fee30000100 index 0 -> 0x7fee30000240      from now on one enters the other without a line
//! Trace 0: 0x7fade8000100 [00800400/0000000000000184/00000110/ff020200] main
//!       |  |               |        |                |        `- cflags: 0x200 is CF_NO_GOTO_TB, of -d nochain
//!       |  |               cs_base  address          flags
//!       |  `- the translated code
//!       `- the processor
//! Stopped execution of TB chain before 0x7fade8000100 [0000000000000184] main
//! ```
//!
//! Source: `accel/tcg/cpu-exec.c` and `disas/disas-target.c` of QEMU 10.0.
//!
//! What always holds: counts are counts only if every block was entered from the outside (`-d exec,nochain`), which the
//! lines say, and are those of entries: what is behind a fault, or an access to a device, in the midst of a block is counted
//! too often; else the trace says what was reached. A log without `exec` lines says it too, by what was translated. A
//! block that was stopped before it began was not executed. A block whose translation is not in the log is as long as
//! its first instruction.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::{Counting, MAX_BLOCKS, TraceBuilder, TraceTooLarge};
use super::Options;
use super::input::{Fault, Input, decimal, hex};

/// `CF_NO_GOTO_TB` of `include/exec/translation-block.h`.
const CF_NO_GOTO_TB: u64 = 0x200;

/// So much translated code is told apart; with more, a block's latest translation counts.
const MAX_CODES: usize = 1 << 20;

/// So many processors have a block of theirs waiting.
const MAX_PROCESSORS: usize = 1 << 12;

/// What a line says.
#[derive(PartialEq, Eq, Debug)]
enum Line {
    /// A processor enters a block.
    Enter { processor: u64, code: u64, pc: u64, is_chained: bool },
    /// A block that was entered was not begun.
    Stop { code: u64 },
    /// A block will be entered without a line.
    Link,
    /// Instructions follow.
    In,
    /// An instruction of a translated block, or the rest of one.
    Insn { pc: u64, len_bytes: u64 },
    /// Something else.
    Other,
}

/// A block that a processor entered.
struct Entered {
    code: u64,
    pc: u64,
    len_bytes: u64,
}

#[derive(Default)]
struct Log {
    /// Of the translation that is being read, its first address and the end of its last instruction.
    translating: Option<Option<(u64, u64)>>,
    /// How long the block at an address is, by its latest translation.
    lens: HashMap<u64, u64>,
    /// How long translated code is, with its address: a block may be translated several times.
    codes: HashMap<u64, (u64, u64)>,
    /// The block that was translated and not yet entered.
    fresh: Option<u64>,
    translated: HashSet<(u64, u64)>,
    entered: BTreeMap<u64, Entered>,
    has_exec: bool,
    is_chained: bool,
}

pub(super) fn tells(line: &str) -> bool {
    line.starts_with("IN: ") || line == "IN:" || !matches!(parse(line), Line::Other | Line::Insn { .. })
}

pub(super) fn decode(input: &mut Input<'_>, _: &Options, trace: &mut TraceBuilder) -> Result<(), Fault> {
    let mut log = Log::default();
    let read = log.read(input, trace);
    let ended = log.end(trace);
    read.and(ended)
}

impl Log {
    fn read(&mut self, input: &mut Input<'_>, trace: &mut TraceBuilder) -> Result<(), Fault> {
        while let Some(line) = input.line()? {
            let line = parse(&line);
            if !matches!(line, Line::Insn { .. }) {
                self.end_translation()?;
            }
            match line {
                Line::Enter { processor, code, pc, is_chained } => {
                    self.is_chained |= is_chained;
                    self.enter(processor, code, pc, trace)?;
                }
                Line::Stop { code } => self.stop(code),
                Line::Link => self.is_chained = true,
                Line::In => self.translating = Some(None),
                Line::Insn { pc, len_bytes } => self.insn(pc, len_bytes),
                Line::Other => {}
            }
        }
        self.end_translation()
    }

    fn insn(&mut self, pc: u64, len_bytes: u64) {
        if let Some(block) = &mut self.translating {
            let (start, end) = block.unwrap_or((pc, pc));
            *block = Some((start, end.max(pc.saturating_add(len_bytes))));
        }
    }

    fn end_translation(&mut self) -> Result<(), Fault> {
        let Some((start, end)) = self.translating.take().flatten() else { return Ok(()) };
        let len_bytes = end.saturating_sub(start);
        self.lens.insert(start, len_bytes);
        self.fresh = Some(start);
        self.translated.insert((start, len_bytes));
        if self.translated.len() > MAX_BLOCKS { Err(TraceTooLarge::Blocks.into()) } else { Ok(()) }
    }

    fn enter(&mut self, processor: u64, code: u64, pc: u64, trace: &mut TraceBuilder) -> Result<(), Fault> {
        self.has_exec = true;
        let latest = self.lens.get(&pc).copied();
        if let Some(len_bytes) = latest.filter(|_| self.fresh == Some(pc)) {
            self.fresh = None;
            if self.codes.len() >= MAX_CODES {
                self.codes.clear();
            }
            self.codes.insert(code, (pc, len_bytes));
        }
        let of_code = self.codes.get(&code).filter(|(of, _)| *of == pc).map(|(_, len)| *len);
        let len_bytes = of_code.or(latest).unwrap_or(1);
        if self.entered.len() >= MAX_PROCESSORS {
            self.execute(trace)?;
        }
        match self.entered.insert(processor, Entered { code, pc, len_bytes }) {
            Some(before) => Ok(trace.block("", before.pc, before.len_bytes, 1)?),
            None => Ok(()),
        }
    }

    /// One of the processors that entered this code did not begin it; which one makes no difference to the sum.
    fn stop(&mut self, code: u64) {
        let stopped =
            self.entered.iter().find(|(_, entered)| entered.code == code).map(|(processor, _)| *processor);
        if let Some(processor) = stopped {
            self.entered.remove(&processor);
        }
    }

    /// What was entered and not stopped was executed.
    fn execute(&mut self, trace: &mut TraceBuilder) -> Result<(), Fault> {
        for entered in std::mem::take(&mut self.entered).into_values() {
            trace.block("", entered.pc, entered.len_bytes, 1)?;
        }
        Ok(())
    }

    fn end(&mut self, trace: &mut TraceBuilder) -> Result<(), Fault> {
        self.execute(trace)?;
        if self.is_chained || !self.has_exec {
            trace.say_no_more_than(Counting::Reached);
        }
        if !self.has_exec {
            for (start, len_bytes) in std::mem::take(&mut self.translated) {
                trace.block("", start, len_bytes, 1)?;
            }
        }
        Ok(())
    }
}

fn parse(line: &str) -> Line {
    let parsed = match line.split_once(' ') {
        Some(("Trace", rest)) => enter(rest),
        Some(("Stopped", rest)) => stop(rest),
        Some(("Linking", rest)) => rest.starts_with("TBs 0x").then_some(Line::Link),
        Some(("IN:", _)) => Some(Line::In),
        _ if line == "IN:" => Some(Line::In),
        _ => insn(line),
    };
    parsed.unwrap_or(Line::Other)
}

/// `0: 0x7fade8000100 [00800400/0000000000000184/00000110/ff020200] main`. Before QEMU 6.1 cflags do not say it, or are not
/// there: what does not say that it was not chained may have been.
fn enter(rest: &str) -> Option<Line> {
    let (processor, rest) = rest.split_once(": ")?;
    let (code, rest) = rest.split_once(" [")?;
    let mut fields = rest.split_once(']')?.0.split('/');
    let pc = hex(fields.nth(1)?)?;
    let cflags = fields.nth(1).and_then(hex);
    let is_chained = cflags.is_none_or(|cflags| cflags & CF_NO_GOTO_TB == 0);
    Some(Line::Enter { processor: decimal(processor)?, code: hex(code)?, pc, is_chained })
}

fn stop(rest: &str) -> Option<Line> {
    let code = rest.strip_prefix("execution of TB chain before ")?.split(' ').next()?;
    Some(Line::Stop { code: hex(code)? })
}

/// `0x00000184:  f04f 5304  mov.w ...`, or without a disassembler `0x00000184:  OBJD-T: 4ff00453...`.
fn insn(line: &str) -> Option<Line> {
    let (pc, rest) = line.split_once(": ")?;
    let pc = hex(pc.strip_prefix("0x")?)?;
    let rest = rest.trim_start();
    let raw = rest.strip_prefix("OBJD-").and_then(|rest| Some(rest.split_once(": ")?.1));
    let is_hex = |word: &&str| !word.is_empty() && word.bytes().all(|digit| digit.is_ascii_hexdigit());
    // Two spaces end the bytes: a mnemonic may be hexadecimal too.
    let num_digits: usize = raw.unwrap_or(rest).split(' ').take_while(is_hex).map(str::len).sum();
    Some(Line::Insn { pc, len_bytes: u64::try_from(num_digits / 2).ok()? })
}
