//! Whether GCC may keep counters in registers while a loop runs, so that memory shows their counts only when it ends.
//!
//! What enters is an image; what leaves is which of its compile units are concerned, by the options that the compiler
//! recorded in debug information (`DW_AT_producer`; `-grecord-gcc-switches` is its default) or in `.GCC.command.line`
//! (`-frecord-gcc-switches`). What always holds: that a unit is concerned says that its loops may be, because GCC
//! decides loop by loop; without recorded options nothing is claimed.
//!
//! The pass that moves stores out of loops runs from `-O1` on, and not at `-Og`. It does not move atomic additions, which
//! `-fprofile-update=atomic` asks for, and which GCC makes only where the target adds 64 bits atomically. Of units that
//! are optimised when they are linked (`-flto`) the options of their own compilation hold, not those of the link.
//!
//! Linux builds all that it instruments with `-fno-tree-loop-im`, if GCC does (`CFLAGS_GCOV` in its `Makefile`, since
//! v4.7), and is known by the head of its list, `gcov_info_head`, where no options are recorded. Older kernels are not
//! told from newer ones.
//!
//! Source: `tree-ssa-loop-im.cc`, `tree-profile.cc`, `opts.cc` in `gcc`, releases/gcc-12; measured by `tests/frozen.rs`.

use std::fmt;

use object::elf;

use super::gcov::{Dialect, GcovImage};
use super::llvm::each_unit;
use crate::image::Image;

/// How many units are named.
const MAX_NAMES: usize = 3;

/// The list of instrumented objects of a Linux kernel (`kernel/gcov/gcc_4_7.c`).
const LIST_OF_LINUX: &str = "gcov_info_head";

/// Longer ones are cut in messages.
const MAX_NAME_CHARS: usize = 80;

/// What the compiler's options say about counts of loops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frozen {
    /// Each count is stored at once, in all units whose options are recorded.
    No,
    /// Those of some units may be in registers while a loop runs.
    Maybe(FrozenUnits),
    /// No options of an instrumented unit are recorded.
    Unknown,
}

/// The compile units whose counts of loops may be in registers.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct FrozenUnits {
    /// How many; of those that `.GCC.command.line` alone tells, how many sets of options.
    pub units: usize,
    /// How many there are that are instrumented, counted in the same way.
    pub of: usize,
    /// The source files of the first ones, where they are known, with control characters escaped.
    pub names: Vec<String>,
    /// Whether `-fprofile-update=atomic` would keep all of them in memory.
    pub has_atomic_adds: bool,
}

impl fmt::Display for FrozenUnits {
    /// `counts of loops may be in registers while they run: 2 of 5 compile units (a.c, b.c)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { units, of, names, .. } = self;
        let unit = if *of == 1 { "unit" } else { "units" };
        write!(f, "counts of loops may be in registers while they run: {units} of {of} compile {unit}")?;
        if names.is_empty() {
            return Ok(());
        }
        let more = if names.len() < *units { ", ..." } else { "" };
        write!(f, " ({}{more})", names.join(", "))
    }
}

/// Looks at the options that the compilers of an image's gcov side recorded. What clang counts at `-O0`, which is all
/// that is read of it, is stored at once.
#[must_use]
pub fn of(image: &Image, gcov: &GcovImage) -> Frozen {
    let is_of_gcc = gcov.objects.iter().any(|object| object.dialect == Dialect::Gcc);
    if is_of_gcc { find(image) } else { Frozen::No }
}

/// Looks at the options that GCC recorded.
#[must_use]
pub fn find(image: &Image) -> Frozen {
    let mut in_debug_info = Collected::new(image);
    each_unit(image, |name, producer| in_debug_info.add(name, producer));
    if in_debug_info.all.of > 0 {
        return in_debug_info.finish();
    }
    let mut recorded = Collected::new(image);
    let bytes = image.section(".GCC.command.line").and_then(|section| section.file_bytes().ok());
    for text in bytes.unwrap_or_default().split(|byte| *byte == 0) {
        recorded.add("", std::str::from_utf8(text).unwrap_or_default());
    }
    match recorded.finish() {
        Frozen::Unknown if image.symbol(LIST_OF_LINUX).is_some() => Frozen::No,
        found => found,
    }
}

/// The units so far.
struct Collected {
    machine: elf::Machine,
    is_64_bit: bool,
    all: FrozenUnits,
}

