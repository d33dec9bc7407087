//! The lines that code is of, and how often they ran.
//!
//! What enters is a program of line numbers, what was executed, and whose the addresses are; what leaves is a
//! [`FileLines`] for each source file. The rules:
//!
//! - a line exists if a row of it `is_stmt`, of code that is in the image, and has a number other than 0;
//! - it ran if the address of such a row was executed (GCC's optimised code has rows without any bytes, and the bytes in
//!   rows that are no statements), or any byte of a row of it, statement or not;
//! - it ran as often as the most executed of these within one instance of a function, added up over the instances; the
//!   line that a function begins on, at least as often as that was entered ([`sources`](super::sources)).
//!
//! What always holds: the work is proportional to the program's length. Sequences are those of live code: they begin in
//! executable memory, and at address 0 only where a function of that unit is; tombstones, -1 and -2, are never code.
//!
//! Source: DWARF 5, section 6.2; `DW_LNE_set_address` of discarded code: GNU ld and lld.

use std::collections::HashMap;

use gimli::{ColumnType, DebugLine, DebugLineOffset, EndianSlice, IncompleteLineProgram};

use super::code::{Code, Function};
use super::executed::Executed;
use super::places::PlaceRow;
use super::sections::{Bases, DebugSections, Slice};
use super::segments::Segment;
use super::unit::Unit;
use crate::coverage::mapping::join;
use crate::profile::trace::Run;

/// More pieces of code for each byte of a program are in sequences that overlap.
const MAX_PIECES_PER_BYTE: usize = 256;

/// The names of a program's files are no longer than so many times the program; a few long ones always are allowed.
const MAX_NAMES_PER_BYTE: usize = 64;
const MIN_NAMES_BYTES: usize = 1 << 20;

/// A program of line numbers.
pub(super) struct LineProgram<'a> {
    pub(super) offset: usize,
    program: IncompleteLineProgram<Slice<'a>>,
    bases: Bases,
    folder: Option<&'a [u8]>,
    /// Whether a function of its unit is live at address 0; `None` if the unit knows no functions.
    has_function_at_zero: Option<bool>,
}

/// What a program says of one source file.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct FileLines {
    /// The file's number in the program.
    pub(super) file: u64,
    /// The lines that exist, in order.
    pub(super) lines: Vec<u32>,
    /// What ran, in order of lines and instances.
    pub(super) hits: Vec<Hit>,
}

/// How often a line ran in one instance of a function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Hit {
    pub(super) line: u32,
    pub(super) instance: u64,
    /// By the bytes of its rows.
    pub(super) by_bytes: u64,
    /// By the addresses at which its statements begin.
    pub(super) by_anchors: u64,
}

/// What all programs go by.
#[derive(Clone, Copy)]
pub(super) struct Around<'w> {
    pub(super) code: &'w Code<'w>,
    pub(super) executed: &'w Executed,
    pub(super) segments: &'w [Segment],
    /// Functions that have no debug information of their own.
    pub(super) bare: &'w [Function<'w>],
    /// Whether the line of every instruction is wanted.
    pub(super) wants_places: bool,
}

/// What a program leaves.
#[derive(Default, Debug)]
pub(super) struct Lines {
    pub(super) files: Vec<FileLines>,
    /// File and line at which functions without debug information of their own begin: by their addresses.
    pub(super) functions: Vec<(u64, u64, u32)>,
    /// The rows that have bytes, if they are wanted.
    pub(super) places: Vec<PlaceRow>,
    pub(super) fault: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    file: u64,
    line: u32,
    /// 0 if it is not known.
    column: u32,
    is_stmt: bool,
}

impl<'a> LineProgram<'a> {
    /// Reads the head of a unit's program.
    pub(super) fn of(
        sections: &'a DebugSections<'_>,
        unit: &Unit<'a>,
        offset: usize,
    ) -> Result<Self, String> {
        let damaged = |error: gimli::Error| format!("the lines at {offset:#x} of .debug_line: {error}");
        let slice = |text: &'a [u8]| EndianSlice::new(text, sections.endian);
        let program = DebugLine::new(&sections.line, sections.endian).program(
            DebugLineOffset(offset),
            unit.line_bases.encoding.address_size,
            unit.folder.map(slice),
            unit.name.map(slice),
        );
        let live = unit.instances.iter().filter(|instance| instance.is_live);
        let has_functions = !unit.declarations.is_empty();
        let has_function_at_zero = has_functions.then(|| live.clone().any(|instance| instance.entry == 0));
        Ok(Self {
            offset,
            program: program.map_err(damaged)?,
            bases: unit.line_bases,
            folder: unit.folder,
            has_function_at_zero,
        })
    }

