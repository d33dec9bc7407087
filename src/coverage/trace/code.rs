//! Where an image has code: its executable memory, the functions that its symbols name, data among the code.
//!
//! What enters is an [`Image`]; what leaves is tables by address, before any slide. What always holds: they are in order;
//! bit 0 of a Thumb function's symbol is cleared.
//!
//! What a linker discards leaves its debug information behind, at address 0 or at one of the last two of memory. Neither
//! of those is taken for code, and 0 only if it is: it must be in executable memory and, if there are symbols, bear one.

use object::elf;

use crate::image::{Image, ImageAddr, SymbolKind};

/// What is known of an image's code.
#[derive(Default, Debug)]
pub(super) struct Code<'a> {
    /// By address, one for each.
    pub(super) functions: Vec<Function<'a>>,
    /// First and last addresses, apart.
    pub(super) executable: Vec<(u64, u64)>,
    /// Data among the code: first and last addresses, apart.
    pub(super) data: Vec<(u64, u64)>,
    pub(super) has_symbols: bool,
    pub(super) has_label_at_zero: bool,
}

/// A function that a symbol names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) start: u64,
    /// 0 if the ELF does not tell.
    pub(super) len_bytes: u64,
}

impl Function<'_> {
    /// The first address behind it.
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.len_bytes)
    }
}

impl<'a> Code<'a> {
    pub(super) fn of(image: &'a Image) -> Self {
        let thumb_bit = u64::from(image.machine() == elf::EM_ARM.0);
        let mut code = Self { executable: executable(image), ..Self::default() };
        for symbol in image.symbols() {
            let address = symbol.address.get();
            code.has_symbols = true;
            match (symbol.kind, symbol.name) {
                (SymbolKind::Function, name) => {
                    let start = address & !thumb_bit;
                    code.functions.push(Function { name, start, len_bytes: symbol.len_bytes });
                }
                (SymbolKind::Other, name) if name.starts_with('$') => {}
                (SymbolKind::Other, name) => code.has_label_at_zero |= address == 0 && !name.is_empty(),
                (SymbolKind::Object, _) => {}
            }
        }
        code.functions.retain(|function| function.start == 0 || code_at(&code.executable, function.start));
        // Of aliases the longest is there, of those the first by name: the order of symbols is the linker's.
        let order = |function: &Function<'a>| (function.start, u64::MAX - function.len_bytes, function.name);
        code.functions.sort_unstable_by_key(order);
        code.functions.dedup_by_key(|function| function.start);
        let plain = |(first, last): (ImageAddr, ImageAddr)| (first.get(), last.get());
        code.data = image.data_among_code().into_iter().map(plain).collect();
        code
    }

    /// Whether code of the image is at an address.
    pub(super) fn is_at(&self, address: u64) -> bool {
        code_at(&self.executable, address)
    }

    /// The function that begins at an address.
    pub(super) fn function_at(&self, address: u64) -> Option<&Function<'a>> {
        let index = self.functions.binary_search_by_key(&address, |function| function.start).ok()?;
        self.functions.get(index)
    }

    /// Whether debug information at address 0 can be of a function of this name; `None` is one that it does not name.
    pub(super) fn is_live_at_zero(&self, name: Option<&[u8]>) -> bool {
        match (self.function_at(0), name) {
            _ if !self.is_at(0) => false,
            _ if !self.has_symbols => true,
            (Some(function), Some(name)) => without_clone(function.name).as_bytes() == name,
            (Some(_), None) => true,
            (None, _) => self.has_label_at_zero,
        }
    }

    /// Whether a sequence of lines at address 0 can be of live code: it ends with a function.
    pub(super) fn can_end_from_zero(&self, end: u64) -> bool {
        let known = self.functions.iter().take_while(|function| function.start < end);
        let mut known = known.filter(|function| function.len_bytes > 0).peekable();
        known.peek().is_none() || known.any(|function| function.end() == end)
    }
}

/// The name of the function that GCC made a clone of.
pub(in crate::coverage) fn without_clone(name: &str) -> &str {
    const CLONES: [&str; 5] = [".part.", ".constprop.", ".isra.", ".cold", ".lto_priv."];
    let cut = CLONES.iter().filter_map(|clone| name.find(clone)).min();
    cut.filter(|at| *at > 0).and_then(|at| name.get(..at)).unwrap_or(name)
}

fn code_at(executable: &[(u64, u64)], address: u64) -> bool {
    let index = executable.partition_point(|(_, last)| *last < address);
    executable.get(index).is_some_and(|(start, _)| *start <= address)
}

/// Sections of code; of an image without section headers all that is loaded and not written.
fn executable(image: &Image) -> Vec<(u64, u64)> {
    let last = |start: ImageAddr, len_bytes: u64| {
        let last = start.get().checked_add(len_bytes.checked_sub(1)?)?;
        Some((start.get(), last))
    };
    let mut all: Vec<_> = if image.sections().next().is_some() {
        let code = image.sections().filter(|section| section.is_loaded() && section.is_executable());
        code.filter_map(|section| last(section.address(), section.len_bytes())).collect()
    } else {
        let extents = image.extents().into_iter().filter(|extent| !extent.is_writable);
        extents.filter_map(|extent| last(extent.start, extent.len_bytes)).collect()
    };
    all.sort_unstable();
    joined(all)
}

/// Ranges in order, as ranges that are apart.
fn joined(ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if start <= end.saturating_add(1) => *end = last.max(*end),
            _ => joined.push((start, last)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_have_the_name_of_their_function() {
        for (name, base) in [
            ("f.part.0", "f"),
            ("f.constprop.1.isra.0", "f"),
            ("f.cold", "f"),
            (".cold", ".cold"),
            ("f", "f"),
        ] {
            assert_eq!(without_clone(name), base);
        }
    }

    #[test]
    fn code_at_zero_must_be_named() {
        let function = |name, start, len_bytes| Function { name, start, len_bytes };
        let mut code = Code { executable: vec![(0, 99)], has_symbols: true, ..Code::default() };
        assert!(!code.is_live_at_zero(Some(b"f")) && !code.is_live_at_zero(None));
        code.functions = vec![function("f.isra.0", 0, 8), function("g", 8, 4)];
        assert!(code.is_live_at_zero(Some(b"f")) && !code.is_live_at_zero(Some(b"g")));
        assert!(code.can_end_from_zero(8) && code.can_end_from_zero(12) && !code.can_end_from_zero(10));
        code.executable.clear();
        assert!(!code.is_live_at_zero(Some(b"f")));
        let stripped = Code { executable: vec![(0, 99)], ..Code::default() };
        assert!(stripped.is_live_at_zero(Some(b"f")) && stripped.can_end_from_zero(10));
    }
}