impl Collected {
    fn new(image: &Image) -> Self {
        Self::of(elf::Machine(image.machine()), image.pointer_width().bytes() == 8)
    }

    fn of(machine: elf::Machine, is_64_bit: bool) -> Self {
        Self { machine, is_64_bit, all: FrozenUnits { has_atomic_adds: true, ..FrozenUnits::default() } }
    }

    fn add(&mut self, name: &str, producer: &str) {
        let Some(options) = Options::parse(producer).filter(|options| options.is_instrumented) else {
            return;
        };
        self.all.of = self.all.of.saturating_add(1);
        let has_atomic_adds = adds_atomically(self.machine, self.is_64_bit, options.march);
        if !options.moves_stores() || (options.wants_atomic && has_atomic_adds) {
            return;
        }
        self.all.units = self.all.units.saturating_add(1);
        self.all.has_atomic_adds &= has_atomic_adds;
        if self.all.names.len() < MAX_NAMES && !name.is_empty() {
            self.all.names.push(name.escape_debug().take(MAX_NAME_CHARS).collect());
        }
    }

    fn finish(self) -> Frozen {
        match self.all {
            FrozenUnits { of: 0, .. } => Frozen::Unknown,
            FrozenUnits { units: 0, .. } => Frozen::No,
            units => Frozen::Maybe(units),
        }
    }
}

/// The options of one compilation that matter here; of several that contradict each other the last one holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Options<'a> {
    is_instrumented: bool,
    /// What follows `-O`; `0` if there is none.
    level: &'a str,
    has_loop_im: bool,
    has_store_motion: bool,
    wants_atomic: bool,
    march: &'a str,
}

impl<'a> Options<'a> {
    /// Reads `GNU C17 12.2.0 -mtune=generic -g -O2 -fprofile-arcs -ftest-coverage`. `None` of another compiler, and of a
    /// link (`GNU GIMPLE`), whose units have their own.
    fn parse(producer: &'a str) -> Option<Self> {
        let options = producer.strip_prefix("GNU ").filter(|rest| !rest.starts_with("GIMPLE "))?;
        let mut found = Self {
            is_instrumented: false,
            level: "0",
            has_loop_im: true,
            has_store_motion: true,
            wants_atomic: false,
            march: "",
        };
        for option in options.split_ascii_whitespace() {
            found.apply(option);
        }
        Some(found)
    }

    fn apply(&mut self, option: &'a str) {
        match option {
            "-fprofile-arcs" | "--coverage" | "-fcondition-coverage" | "-fpath-coverage" => {
                self.is_instrumented = true;
            }
            "-fno-profile-arcs" => self.is_instrumented = false,
            "-ftree-loop-im" => self.has_loop_im = true,
            "-fno-tree-loop-im" => self.has_loop_im = false,
            "-fmove-loop-stores" => self.has_store_motion = true,
            "-fno-move-loop-stores" => self.has_store_motion = false,
            _ => {
                if option == "-fprofile-generate" || option.starts_with("-fprofile-generate=") {
                    self.is_instrumented = true;
                } else if let Some(level) = option.strip_prefix("-O") {
                    self.level = level;
                } else if let Some(update) = option.strip_prefix("-fprofile-update=") {
                    self.wants_atomic = matches!(update, "atomic" | "prefer-atomic");
                } else if let Some(march) = option.strip_prefix("-march=") {
                    self.march = march;
                }
            }
        }
    }

    /// Whether the pass runs.
    fn moves_stores(&self) -> bool {
        !matches!(self.level, "0" | "g") && self.has_loop_im && self.has_store_motion
    }
}

/// Whether the target adds 64 bits atomically, without calling a function, so that GCC makes such additions.
fn adds_atomically(machine: elf::Machine, is_64_bit: bool, march: &str) -> bool {
    match machine {
        elf::EM_RISCV => is_64_bit && has_riscv_atomics(march),
        elf::EM_ARM => has_arm_doubleword_exclusives(march),
        elf::EM_386 => !matches!(march, "i386" | "i486"),
        _ => is_64_bit,
    }
}

/// `rv64imafdc_zicsr`, `rv64gc`: single letters come first, and `g` has `a` in it.
fn has_riscv_atomics(march: &str) -> bool {
    let letters = march.trim_start_matches("rv64").split('_').next().unwrap_or_default();
    let letters = letters.find(['z', 's', 'x']).and_then(|end| letters.get(..end)).unwrap_or(letters);
    march.starts_with("rv64") && letters.contains(['a', 'g'])
}

