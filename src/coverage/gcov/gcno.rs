//! Reads notes files (`.gcno`): what GCC knew of a unit's functions, blocks, arcs and lines when it compiled it.
//!
//! What enters is the bytes of a file; what leaves is [`Notes`]. What always holds: blocks that arcs and lines name are
//! there; what is kept takes no more than a fixed multiple of the file.
//!
//! ```text
//! magic "gcno" | version | stamp | [checksum: 12] | [cwd: 9] | [unexecuted blocks: 8] | records
//! record    tag | length | data      length and strings in words up to GCC 11, in bytes since
//! 01000000  ident | lineno_checksum | cfg_checksum | name | [artificial: 8] | source | start line
//!           | [start column: 8] | [end line: 8] | [end column: 9]
//! 01410000  number of blocks; up to GCC 7 a word of flags for each
//! 01430000  block | (destination | flags)...
//! 01450000  block | (line | 0 source)... | 0 empty
//! 01470000  (block | terms)...       from GCC 14
//! 01490000  number of prime paths    from GCC 15
//! ```
//!
//! Source: `gcc/gcov-io.h` and `read_graph_file` in `gcc/gcov.cc`, releases 4.7 to 15.

use std::collections::HashMap;
use std::sync::Arc as Shared;

use covtap_link::Endianness;

use super::notes_layout::NotesLayout;
use crate::coverage::FileName;
use crate::coverage::mapping::cursor::{Cursor, Fault};
use crate::coverage::mapping::join;
use crate::locate::gcov::Version;

/// Linux opens no longer path. Each source's name has the folder before it.
const MAX_FOLDER: usize = 4096;

const MAGIC: [u8; 4] = *b"gcno";
const FUNCTION: u32 = 0x0100_0000;
const BLOCKS: u32 = 0x0141_0000;
const ARCS: u32 = 0x0143_0000;
const LINES: u32 = 0x0145_0000;
const CONDITIONS: u32 = 0x0147_0000;
const PATHS: u32 = 0x0149_0000;

/// A file is not one of notes that can be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotesError {
    /// It begins otherwise.
    #[error("read notes: the file begins with \"{}\", not with gcno in either byte order", .found.escape_ascii())]
    Magic {
        /// Its first bytes, four at most.
        found: Vec<u8>,
    },
    /// No compiler of that version is known to write notes that can be read.
    #[error("read notes: version \"{}\" is no release since GCC 4.7", .word.to_be_bytes().escape_ascii())]
    Version {
        /// The version word.
        word: u32,
    },
    /// It ends within its header.
    #[error("read the header of notes at offset {offset}: {detail}")]
    Header {
        /// Where in the file, in bytes.
        offset: usize,
        /// What was found there.
        detail: String,
    },
}

/// Where notes could not be read further: the function there and what follows are missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Where in the file, in bytes.
    pub offset: usize,
    /// What was found there.
    pub detail: String,
}

/// What GCC noted of one unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notes {
    /// The compiler.
    pub version: Version,
    /// Ties the notes to data files of the same compile.
    pub stamp: u32,
    /// The directory that GCC ran in (from GCC 9).
    pub cwd: Option<Vec<u8>>,
    /// Blocks that did not run can be told from what the notes have (from GCC 8).
    pub has_unexecuted_blocks: bool,
    /// The names of source files, in the order in which functions use them, with `.` elided. Functions have indices.
    pub sources: Vec<FileName>,
    /// The functions, in the order of the file.
    pub functions: Vec<Function>,
    /// Where reading ended early.
    pub damage: Option<Damage>,
}

/// One function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// The name that the linker knows.
    pub name: FileName,
    /// What data files know the function by.
    pub ident: u32,
    /// Of the place in the source.
    pub lineno_checksum: u32,
    /// Of the flow graph.
    pub cfg_checksum: u32,
    /// The compiler made it up: it is in no report.
    pub is_artificial: bool,
    /// The source file, an index into [`Notes::sources`].
    pub source: usize,
    /// The first line.
    pub start_line: u32,
    /// The column that it starts in (from GCC 8).
    pub start_column: Option<u32>,
    /// The last line (from GCC 8).
    pub end_line: Option<u32>,
    /// The column that it ends in (from GCC 9).
    pub end_column: Option<u32>,
    /// How many blocks there are, entry and exit among them. The entry is block 0.
    pub num_blocks: u32,
    /// The exit block.
    pub exit_block: u32,
    /// The arcs, in the order of the file.
    pub arcs: Vec<Arc>,
    /// Lines of blocks, in the order of the file.
    pub locations: Vec<Location>,
    /// Decisions (from GCC 14, with `-fcondition-coverage`).
    pub conditions: Vec<Condition>,
    /// How many prime paths it has (from GCC 15, with `-fpath-coverage`, unless they are too many).
    pub num_paths: Option<u32>,
}

