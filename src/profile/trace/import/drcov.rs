//! drcov, as DynamoRIO, Frida's scripts, QEMU's plugin and others write it.
//!
//! ```text
//! DRCOV VERSION: 2
//! DRCOV FLAVOR: drcov
//! Module Table: version 2, count 2
//! Columns: id, base, end, entry, path
//!  0, 0x00400000, 0x00452000, 0x00401000, /bin/a
//!  1, 0x7f000000, 0x7f100000, 0x00000000, /lib/b.so
//! BB Table: 861 bbs
//! 861 * {u32 start, u16 size, u16 module}, little-endian; or a line "module id, start, size:" and
//! module[  1]: 0x0000000000001090,   8
//! ```
//!
//! | table | columns |
//! |---|---|
//! | 2 | id, base, end, entry, path |
//! | 3 | id, containing_id, start, end, entry, path |
//! | 4 | ... entry, offset, path |
//! | 5 | ... entry, offset, preferred_base, path |
//!
//! Windows has checksum and timestamp before the path. Columns are found by their names.
//!
//! Source: `ext/drcovlib` of DynamoRIO 7 to 11, `contrib/plugins/drcov.c` of QEMU 10.0. What a block's start is relative to
//! changed with table 5: before it the module's first segment, which `containing_id` names, since then its own segment.
//!
//! What always holds: without a module to keep, addresses are those in memory: base and start. With one, they are those
//! of its ELF. A block that is not inside its module is refused. Blocks say that code was reached, never how often.

use std::collections::HashMap;

use super::super::TraceBuilder;
use super::input::{Fault, Input, Place, decimal, hex};
use super::{Module, Options};

/// Module ids have 16 bits.
const MAX_MODULES: u64 = 1 << 16;

/// The first table whose blocks are relative to their own segments.
const RELATIVE_TO_SEGMENT: u64 = 5;

/// What a file without any module has for one.
const NO_MODULE: u64 = 0xffff;

/// What a table of text begins with.
const TEXT: &[u8] = b"module id, start, size:";

/// A row of the module table.
#[derive(Clone, Copy)]
struct Row {
    containing_id: u64,
    base: u64,
    end: u64,
    is_kept: bool,
}

/// Where the columns are that matter.
struct Columns {
    version: u64,
    id: usize,
    containing_id: Option<usize>,
    base: usize,
    end: usize,
    path: usize,
}

struct Modules<'a> {
    rows: HashMap<u64, Row>,
    version: u64,
    options: &'a Options,
}

/// A block as the file has it.
struct Block {
    module: u64,
    start: u64,
    size: u64,
}

pub(super) fn decode(
    input: &mut Input<'_>,
    options: &Options,
    trace: &mut TraceBuilder,
) -> Result<(), Fault> {
    let modules = modules(input, options)?;
    let line = required(input)?;
    let count = line.strip_prefix("BB Table: ").and_then(|rest| decimal(rest.split(' ').next()?));
    let Some(count) = count else { return Err(input.wrong_line("it does not begin the blocks")) };
    let mut place = input.at_byte();
    let mut record = if count > 0 { input.bytes()? } else { [0; 8] };
    if TEXT.starts_with(&record) {
        required(input)?;
        for _ in 0..count {
            let block = text_block(input)?;
            modules.add(&block, input.at_line(), trace)?;
        }
    } else {
        for left in (0..count).rev() {
            modules.add(&binary_block(record), place, trace)?;
            place = input.at_byte();
            record = if left > 0 { input.bytes()? } else { record };
        }
    }
    // Two logs in one file, say.
    let has_more = input.ahead()?.iter().any(|byte| !byte.is_ascii_whitespace());
    if has_more { Err(input.wrong_byte("something follows the last block")) } else { Ok(()) }
}