/// From Armv6K on, and not in the profile for microcontrollers.
fn has_arm_doubleword_exclusives(march: &str) -> bool {
    let base = march.split('+').next().unwrap_or_default();
    let rest = base.strip_prefix("armv").unwrap_or_default();
    let version: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let is_microcontroller = rest.ends_with("-m") || rest.contains("-m.");
    base.starts_with("armv6k") || (version.parse().is_ok_and(|v: u8| v >= 7) && !is_microcontroller)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_frozen(options: &str) -> Option<bool> {
        let options = Options::parse(options)?;
        options.is_instrumented.then(|| options.moves_stores() && !options.wants_atomic)
    }

    #[test]
    fn the_last_option_holds() {
        for (options, expected) in [
            ("GNU C17 12.2.0 -O2 -fprofile-arcs -ftest-coverage", Some(true)),
            ("GNU C17 12.2.0 -O -fprofile-arcs", Some(true)),
            ("GNU C++17 12.2.0 -O2 -Og -fprofile-generate", Some(false)),
            ("GNU C++17 12.2.0 -O0 -Os -fprofile-generate=/d", Some(true)),
            ("GNU C17 12.2.0 -fprofile-arcs", Some(false)),
            ("GNU C17 12.2.0 -O2 -fno-tree-loop-im -fprofile-arcs", Some(false)),
            ("GNU C17 12.2.0 -O2 -fno-tree-loop-im -ftree-loop-im -fprofile-arcs", Some(true)),
            ("GNU C17 12.2.0 -O2 -fno-move-loop-stores -fprofile-arcs", Some(false)),
            ("GNU C17 12.2.0 -O2 -fprofile-update=prefer-atomic -fprofile-arcs", Some(false)),
            ("GNU C17 12.2.0 -O2 -fprofile-update=atomic -fprofile-update=single -fprofile-arcs", Some(true)),
            ("GNU C17 12.2.0 -O2 -fprofile-arcs -fno-profile-arcs", None),
            ("GNU C17 12.2.0 -O2", None),
            ("GNU C17 12.2.0", None),
            ("GNU GIMPLE 12.2.0 -O2 -fltrans -fprofile-arcs", None),
            ("Debian clang version 19.1.7 -O2 -fprofile-arcs", None),
        ] {
            assert_eq!(is_frozen(options), expected, "{options}");
        }
    }

    #[test]
    fn atomic_additions_are_made_where_the_target_has_them() {
        for (machine, is_64_bit, march, expected) in [
            (elf::EM_X86_64, true, "x86-64", true),
            (elf::EM_386, false, "x86-64", true),
            (elf::EM_386, false, "i386", false),
            (elf::EM_ARM, false, "armv7-m", false),
            (elf::EM_ARM, false, "armv7e-m+fp", false),
            (elf::EM_ARM, false, "armv6s-m", false),
            (elf::EM_ARM, false, "armv8-m.main", false),
            (elf::EM_ARM, false, "armv5te", false),
            (elf::EM_ARM, false, "armv6kz", true),
            (elf::EM_ARM, false, "armv7-a+mp+sec", true),
            (elf::EM_ARM, false, "armv7ve", true),
            (elf::EM_ARM, false, "", false),
            (elf::EM_RISCV, true, "rv64imafdc_zicsr", true),
            (elf::EM_RISCV, true, "rv64gc", true),
            (elf::EM_RISCV, true, "rv64im_zba", false),
            (elf::EM_RISCV, false, "rv32imac", false),
            (elf::EM_PPC, false, "", false),
        ] {
            assert_eq!(adds_atomically(machine, is_64_bit, march), expected, "{machine:?} {march}");
        }
    }

    #[test]
    fn the_first_units_are_named() {
        let mut collected = Collected::of(elf::EM_X86_64, true);
        for name in ["a.c", "b.c", "c.c", "d.c"] {
            collected.add(name, "GNU C17 12.2.0 -march=x86-64 -O2 -fprofile-arcs");
        }
        collected.add("e.c", "GNU C17 12.2.0 -O0 -fprofile-arcs");
        let Frozen::Maybe(units) = collected.finish() else { panic!("they are frozen") };
        assert_eq!(
            units.to_string(),
            "counts of loops may be in registers while they run: 4 of 5 compile units (a.c, b.c, c.c, ...)"
        );
    }
}