/// A way from one block to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arc {
    /// The block it leaves.
    pub source: u32,
    /// The block it enters.
    pub destination: u32,
    flags: u32,
}

impl Arc {
    /// It has no counter: its count follows from those of others.
    #[must_use]
    pub fn is_on_tree(self) -> bool {
        self.flags & 1 != 0
    }

    /// No jump in the program: a call that may not return, or a return from a callee's `longjmp`.
    #[must_use]
    pub fn is_fake(self) -> bool {
        self.flags & 2 != 0
    }

    /// Taken without a jump.
    #[must_use]
    pub fn is_fallthrough(self) -> bool {
        self.flags & 4 != 0
    }
}

/// Lines of one file that a block has code for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// The block.
    pub block: u32,
    /// The source file, an index into [`Notes::sources`].
    pub source: usize,
    /// The lines.
    pub lines: Vec<u32>,
}

/// A decision of several conditions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condition {
    /// The block it is decided in.
    pub block: u32,
    /// How many conditions it has.
    pub num_terms: u32,
}

impl Function {
    /// How many counters of arcs data files have for it.
    #[must_use]
    pub fn num_counters(&self) -> usize {
        self.arcs.iter().filter(|arc| !arc.is_on_tree()).count()
    }
}

impl Notes {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It is no notes file, or of an unknown version, or its header is not whole. What is wrong behind the header is
    /// in [`damage`](Self::damage).
    pub fn parse(bytes: &[u8]) -> Result<Self, NotesError> {
        let (mut fields, version) = Fields::begin(bytes)?;
        let (layout, shared) =
            NotesLayout::of(version).ok_or(NotesError::Version { word: version.word() })?;
        fields.unit = if shared.lengths_in_bytes { 1 } else { 4 };
        let mut notes = fields.header(version, layout, shared.has_checksum).map_err(in_header)?;
        let mut reader =
            Reader { fields, layout, notes: &mut notes, by_name: HashMap::new(), room: bytes.len() / 4 };
        if let Err(fault) = reader.records() {
            notes.damage = Some(Damage { offset: fault.offset, detail: fault.detail });
        }
        Ok(notes)
    }

    /// The stamp alone, for which the first 12 bytes of a file are enough.
    ///
    /// # Errors
    ///
    /// It is no notes file, or ends before.
    pub fn stamp_of(bytes: &[u8]) -> Result<u32, NotesError> {
        let (mut fields, _) = Fields::begin(bytes)?;
        fields.u32().map_err(in_header)
    }

    /// A source's path from the root: names are relative to the folder that GCC ran in, which older releases do not
    /// note. There is no `..` in it, as LLVM's mapping has none, though a symbolic link may lead elsewhere. A folder
    /// that is longer than any that can be opened is left away.
    #[must_use]
    pub fn path_of(&self, source: &[u8]) -> Vec<u8> {
        match &self.cwd {
            Some(cwd) if !source.starts_with(b"/") && cwd.len() <= MAX_FOLDER => join(cwd, source),
            _ if source.starts_with(b"/") => join(b"/", source),
            _ => source.to_vec(),
        }
    }
}

fn in_header(fault: Fault) -> NotesError {
    NotesError::Header { offset: fault.offset, detail: fault.detail }
}

/// Words, lengths and strings in a file's order and unit.
#[derive(Clone)]
struct Fields<'b> {
    cursor: Cursor<'b>,
    endianness: Endianness,
    /// Bytes for each of a length.
    unit: usize,
}

