//! What differs between notes files of the releases, in one table.
//!
//! Source: `gcc/gcov-io.h`, `gcc/coverage.cc` and `gcc/gcov.cc` of the releases named.

use crate::locate::gcov::{Layout, Version};

/// Notes files since one release.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotesLayout {
    since: (u8, u8),
    /// A directory stands behind the stamp.
    pub(super) has_cwd: bool,
    /// Whether blocks that did not run can be told, in the header; functions say whether they are artificial, and
    /// have a start column and an end line; blocks are a number, not a word of flags each.
    pub(super) has_columns: bool,
    /// Functions have an end column.
    pub(super) has_end_column: bool,
    /// The exit is the block behind the entry; it was the last one before.
    pub(super) exit_is_second: bool,
}

const GCC_4_7: NotesLayout = NotesLayout {
    since: (4, 7),
    has_cwd: false,
    has_columns: false,
    has_end_column: false,
    exit_is_second: false,
};
const GCC_4_8: NotesLayout = NotesLayout { since: (4, 8), exit_is_second: true, ..GCC_4_7 };
const GCC_8: NotesLayout = NotesLayout { since: (8, 0), has_columns: true, ..GCC_4_8 };
const GCC_9: NotesLayout = NotesLayout { since: (9, 0), has_cwd: true, has_end_column: true, ..GCC_8 };

/// By release, the oldest first.
const LAYOUTS: [NotesLayout; 4] = [GCC_4_7, GCC_4_8, GCC_8, GCC_9];

impl NotesLayout {
    /// What notes of that version look like, beside what they share with data files; `None` before GCC 4.7.
    pub(super) fn of(version: Version) -> Option<(Self, &'static Layout)> {
        let release = (version.major(), version.minor());
        let notes = LAYOUTS.iter().rev().find(|layout| release >= layout.since)?;
        Some((*notes, version.layout()?))
    }
}