/// Why a block is nowhere.
enum Wrong {
    Outside,
    Detail(&'static str),
}

impl Wrong {
    fn at(self, place: Place) -> Fault {
        match self {
            Self::Outside => Fault::Outside { place },
            Self::Detail(detail) => Fault::At { place, detail: detail.into() },
        }
    }
}

/// The next line, which has to be there.
fn required(input: &mut Input<'_>) -> Result<String, Fault> {
    let line = input.line()?.map(|line| line.trim().to_owned());
    line.ok_or_else(|| input.wrong_line("the file ends before it"))
}

fn modules<'a>(input: &mut Input<'_>, options: &'a Options) -> Result<Modules<'a>, Fault> {
    let (count, columns) = columns(input)?;
    let mut rows = HashMap::new();
    for _ in 0..count {
        let line = required(input)?;
        let row = row(&line, &columns, options.module.as_ref());
        let Some((id, row)) = row else { return Err(input.wrong_line("it is no module with its columns")) };
        rows.insert(id, row);
    }
    if let Some(module) = options.module.as_ref().filter(|_| !rows.values().any(|row| row.is_kept)) {
        return Err(input.wrong_line(format!("none of the modules up to it is {}", module.name)));
    }
    Ok(Modules { rows, version: columns.version, options })
}

/// How many modules there are, and what is known of each.
fn columns(input: &mut Input<'_>) -> Result<(u64, Columns), Fault> {
    let line = loop {
        let line = required(input)?;
        if !line.starts_with("DRCOV ") {
            break line;
        }
    };
    let table = line.strip_prefix("Module Table: version ").and_then(|rest| {
        let (version, count) = rest.split_once(", count ")?;
        Some((decimal(version)?, decimal(count).filter(|count| *count <= MAX_MODULES)?))
    });
    let Some((version, count)) = table else {
        return Err(input.wrong_line("it does not begin a module table of version 2 or later"));
    };
    let line = required(input)?;
    let names: Vec<&str> =
        line.strip_prefix("Columns: ").unwrap_or_default().split(',').map(str::trim).collect();
    let at = |name| names.iter().position(|column| *column == name);
    let found = (at("id"), at("base").or_else(|| at("start")), at("end"), at("path"));
    let (Some(id), Some(base), Some(end), Some(path)) = found else {
        return Err(input.wrong_line("it has no columns id, base or start, end, and path"));
    };
    Ok((count, Columns { version, id, containing_id: at("containing_id"), base, end, path }))
}

fn row(line: &str, columns: &Columns, kept: Option<&Module>) -> Option<(u64, Row)> {
    // The path is last, and may have commas.
    let fields: Vec<&str> = line.splitn(columns.path + 1, ',').map(str::trim).collect();
    let field = |at: usize| fields.get(at).copied();
    let id = decimal(field(columns.id)?)?;
    let containing_id = columns.containing_id.map_or(Some(id), |at| decimal(field(at)?))?;
    let is_kept = kept.is_none_or(|module| is_named(field(columns.path).unwrap_or_default(), &module.name));
    Some((
        id,
        Row { containing_id, base: hex(field(columns.base)?)?, end: hex(field(columns.end)?)?, is_kept },
    ))
}

/// Whether a path ends with a name, by whole components.
fn is_named(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with(['/', '\\']))
}

impl Modules<'_> {
    fn add(&self, block: &Block, place: Place, trace: &mut TraceBuilder) -> Result<(), Fault> {
        if let Some(address) = self.address(block).map_err(|wrong| wrong.at(place))? {
            trace.block("", address, block.size, 1)?;
        }
        Ok(())
    }

    /// Where a block is; `None` if it does not count.
    fn address(&self, block: &Block) -> Result<Option<u64>, Wrong> {
        let Some(row) = self.rows.get(&block.module) else {
            // Code that belongs to no module, such as what was made at run time.
            let is_known = block.module == NO_MODULE;
            return if is_known {
                Ok(None)
            } else {
                Err(Wrong::Detail("the block's module is not in the table"))
            };
        };
        if !row.is_kept {
            return Ok(None);
        }
        let first = self.rows.get(&row.containing_id).unwrap_or(row);
        let base = if self.version >= RELATIVE_TO_SEGMENT { row.base } else { first.base };
        let past_end = Wrong::Detail("the block passes the end of memory");
        let base = if self.options.is_absolute { 0 } else { base };
        let Some(address) = base.checked_add(block.start) else { return Err(past_end) };
        // A table without ends, as of a whole machine, says nothing.
        if !self.options.is_absolute && row.end > row.base && !self.is_inside(row, address) {
            return Err(Wrong::Outside);
        }
        let Some(kept) = &self.options.module else { return Ok(Some(address)) };
        let Some(offset) = address.checked_sub(first.base) else { return Err(Wrong::Outside) };
        offset.checked_add(kept.image_base).map(Some).ok_or(past_end)
    }

    /// Whether an address is in a module, in whichever segment.
    fn is_inside(&self, row: &Row, address: u64) -> bool {
        let is_in = |other: &Row| (other.base..other.end).contains(&address);
        is_in(row) || self.rows.values().any(|other| other.containing_id == row.containing_id && is_in(other))
    }
}

fn binary_block([s0, s1, s2, s3, l0, l1, m0, m1]: [u8; 8]) -> Block {
    Block {
        module: u16::from_le_bytes([m0, m1]).into(),
        start: u32::from_le_bytes([s0, s1, s2, s3]).into(),
        size: u16::from_le_bytes([l0, l1]).into(),
    }
}

fn text_block(input: &mut Input<'_>) -> Result<Block, Fault> {
    let line = required(input)?;
    let block = line.strip_prefix("module[").and_then(|rest| {
        let (module, rest) = rest.split_once("]:")?;
        let (start, size) = rest.split_once(',')?;
        Some(Block {
            module: decimal(module.trim())?,
            start: hex(start.trim())?,
            size: decimal(size.trim())?,
        })
    });
    block.ok_or_else(|| input.wrong_line("it is no block of a module"))
}