impl<'b> Fields<'b> {
    /// Passes magic and version.
    fn begin(bytes: &'b [u8]) -> Result<(Self, Version), NotesError> {
        let magic = bytes.get(..4).unwrap_or(bytes);
        let endianness = match magic {
            magic if magic == MAGIC => Endianness::Big,
            magic if magic.iter().rev().eq(&MAGIC) => Endianness::Little,
            found => return Err(NotesError::Magic { found: found.to_vec() }),
        };
        let mut cursor = Cursor::new(bytes.get(4..).unwrap_or_default(), 4);
        let word = cursor.u32(endianness).map_err(in_header)?;
        let version = Version::from_word(word).ok_or(NotesError::Version { word })?;
        Ok((Self { cursor, endianness, unit: 4 }, version))
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.cursor.u32(self.endianness)
    }

    fn counted(&mut self) -> Result<&'b [u8], Fault> {
        let len = usize::try_from(self.u32()?).ok().and_then(|len| len.checked_mul(self.unit));
        // What cannot be told in bytes is certainly more than there is.
        self.cursor.take(len.unwrap_or(usize::MAX))
    }

    /// A string without what fills it up; one of length 0 is none.
    fn string(&mut self) -> Result<Option<&'b [u8]>, Fault> {
        let bytes = self.counted()?;
        Ok(bytes.split(|byte| *byte == 0).next().filter(|_| !bytes.is_empty()))
    }

    /// The data of a record, whose tag was read.
    fn record(&mut self) -> Result<Self, Fault> {
        let offset = self.cursor.offset().saturating_add(4);
        Ok(Self { cursor: Cursor::new(self.counted()?, offset), ..*self })
    }

    fn header(&mut self, version: Version, layout: NotesLayout, has_checksum: bool) -> Result<Notes, Fault> {
        let stamp = self.u32()?;
        if has_checksum {
            self.u32()?;
        }
        let cwd = if layout.has_cwd { self.string()? } else { None };
        let has_unexecuted_blocks = layout.has_columns && self.u32()? != 0;
        let cwd = cwd.map(<[u8]>::to_vec);
        let (sources, functions) = (Vec::new(), Vec::new());
        Ok(Notes { version, stamp, cwd, has_unexecuted_blocks, sources, functions, damage: None })
    }
}

struct Reader<'a, 'b> {
    fields: Fields<'b>,
    layout: NotesLayout,
    notes: &'a mut Notes,
    by_name: HashMap<FileName, usize>,
    /// So many blocks may follow; each takes several words of the file.
    room: usize,
}

/// What is known of a function while its records are read.
struct Open {
    function: Function,
    /// Of the record of lines before.
    last_source: usize,
    /// Blocks that have had their record of arcs.
    has_arcs: Vec<bool>,
}

impl Reader<'_, '_> {
    fn records(&mut self) -> Result<(), Fault> {
        let mut open = None;
        let ended = self.read_into(&mut open);
        // A function within which the file is damaged would lack arcs or lines.
        let whole = open.filter(|_| ended.is_ok());
        self.notes.functions.extend(whole.map(|open: Open| open.function));
        ended
    }

    fn read_into(&mut self, open: &mut Option<Open>) -> Result<(), Fault> {
        while !self.fields.cursor.is_empty() {
            let tag = self.fields.u32()?;
            if tag == 0 {
                break;
            }
            let mut record = self.fields.record()?;
            match (tag, &mut *open) {
                (FUNCTION, _) => {
                    let next = self.function(record)?;
                    self.notes.functions.extend(open.replace(next).map(|open| open.function));
                }
                (BLOCKS, Some(open)) => self.blocks(open, record)?,
                (ARCS, Some(open)) => arcs(open, record)?,
                (LINES, Some(open)) => self.lines(open, record)?,
                (CONDITIONS, Some(open)) => conditions(open, record)?,
                (PATHS, Some(open)) => open.function.num_paths = Some(record.u32()?),
                // What later releases add.
                _ => {}
            }
        }
        Ok(())
    }

    fn function(&mut self, mut record: Fields<'_>) -> Result<Open, Fault> {
        let (ident, lineno_checksum, cfg_checksum) = (record.u32()?, record.u32()?, record.u32()?);
        let name = FileName::from(record.string()?.unwrap_or_default());
        let is_artificial = self.layout.has_columns && record.u32()? != 0;
        let source = self.source(record.string()?);
        let start_line = record.u32()?;
        let mut if_there = |is_there: bool| is_there.then(|| record.u32()).transpose();
        let start_column = if_there(self.layout.has_columns)?;
        let end_line = if_there(self.layout.has_columns)?;
        let end_column = if_there(self.layout.has_end_column)?;
        let function = Function {
            name,
            ident,
            lineno_checksum,
            cfg_checksum,
            is_artificial,
            source,
            start_line,
            start_column,
            end_line,
            end_column,
            num_blocks: 0,
            exit_block: 1,
            arcs: Vec::new(),
            locations: Vec::new(),
            conditions: Vec::new(),
            num_paths: None,
        };
        Ok(Open { function, last_source: source, has_arcs: Vec::new() })
    }

