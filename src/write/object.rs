//! Coverage of object code as text: a table of functions, and every instruction with its count.
//!
//! ```text
//! function        instructions            ways of branches
//! parse             41/44    93.18%        7/10    70.00%
//!
//! parse, at 0x00008120
//!            5  00008120  b5f0                    push {r4, r5, r6, r7, lr}
//!            5  00008122  d003                    beq #0x812c                       2 taken, 3 fell through
//!         ####  00008124  4770                    bx lr
//!         data  00008128  8 bytes
//! ```
//!
//! What enters is the coverage of an image; what leaves is text. What always holds: an instruction's bytes are in the order
//! in which the set's manuals write them; where nobody looked which way branches went, there are no ways, and not 0 of them.

use std::io::{self, Write};

use super::assembly::{Assembly, digits_of, flow};
use super::demangle::demangle;
use crate::coverage::Tally;
use crate::coverage::object::{
    ObjectCoverage, ObjectFunction, ObjectInstruction, ObjectItem, ObjectTally, Outcome,
};
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
    let mut assembly = Assembly::default();
    coverage.functions().try_for_each(|function| write_function(coverage, &function, &mut assembly, out))
}

fn write_function(
    coverage: &ObjectCoverage<'_>,
    function: &ObjectFunction<'_>,
    assembly: &mut Assembly,
    out: &mut dyn Write,
) -> io::Result<()> {
    let digits = coverage.image().pointer_width().bytes() * 2;
    writeln!(out, "\n{}, at 0x{:0digits$x}", name(function.name), function.address.get())?;
    for item in function.items() {
        let insn = match item {
            ObjectItem::Instruction(insn) => insn,
            ObjectItem::Data(data) => {
                let (address, len) = (data.address.get(), data.len_bytes);
                writeln!(out, "{:>12}  {address:0digits$x}  {len} bytes", "data")?;
                continue;
            }
        };
        let count = if insn.count == 0 { NEVER.to_owned() } else { insn.count.to_string() };
        let address = insn.insn.address;
        let len_bytes = insn.insn.len_bytes as u64;
        let code = coverage.image().bytes_at(ImageAddr::new(address), len_bytes).unwrap_or_default();
        let text = assembly.text(insn.isa, &insn.insn, code).unwrap_or_else(|| flow(&insn.insn));
        let code = digits_of(insn.isa, code);
        let line = format!("{count:>12}  {address:0digits$x}  {code:22}  {text:32}  {}", note(&insn));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// What is known of an instruction beside its count.
fn note(insn: &ObjectInstruction) -> String {
    match insn.branch {
        _ if insn.count > 0 && insn.insn.is_predicated => "its condition may not have held".to_owned(),
        None | Some(Outcome::Known(Ways { taken: 0, fell_through: 0 })) => String::new(),
        Some(Outcome::Known(ways)) => format!("{} taken, {} fell through", ways.taken, ways.fell_through),
        Some(Outcome::OneWay { is_taken: true }) => {
            "never fell through: what is behind it did not run".to_owned()
        }
        Some(Outcome::OneWay { is_taken: false }) => "never taken: its target did not run".to_owned(),
        Some(Outcome::Unknown) => "nobody looked which way it went".to_owned(),
    }
}

/// As in the source, on one line: names come from the image.
fn name(name: &str) -> String {
    let name = demangle(name.as_bytes());
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
