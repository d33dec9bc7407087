//! Coverage of object code as text: a table of functions, and every instruction with its count.
//!
//! ```text
//! function        instructions            ways of branches
//! parse             41/44    93.18%        7/10    70.00%
//!
//! parse, at 0x00008120
//!        5  00008120  b5f0
//!        5  00008122  d003      branch to 0x0000812c: 2 taken, 3 fell through
//!     ####  00008124  4770
//! ```
//!
//! What enters is the coverage of an image; what leaves is text. What always holds: an instruction's bytes are in the order
//! in which the set's manuals write them; where nobody looked which way branches went, there are no ways, and not 0 of them.

use std::io::{self, Write};

use covtap_insn::{Flow, Isa};

use super::demangle::demangle;
use crate::coverage::Tally;
use crate::coverage::object::{ObjectCoverage, ObjectFunction, ObjectInstruction, ObjectTally, Outcome};
use crate::image::ImageAddr;
use crate::profile::trace::Ways;

/// What stands for a count of 0.
const NEVER: &str = "####";

/// The widest name in a table; longer ones move their row.
const NAME_WIDTH: usize = 40;

/// Writes a row for each function that has code, and their sum.
///
/// # Errors
///
/// As `out` has them.
pub fn write_table(coverage: &ObjectCoverage<'_>, out: &mut dyn Write) -> io::Result<()> {
    let has_branches = coverage.has_branches();
    let ways = if has_branches { "ways of branches" } else { "" };
    row(out, ["function", "instructions", ways])?;
    let mut sum = ObjectTally::default();
    for function in coverage.functions() {
        let tally = function.tally();
        sum = sum.and(tally);
        tally_row(out, &name(function.name), tally, has_branches)?;
    }
    tally_row(out, "TOTAL", sum, has_branches)
}

fn tally_row(out: &mut dyn Write, name: &str, tally: ObjectTally, has_branches: bool) -> io::Result<()> {
    let ways = if has_branches { share(tally.ways) } else { String::new() };
    row(out, [name, &share(tally.instructions), &ways])
}

fn row(out: &mut dyn Write, [name, instructions, ways]: [&str; 3]) -> io::Result<()> {
    let line = format!("{name:NAME_WIDTH$}  {instructions:>22}  {ways:>22}");
    writeln!(out, "{}", line.trim_end())
}

/// `41/44    93.18%`
fn share(tally: Tally) -> String {
    let percent = tally.percent().map_or("-".to_owned(), |percent| format!("{percent:.2}%"));
    format!("{}/{}  {percent:>8}", tally.covered, tally.total)
}

/// Writes every instruction of every function, with its count and which way it went.
///
/// # Errors
///
/// As `out` has them.
pub fn write_listing(coverage: &ObjectCoverage<'_>, out: &mut dyn Write) -> io::Result<()> {
    for function in coverage.functions() {
        write_function(coverage, &function, out)?;
    }
    Ok(())
}

fn write_function(
    coverage: &ObjectCoverage<'_>,
    function: &ObjectFunction<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let digits = coverage.image().pointer_width().bytes() * 2;
    let hex = |address: u64| format!("{address:0digits$x}");
    writeln!(out, "\n{}, at 0x{}", name(function.name), hex(function.address.get()))?;
    for insn in &function.instructions {
        let count = if insn.count == 0 { NEVER.to_owned() } else { insn.count.to_string() };
        let address = ImageAddr::new(insn.insn.address);
        let code = coverage.image().bytes_at(address, insn.insn.len_bytes as u64).unwrap_or_default();
        let line = format!(
            "{count:>12}  {}  {:22}  {}",
            hex(address.get()),
            digits_of(insn.isa, code),
            note(insn, &hex)
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Where it goes, and where it went.
fn note(insn: &ObjectInstruction, hex: &dyn Fn(u64) -> String) -> String {
    let to = |target: Option<u64>| target.map_or(String::new(), |target| format!(" to 0x{}", hex(target)));
    match insn.insn.flow {
        Flow::Next if insn.insn.is_predicated => "under a condition, which may not have held".to_owned(),
        Flow::Next => String::new(),
        Flow::Jump { target } => format!("jump{}", to(target)),
        Flow::Call { target } => format!("call{}", to(target)),
        Flow::Return => "return".to_owned(),
        Flow::Invalid => "no instruction".to_owned(),
        Flow::Conditional { target } => {
            let went = match insn.branch {
                Some(Outcome::Known(Ways { taken: 0, fell_through: 0 })) | None => String::new(),
                Some(Outcome::Known(ways)) => {
                    format!(": {} taken, {} fell through", ways.taken, ways.fell_through)
                }
                Some(Outcome::Unknown) => ": nobody looked which way it went".to_owned(),
            };
            format!("branch{}{went}", to(target))
        }
    }
}

/// An instruction's bytes, by the units that it is made of.
fn digits_of(isa: Isa, code: &[u8]) -> String {
    let unit_bytes = match isa {
        Isa::Thumb => 2,
        Isa::Rv32 | Isa::Rv64 if code.len() == 2 => 2,
        Isa::A32 | Isa::A64 | Isa::Rv32 | Isa::Rv64 => 4,
        Isa::X86 | Isa::X86_64 => 1,
    };
    let unit = |unit: &[u8]| unit.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>();
    code.chunks(unit_bytes).map(unit).collect::<Vec<_>>().join(" ")
}

/// As in the source, on one line: names come from the image.
fn name(name: &str) -> String {
    let name = demangle(name.as_bytes());
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