    fn blocks(&mut self, open: &mut Open, mut record: Fields<'_>) -> Result<(), Fault> {
        let at = record.cursor.clone();
        let count = if self.layout.has_columns {
            usize::try_from(record.u32()?).unwrap_or(usize::MAX)
        } else {
            record.cursor.rest().len() / 4
        };
        if !open.has_arcs.is_empty() {
            return Err(at.fault("a second number of blocks for a function"));
        }
        let left = self.room.checked_sub(count);
        let num_blocks = u32::try_from(count).ok();
        let (Some(left), Some(num_blocks)) = (left, num_blocks) else {
            return Err(
                at.fault(format!("{count} blocks are said to follow, there is room for {}", self.room))
            );
        };
        self.room = left;
        open.has_arcs = vec![false; count];
        open.function.num_blocks = num_blocks;
        if !self.layout.exit_is_second {
            open.function.exit_block = num_blocks.saturating_sub(1);
        }
        Ok(())
    }

    fn lines(&mut self, open: &mut Open, mut record: Fields<'_>) -> Result<(), Fault> {
        let block = open.block(&mut record)?;
        let mut location: Option<Location> = None;
        loop {
            let line = record.u32()?;
            if line != 0 {
                // Old releases go on in the file of the record before.
                let source = open.last_source;
                location
                    .get_or_insert_with(|| Location { block, source, lines: Vec::new() })
                    .lines
                    .push(line);
                continue;
            }
            let Some(name) = record.string()? else { break };
            open.last_source = self.source(Some(name));
            let next = Location { block, source: open.last_source, lines: Vec::new() };
            open.function.locations.extend(location.replace(next));
        }
        open.function.locations.extend(location);
        Ok(())
    }

    /// The index of a source file.
    fn source(&mut self, name: Option<&[u8]>) -> usize {
        let name = name.map_or_else(|| b"<unknown>".to_vec(), without_dots);
        let name: FileName = name.into();
        let next = self.notes.sources.len();
        *self.by_name.entry(Shared::clone(&name)).or_insert_with(|| {
            self.notes.sources.push(name);
            next
        })
    }
}

impl Open {
    /// The number of a block that is there.
    fn block(&self, record: &mut Fields<'_>) -> Result<u32, Fault> {
        let at = record.cursor.clone();
        let block = record.u32()?;
        let count = self.function.num_blocks;
        if block < count { Ok(block) } else { Err(at.fault(format!("block {block} of {count}"))) }
    }
}

fn arcs(open: &mut Open, mut record: Fields<'_>) -> Result<(), Fault> {
    let at = record.cursor.clone();
    let source = open.block(&mut record)?;
    let has_arcs = usize::try_from(source).ok().and_then(|block| open.has_arcs.get_mut(block));
    if has_arcs.is_some_and(|has_arcs| std::mem::replace(has_arcs, !record.cursor.is_empty())) {
        return Err(at.fault(format!("a second record of arcs for block {source}")));
    }
    while record.cursor.rest().len() >= 8 {
        let destination = open.block(&mut record)?;
        let flags = record.u32()?;
        open.function.arcs.push(Arc { source, destination, flags });
    }
    Ok(())
}

fn conditions(open: &mut Open, mut record: Fields<'_>) -> Result<(), Fault> {
    while record.cursor.rest().len() >= 8 {
        let block = open.block(&mut record)?;
        open.function.conditions.push(Condition { block, num_terms: record.u32()? });
    }
    Ok(())
}

/// A name as gcov shows it: `.` and double slashes are elided. `..` stays, since what it leads to depends on the disk.
fn without_dots(name: &[u8]) -> Vec<u8> {
    let parts: Vec<_> =
        name.split(|byte| *byte == b'/').filter(|part| !matches!(part, [] | [b'.'])).collect();
    let absolute = if name.first() == Some(&b'/') { &b"/"[..] } else { &[] };
    [absolute, &parts.join(&b'/')].concat()
}
