//! Which line each instruction is of, as the tables of lines have it.
//!
//! What enters is rows of programs of line numbers; what leaves is the [`Place`] of an address. What always holds: rows are
//! in order and apart; where two units have one address, the first row counts; an address that is of no line has no place.

use std::collections::HashMap;

use super::segments::Segment;
use crate::coverage::FileName;
use crate::image::ImageAddr;

/// A row of a table of lines, with the bytes that are of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct PlaceRow {
    pub(super) start: u64,
    /// Behind the last address.
    pub(super) end: u64,
    /// Its file's number: in its program, and then among [`Places`]' paths.
    pub(super) file: u64,
    pub(super) line: u32,
    /// 0 if it is not known.
    pub(super) column: u32,
}

/// The lines of an image's code, by address.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Places {
    rows: Vec<PlaceRow>,
    paths: Vec<FileName>,
    segments: Vec<Segment>,
}

/// Where in the source an instruction is from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place<'a> {
    /// The file.
    pub path: &'a FileName,
    /// Its line, from 1.
    pub line: u32,
    /// Its column, from 1; 0 if that is not known.
    pub column: u32,
}

impl Places {
    /// Of the rows of programs, of which each has numbers for its files.
    pub(super) fn of<'n>(
        programs: Vec<Vec<PlaceRow>>,
        names: &'n [HashMap<u64, FileName>],
        segments: Vec<Segment>,
    ) -> Self {
        let (mut rows, mut paths) = (Vec::new(), Vec::new());
        let mut numbers: HashMap<&FileName, u64> = HashMap::new();
        for (of_program, names) in programs.into_iter().zip(names) {
            let number = |(file, path): (&u64, &'n FileName)| {
                let number = *numbers.entry(path).or_insert_with(|| {
                    paths.push(FileName::clone(path));
                    paths.len() as u64 - 1
                });
                (*file, number)
            };
            let numbers: HashMap<u64, u64> = names.iter().map(number).collect();
            let known = |row: PlaceRow| Some(PlaceRow { file: numbers.get(&row.file).copied()?, ..row });
            rows.extend(of_program.into_iter().filter_map(known));
        }
        Self::new(rows, paths, segments)
    }

    fn new(mut rows: Vec<PlaceRow>, paths: Vec<FileName>, segments: Vec<Segment>) -> Self {
        rows.sort_by_key(|row| row.start);
        let mut end = 0;
        rows.retain_mut(|row| {
            row.start = row.start.max(end);
            let stays = row.start < row.end;
            if stays {
                end = row.end;
            }
            stays
        });
        Self { rows, paths, segments }
    }

    /// Where the instruction at an address is from.
    #[must_use]
    pub fn at(&self, address: ImageAddr) -> Option<Place<'_>> {
        let address = address.get();
        let index = self.rows.partition_point(|row| row.end <= address);
        let row = self.rows.get(index).filter(|row| row.start <= address)?;
        let path = self.paths.get(usize::try_from(row.file).ok()?)?;
        Some(Place { path, line: row.line, column: row.column })
    }

    /// The instance of a function, out of line or inlined, that an address is of: its number among the image's.
    pub(super) fn instance_at(&self, address: u64) -> Option<u64> {
        let index = self.segments.partition_point(|segment| segment.end <= address);
        let segment = self.segments.get(index).filter(|segment| segment.start <= address)?;
        Some(segment.instance)
    }

    /// Gives files other names, where `name` has one.
    pub(super) fn rename_files(&mut self, name: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        for path in &mut self.paths {
            if let Some(new) = name(path) {
                *path = new.into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_the_first_row_that_has_it() {
        let row = |start, end, file, line| PlaceRow { start, end, file, line, column: 0 };
        let rows = vec![row(8, 12, 1, 7), row(4, 10, 0, 3), row(9, 10, 0, 5), row(20, 20, 0, 1)];
        let places = Places::new(rows, vec![b"a.c"[..].into(), b"b.c"[..].into()], Vec::new());
        let at = |address| places.at(ImageAddr::new(address)).map(|place| (&place.path[..], place.line));
        assert_eq!([3, 4, 9].map(at), [None, Some((&b"a.c"[..], 3)), Some((&b"a.c"[..], 3))]);
        assert_eq!([10, 11, 12, 20].map(at), [Some((&b"b.c"[..], 7)), Some((&b"b.c"[..], 7)), None, None]);
    }
}