    /// The path of one of its files, from the root if that is known.
    pub(super) fn path(&self, sections: &'a DebugSections<'_>, file: u64) -> Option<Vec<u8>> {
        let header = self.program.header();
        let entry = header.file(file)?;
        let name = sections.text(&entry.path_name(), &self.bases)?;
        let folder = entry.directory(header).and_then(|folder| sections.text(&folder, &self.bases));
        let folder = folder.unwrap_or_default();
        let from = match () {
            () if name.starts_with(b"/") => return Some(join(b"/", name)),
            () if folder.starts_with(b"/") => b"/",
            () => self.folder.unwrap_or_default(),
        };
        Some(join(&join(from, folder), name))
    }

    /// Runs it. What is damaged ends it.
    pub(super) fn lines(&self, around: Around<'_>) -> Lines {
        let len_bytes = self.program.header().unit_length();
        let mut taker = Taker {
            around,
            address_bytes: self.bases.encoding.address_size,
            has_function_at_zero: self.has_function_at_zero,
            files: HashMap::new(),
            last: None,
            functions: Vec::new(),
            places: Vec::new(),
            pieces_left: len_bytes.saturating_mul(MAX_PIECES_PER_BYTE),
        };
        let done = taker.take(self.program.clone());
        let fault =
            done.err().map(|error| format!("the lines at {:#x} of .debug_line: {error}", self.offset));
        let mut files: Vec<FileLines> = taker.files.into_values().collect();
        files.sort_unstable_by_key(|file| file.file);
        files.iter_mut().for_each(FileLines::sum);
        Lines { files, functions: taker.functions, places: taker.places, fault }
    }

    /// How many bytes the names of its files may have.
    pub(super) fn max_names_bytes(&self) -> usize {
        self.program.header().unit_length().saturating_mul(MAX_NAMES_PER_BYTE).max(MIN_NAMES_BYTES)
    }
}

impl FileLines {
    /// Puts lines and hits in order, each once.
    fn sum(&mut self) {
        self.lines.sort_unstable();
        self.lines.dedup();
        sum_hits(&mut self.hits);
    }
}

/// Puts hits in order; of one line in one instance the most executed counts.
pub(super) fn sum_hits(hits: &mut Vec<Hit>) {
    hits.sort_unstable();
    hits.dedup_by(|next, kept| {
        let is_same = (next.line, next.instance) == (kept.line, kept.instance);
        if is_same {
            kept.by_bytes = kept.by_bytes.max(next.by_bytes);
            kept.by_anchors = kept.by_anchors.max(next.by_anchors);
        }
        is_same
    });
}

/// Takes rows in.
struct Taker<'w> {
    around: Around<'w>,
    address_bytes: u8,
    has_function_at_zero: Option<bool>,
    files: HashMap<u64, FileLines>,
    /// The file of the row before, which is that of the next one as a rule.
    last: Option<FileLines>,
    functions: Vec<(u64, u64, u32)>,
    places: Vec<PlaceRow>,
    pieces_left: usize,
}

