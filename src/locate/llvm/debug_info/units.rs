//! The compile units of an image and the compilers that made them, as debug information names them.
//!
//! What enters is an image; what leaves is each unit's name and its compiler's text, one at a time. What always holds: of
//! debug information that is longer than [`MAX_BYTES`] nothing is read, and the texts that are looked at come to no more
//! than a [`TextBudget`] of the file. What is damaged is left out.

use super::dwarf::{self, DebugSections, Sink, UnitRoot};
use super::{MAX_TEXT_BYTES, until_nul};
use crate::image::Image;
use crate::locate::llvm::zlib::TextBudget;

/// What is read to know one line of each unit: a kernel with all of its debug information has half of that.
const MAX_BYTES: u64 = 512 << 20;

/// The sections that are read.
const SECTIONS: [&str; 3] = [".debug_info", ".debug_abbrev", ".debug_str"];

/// Passes the source file and the compiler of each unit that names its compiler.
pub(crate) fn each_unit(image: &Image, take: impl FnMut(&str, &str)) {
    let len = |name: &&str| image.section(name).map_or(0, |section| section.data_len_bytes());
    let lens = SECTIONS.iter().map(len);
    if lens.fold(0, u64::saturating_add) > MAX_BYTES {
        return;
    }
    let Ok(sections) = DebugSections::of(image) else { return };
    let budget = TextBudget::of(usize::try_from(image.file_len_bytes()).unwrap_or(usize::MAX));
    dwarf::walk(&sections, image.endianness(), &mut Units { take, budget });
}

struct Units<F> {
    take: F,
    budget: TextBudget,
}

impl<F> Units<F> {
    fn text<'a>(&mut self, tail: &'a [u8]) -> Option<&'a str> {
        let text = until_nul(tail, MAX_TEXT_BYTES.min(self.budget.left()));
        self.budget.take(text.len().saturating_add(1)).ok()?;
        std::str::from_utf8(text).ok()
    }
}

impl<'a, F: FnMut(&str, &str)> Sink<'a> for Units<F> {
    const ONLY_ROOTS: bool = true;

    fn unit(&mut self, root: &UnitRoot<'a>) {
        let Some(producer) = root.producer.and_then(|tail| self.text(tail)) else { return };
        let name = root.name.and_then(|tail| self.text(tail)).unwrap_or_default();
        (self.take)(name, producer);
    }
}
