//! Which bytes of an image are instructions, and of which set.
//!
//! What enters is an image's executable sections and the mapping symbols in them; what leaves is parts that are code, or
//! data among it, in order and apart. What always holds: literal pools and tables of jumps are in none of them where symbols tell, as they do
//! on Arm and RISC-V; a part is within its section.
//! Source: ELF for the Arm Architecture (IHI 0044), 5.5.5; ELF for the Arm 64-bit Architecture (IHI 0056), 5.5.5;
//! RISC-V ELF psABI 1.0, 8.4.

use covtap_insn::Isa;
use covtap_link::PointerWidth;
use object::elf;

use super::{Image, ImageAddr, Section, Symbol, SymbolKind};

/// Instructions one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodePart {
    /// The address of the first.
    pub address: ImageAddr,
    /// Their length together.
    pub len_bytes: u64,
    /// Their instruction set.
    pub isa: Isa,
}

/// What begins at a mapping symbol: instructions of a set, or data.
type Content = Option<Isa>;

impl Image {
    /// The parts of the image that are code, by address; none if its instruction set is not known.
    #[must_use]
    pub fn code_parts(&self) -> Vec<CodePart> {
        let code = |(from, to, content): (u64, u64, Content)| {
            Some(CodePart { address: ImageAddr::new(from), len_bytes: to - from, isa: content? })
        };
        self.parts_of_code().into_iter().filter_map(code).collect()
    }

    /// The parts of executable sections that are data, by address: where each begins, and its last address. None if the
    /// instruction set is not known.
    #[must_use]
    pub fn data_among_code(&self) -> Vec<(ImageAddr, ImageAddr)> {
        let data = |(from, to, content): (u64, u64, Content)| {
            content.is_none().then_some((ImageAddr::new(from), ImageAddr::new(to - 1)))
        };
        self.parts_of_code().into_iter().filter_map(data).collect()
    }

    /// What executable sections have, by address: where it begins, what is behind it, and what it is.
    fn parts_of_code(&self) -> Vec<(u64, u64, Content)> {
        let Some(usual) = self.usual_isa() else { return Vec::new() };
        let mark = |symbol: Symbol<'_>| Some((symbol.address.get(), content(&symbol, usual)?));
        let mut marks: Vec<(u64, Content)> = self.symbols_of_code().filter_map(mark).collect();
        // Of several at one address the last one tells.
        marks.sort_by_key(|(address, _)| *address);
        let sections = self.sections().filter(|section| section.is_loaded() && section.is_executable());
        let mut parts: Vec<_> = sections
            .filter(|section| !section.is_nobits())
            .flat_map(|it| in_section(&it, &marks, usual))
            .collect();
        parts.sort_unstable_by_key(|(from, ..)| *from);
        parts
    }

    /// The instruction set of code that no symbol tells it of.
    fn usual_isa(&self) -> Option<Isa> {
        let is_wide = self.pointer_width() == PointerWidth::Bits64;
        Some(match elf::Machine(self.machine()) {
            elf::EM_ARM if self.is_thumb() => Isa::Thumb,
            elf::EM_ARM => Isa::A32,
            elf::EM_AARCH64 => Isa::A64,
            elf::EM_RISCV if is_wide => Isa::Rv64,
            elf::EM_RISCV => Isa::Rv32,
            elf::EM_386 => Isa::X86,
            elf::EM_X86_64 => Isa::X86_64,
            _ => return None,
        })
    }

    /// Whether the first function that the symbols have is Thumb.
    fn is_thumb(&self) -> bool {
        let mut functions = self.symbols().filter(|symbol| symbol.kind == SymbolKind::Function);
        functions.next().is_none_or(|function| function.address.get() & 1 == 1)
    }
}

/// What begins at a symbol, if it is a mapping symbol.
fn content(symbol: &Symbol<'_>, usual: Isa) -> Option<Content> {
    let word = symbol.name.split('.').next()?;
    match (usual, word) {
        (Isa::Thumb | Isa::A32, "$t") => Some(Some(Isa::Thumb)),
        (Isa::Thumb | Isa::A32, "$a") => Some(Some(Isa::A32)),
        (Isa::A64, "$x") => Some(Some(usual)),
        // An architecture string may follow.
        (Isa::Rv32 | Isa::Rv64, word) if word == "$x" || word.starts_with("$xrv") => Some(Some(usual)),
        (Isa::Thumb | Isa::A32 | Isa::A64 | Isa::Rv32 | Isa::Rv64, "$d") => Some(None),
        _ => None,
    }
}

fn in_section(section: &Section<'_>, marks: &[(u64, Content)], usual: Isa) -> Vec<(u64, u64, Content)> {
    let start = section.address().get();
    let Some(end) = start.checked_add(section.len_bytes()) else { return Vec::new() };
    between(start, end, marks, usual)
}

/// What there is from `start` to before `end`, by marks in order of their addresses.
fn between(start: u64, end: u64, marks: &[(u64, Content)], usual: Isa) -> Vec<(u64, u64, Content)> {
    let first = marks.partition_point(|(address, _)| *address < start);
    let inside = marks.get(first..).unwrap_or_default().iter().take_while(|(address, _)| *address < end);
    let mut parts: Vec<(u64, u64, Content)> = Vec::new();
    let mut add = |from: u64, to: u64, content: Content| match parts.last_mut() {
        _ if to <= from => {}
        Some((_, behind, last)) if *last == content && *behind == from => *behind = to,
        _ => parts.push((from, to, content)),
    };
    let (mut from, mut content) = (start, Some(usual));
    for (address, next) in inside {
        add(from, *address, content);
        (from, content) = (*address, *next);
    }
    add(from, end, content);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str) -> Symbol<'_> {
        Symbol { name, address: ImageAddr::new(0), len_bytes: 0, kind: SymbolKind::Other }
    }

    #[test]
    fn data_ends_at_the_next_mark_or_with_the_section() {
        let (code, data) = (Some(Isa::Thumb), None);
        // What is marked twice at one address is what the later mark says.
        let marks = [(0x10, code), (0x20, data), (0x28, data), (0x28, code), (0x30, data), (0x100, data)];
        let parts = between(0x10, 0x40, &marks, Isa::A32);
        assert_eq!(parts, [(0x10, 0x20, code), (0x20, 0x28, data), (0x28, 0x30, code), (0x30, 0x40, data)]);
        assert_eq!(between(0x10, 0x40, &[], Isa::A32), [(0x10, 0x40, Some(Isa::A32))]);
    }

    #[test]
    fn mapping_symbols_are_known_by_their_names() {
        let cases = [
            (Isa::Thumb, "$t", Some(Some(Isa::Thumb))),
            (Isa::Thumb, "$a.1", Some(Some(Isa::A32))),
            (Isa::A32, "$d.realdata", Some(None)),
            (Isa::A64, "$x", Some(Some(Isa::A64))),
            (Isa::Rv32, "$xrv32i2p1_m2p0_c2p0", Some(Some(Isa::Rv32))),
            (Isa::X86_64, "$d", None),
            (Isa::Thumb, "main", None),
            (Isa::Thumb, "$tail", None),
        ];
        for (isa, name, expected) in cases {
            assert_eq!(content(&symbol(name), isa), expected, "{name}");
        }
    }
}