impl Taker<'_> {
    fn take(&mut self, program: IncompleteLineProgram<Slice<'_>>) -> Result<(), String> {
        let mut rows = program.rows();
        let mut sequence: Vec<Row> = Vec::new();
        let mut done = Ok(());
        loop {
            let row = match rows.next_row() {
                Ok(Some((_, row))) => row,
                Ok(None) => break,
                Err(error) => {
                    done = Err(error.to_string());
                    break;
                }
            };
            if row.end_sequence() {
                self.sequence(&sequence, row.address())?;
                sequence.clear();
                continue;
            }
            let line = row.line().and_then(|line| u32::try_from(line.get()).ok()).unwrap_or_default();
            let column = match row.column() {
                ColumnType::LeftEdge => 0,
                ColumnType::Column(column) => u32::try_from(column.get()).unwrap_or_default(),
            };
            let (address, file, is_stmt) = (row.address(), row.file_index(), row.is_stmt());
            sequence.push(Row { address, file, line, column, is_stmt });
        }
        self.put_back();
        done
    }

    /// Whether a sequence is of code that is in the image.
    fn is_live(&self, start: u64, end: u64) -> bool {
        let code = self.around.code;
        let bits = 8 * u32::from(self.address_bytes);
        let highest = 1u64.checked_shl(bits).map_or(u64::MAX, |behind| behind.wrapping_sub(1));
        match start {
            start if start >= highest.saturating_sub(1) => false,
            0 => match self.has_function_at_zero {
                Some(has_function) => has_function && code.can_end_from_zero(end),
                None => code.is_live_at_zero(None),
            },
            start => code.is_at(start),
        }
    }

    fn sequence(&mut self, rows: &[Row], end: u64) -> Result<(), String> {
        let Some(start) = rows.first().map(|row| row.address) else { return Ok(()) };
        if start >= end || !self.is_live(start, end) {
            return Ok(());
        }
        let Around { code, executed, segments, bare, wants_places } = self.around;
        let mut sweep = Sweep {
            runs: from(executed.runs(), |run| run.last < start),
            segments: from(segments, |segment| segment.end <= start),
            functions: from(bare, |function| function.start < start),
            data: from(&code.data, |(_, last)| *last < start),
            otherwise: OF_NO_FUNCTION | start,
        };
        let nexts = rows.iter().skip(1).map(|row| row.address).chain([end]);
        for (row, next) in rows.iter().zip(nexts) {
            // None goes backwards: the decoder leaves those out.
            sweep.pass(row.address);
            if row.line == 0 || sweep.data.first().is_some_and(|(first, _)| *first <= row.address) {
                continue;
            }
            if let Some(function) = sweep.functions.first().filter(|function| function.start == row.address) {
                self.functions.push((function.start, row.file, row.line));
                sweep.functions = sweep.functions.get(1..).unwrap_or_default();
            }
            if wants_places && row.address < next {
                let Row { address, file, line, column, .. } = *row;
                self.places.push(PlaceRow { start: address, end: next, file, line, column });
            }
            self.row(*row, next, &sweep)?;
        }
        Ok(())
    }

    fn row(&mut self, row: Row, next: u64, sweep: &Sweep<'_>) -> Result<(), String> {
        let Row { address, line, is_stmt, .. } = row;
        let first = sweep.runs.first().filter(|run| run.start < next.max(address.saturating_add(1)));
        let mut left = self.pieces_left;
        let file = self.file(row.file);
        if is_stmt && file.lines.last() != Some(&line) {
            file.lines.push(line);
        }
        let Some(first) = first else { return Ok(()) };
        if is_stmt && first.start <= address {
            let instance = sweep.instance_at(address);
            file.hits.push(Hit { line, instance, by_bytes: 0, by_anchors: first.count });
        }
        let has_bytes = address < next;
        for run in sweep.runs.iter().take_while(|run| has_bytes && run.start < next) {
            let (start, last) = (run.start.max(address), run.last.min(next.saturating_sub(1)));
            sweep.each_instance(start, last, |instance| {
                left = left.saturating_sub(1);
                file.hits.push(Hit { line, instance, by_bytes: run.count, by_anchors: 0 });
                left > 0
            });
            if left == 0 {
                return Err("its sequences overlap".to_owned());
            }
        }
        self.pieces_left = left;
        Ok(())
    }

    fn file(&mut self, number: u64) -> &mut FileLines {
        if self.last.as_ref().is_some_and(|last| last.file != number) {
            self.put_back();
        }
        let files = &mut self.files;
        self.last.get_or_insert_with(|| {
            files.remove(&number).unwrap_or_else(|| FileLines { file: number, ..FileLines::default() })
        })
    }

    fn put_back(&mut self) {
        if let Some(last) = self.last.take() {
            self.files.insert(last.file, last);
        }
    }
}

/// Numbers of instances from here on are of code that no function is known of: one for each sequence.
const OF_NO_FUNCTION: u64 = 1 << 63;

/// What is not behind the row that is looked at.
struct Sweep<'w> {
    runs: &'w [Run],
    segments: &'w [Segment],
    functions: &'w [Function<'w>],
    data: &'w [(u64, u64)],
    otherwise: u64,
}

impl Sweep<'_> {
    /// Leaves behind what ends before an address.
    fn pass(&mut self, address: u64) {
        pass(&mut self.runs, |run| run.last < address);
        pass(&mut self.segments, |segment| segment.end <= address);
        pass(&mut self.functions, |function| function.start < address);
        pass(&mut self.data, |(_, last)| *last < address);
    }

    /// The instance at the address that was passed to.
    fn instance_at(&self, address: u64) -> u64 {
        let here = self.segments.first().filter(|segment| segment.start <= address);
        here.map_or(self.otherwise, |segment| segment.instance)
    }

    /// Names the instances that have any of these bytes, until there are enough.
    fn each_instance(&self, start: u64, last: u64, mut take: impl FnMut(u64) -> bool) {
        let mut at = start;
        let skipped = self.segments.partition_point(|segment| segment.end <= start);
        for segment in self.segments.iter().skip(skipped).take_while(|segment| segment.start <= last) {
            if at < segment.start && !take(self.otherwise) || !take(segment.instance) {
                return;
            }
            at = segment.end;
        }
        if at <= last {
            take(self.otherwise);
        }
    }
}

/// The rest of a slice, from the first on that is not behind.
fn from<T>(all: &[T], is_behind: impl FnMut(&T) -> bool) -> &[T] {
    all.get(all.partition_point(is_behind)..).unwrap_or_default()
}

fn pass<T>(rest: &mut &[T], is_behind: impl Fn(&T) -> bool) {
    while let Some((_, behind)) = rest.split_first().filter(|(first, _)| is_behind(first)) {
        *rest = behind;
    }
}
