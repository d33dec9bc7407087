//! Differences of lines that are kept on purpose, of programs that are not optimised.

use super::lines::{Place, What};
use super::setups::Compiler::{self, Clang, Gcc};

/// Lines that differ, and why that is right.
#[derive(Debug)]
pub(super) struct KeptLine {
    pub(super) name: &'static str,
    compilers: &'static [Compiler],
    what: &'static [What],
    is_such: fn(&Place) -> bool,
    pub(super) reason: &'static str,
}

use What::{FalselyHit, OnlyCounted, OnlyTraced};

pub(super) const LINES: &[KeptLine] = &[
    KeptLine {
        name: "brace",
        compilers: &[Gcc, Clang],
        what: &[OnlyTraced],
        is_such: |place| ["{", "}"].contains(&place.text.trim()),
        reason: "a function's first and last instructions are on its braces, which few notes have",
    },
    KeptLine {
        name: "head",
        compilers: &[Gcc, Clang],
        what: &[OnlyTraced, OnlyCounted],
        is_such: |place| {
            place.is_one_of(&[("continuation.c", &[8, 9]), ("old_style.c", &[8]), ("one_line.c", &[4])])
        },
        reason: "the head of a function over several lines begins elsewhere by the notes",
    },
    KeptLine {
        name: "label",
        compilers: &[Gcc],
        what: &[OnlyCounted],
        is_such: |place| {
            place.is_one_of(&[("goto.c", &[5, 10, 17, 35, 43]), ("switch.c", &[6, 9, 11, 14, 33])])
        },
        reason: "a label is no code; the notes have it in the block that begins there",
    },
    KeptLine {
        name: "end of arguments",
        compilers: &[Gcc, Clang],
        what: &[OnlyCounted],
        is_such: |place| place.is_one_of(&[("variadic.c", &[11])]),
        reason: "va_end is no code",
    },
    KeptLine {
        name: "not instrumented",
        compilers: &[Gcc, Clang],
        what: &[OnlyTraced],
        is_such: |place| place.text.contains("no_profile_instrument_function"),
        reason: "the source asks for no counters there, and traces need none",
    },
    KeptLine {
        name: "initialiser",
        compilers: &[Gcc],
        what: &[FalselyHit],
        is_such: |place| place.is_one_of(&[("include_middle/table.inc", &[2])]),
        reason: "the expression ran; gcov counts the whole initialiser where it begins",
    },
    KeptLine {
        name: "included text",
        compilers: &[Clang],
        what: &[OnlyTraced, OnlyCounted],
        is_such: |place| place.file.starts_with("include_middle/"),
        reason: "clang's notes put a file that is included within a function on the lines of the file around it",
    },
    KeptLine {
        name: "operator",
        compilers: &[Clang],
        what: &[OnlyCounted],
        is_such: |place| place.is_one_of(&[("continuation.c", &[11]), ("old_style.c", &[16, 30, 31, 36])]),
        reason: "an operator or operand on a line of its own is one instruction with what is on another",
    },
    KeptLine {
        name: "jump to what follows",
        compilers: &[Clang],
        what: &[OnlyCounted],
        is_such: |place| {
            place.is_one_of(&[
                ("goto.c", &[31]),
                ("header_twice/list.h", &[7]),
                ("loops.c", &[23]),
                ("macros.c", &[31]),
                ("preprocessor.c", &[32]),
            ])
        },
        reason: "for a PC, clang makes no instruction of it",
    },
    KeptLine {
        name: "unreachable",
        compilers: &[Clang],
        what: &[OnlyCounted],
        is_such: |place| place.is_one_of(&[("goto.c", &[34])]),
        reason: "clang notes code that nothing leads to, and leaves it out",
    },
];

/// Why a line may differ.
pub(super) fn of(compiler: Compiler, what: What, place: &Place) -> Option<&'static KeptLine> {
    let fits = |kept: &&KeptLine| {
        kept.compilers.contains(&compiler) && kept.what.contains(&what) && (kept.is_such)(place)
    };
    LINES.iter().find(fits)
}

impl Place {
    fn is_one_of(&self, places: &[(&str, &[u64])]) -> bool {
        places.iter().any(|(file, lines)| self.file == *file && lines.contains(&self.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_kept() {
        let place = |file: &str, line, text: &str| Place { file: file.into(), line, text: text.into() };
        let name = |compiler, what, place: &Place| of(compiler, what, place).map(|kept| kept.name);
        assert_eq!(name(Gcc, OnlyTraced, &place("a.c", 3, "  }")), Some("brace"));
        assert_eq!(name(Gcc, OnlyCounted, &place("a.c", 3, "  }")), None);
        assert_eq!(name(Gcc, OnlyTraced, &place("a.c", 3, "  } else {")), None);
        assert_eq!(name(Gcc, OnlyCounted, &place("goto.c", 5, "again:")), Some("label"));
        assert_eq!(name(Clang, OnlyCounted, &place("goto.c", 5, "again:")), None);
        assert_eq!(name(Clang, FalselyHit, &place("include_middle/main.c", 5, "")), None);
    }
}
