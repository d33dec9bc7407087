//! Which loaded words the loader changes, and to what.
//!
//! Only relocations of loaded sections count (`SHF_ALLOC`): the others were for the linker. Where there are no section
//! headers, `PT_DYNAMIC` says where they are, as it does to loaders. Kinds are named by
//! machine, from the psABI supplements; a kind that is not in the table is kept as a word of unknown value.

use object::elf;
use object::read::elf::{FileHeader, Rel, Rela, RelrIterator, SectionHeader as _};

use super::bytes::FileBytes;
use super::dynamic;
use super::fault::{Fault, fault};

/// What a relocated word becomes, before the slide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RelocValue {
    /// The word in the file, plus the slide.
    InPlace,
    /// This, plus the slide.
    Addend(u64),
    /// The value of a dynamic symbol by its index, plus this, plus the slide.
    Symbol(u32, u64),
    /// Something else.
    Unknown,
}

/// A word that the loader changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DynamicReloc {
    pub(super) address: u64,
    pub(super) value: RelocValue,
}

/// The relocation types of a machine that write a whole pointer.
pub(super) struct Kinds {
    machine: elf::Machine,
    relative: u32,
    /// The word-sized absolute one, and the one for a slot of the global offset table.
    symbolic: [u32; 2],
}

/// From the psABI supplements, by way of LLVM's `ELFRelocs/*.def`, 19.1.7.
const KINDS: &[Kinds] = &[
    Kinds { machine: elf::EM_X86_64, relative: 8, symbolic: [1, 6] },
    Kinds { machine: elf::EM_386, relative: 8, symbolic: [1, 6] },
    Kinds { machine: elf::EM_AARCH64, relative: 1027, symbolic: [257, 1025] },
    Kinds { machine: elf::EM_ARM, relative: 23, symbolic: [2, 21] },
    Kinds { machine: elf::EM_S390, relative: 12, symbolic: [22, 10] },
    Kinds { machine: elf::EM_PPC, relative: 22, symbolic: [1, 20] },
    Kinds { machine: elf::EM_PPC64, relative: 22, symbolic: [38, 20] },
];

/// RISC-V's absolute words differ by width: `R_RISCV_32` is 1, `R_RISCV_64` is 2.
const RISCV32: Kinds = Kinds { machine: elf::EM_RISCV, relative: 3, symbolic: [1, 1] };
const RISCV64: Kinds = Kinds { machine: elf::EM_RISCV, relative: 3, symbolic: [2, 2] };

pub(super) fn kinds(machine: elf::Machine, is_64: bool) -> Option<&'static Kinds> {
    match (machine, is_64) {
        (elf::EM_RISCV, false) => Some(&RISCV32),
        (elf::EM_RISCV, true) => Some(&RISCV64),
        _ => KINDS.iter().find(|kinds| kinds.machine == machine),
    }
}

pub(super) fn of_rela<R: Rela>(
    rela: &R,
    kinds: Option<&Kinds>,
    endian: R::Endian,
    is_mips64el: bool,
) -> DynamicReloc {
    let addend: i64 = rela.r_addend(endian).into();
    let (kind, symbol) = (rela.r_type(endian, is_mips64el).0, rela.r_sym(endian, is_mips64el));
    DynamicReloc {
        address: rela.r_offset(endian).into(),
        value: value(kinds, kind, symbol, Some(addend.cast_unsigned())),
    }
}

pub(super) fn of_rel<R: Rel>(rel: &R, kinds: Option<&Kinds>, endian: R::Endian) -> DynamicReloc {
    DynamicReloc {
        address: rel.r_offset(endian).into(),
        value: value(kinds, rel.r_type(endian).0, rel.r_sym(endian), None),
    }
}

fn value(kinds: Option<&Kinds>, kind: u32, symbol: u32, addend: Option<u64>) -> RelocValue {
    match (kinds, addend) {
        (Some(kinds), None) if kind == kinds.relative => RelocValue::InPlace,
        (Some(kinds), Some(addend)) if kind == kinds.relative => RelocValue::Addend(addend),
        (Some(kinds), addend) if kinds.symbolic.contains(&kind) => {
            RelocValue::Symbol(symbol, addend.unwrap_or(0))
        }
        _ => RelocValue::Unknown,
    }
}

/// All relocations of loaded sections, by address.
pub(super) fn read<'f, Elf: FileHeader>(
    header: &Elf,
    endian: Elf::Endian,
    file: &'f FileBytes,
) -> Result<Vec<DynamicReloc>, Fault> {
    let kinds = kinds(header.e_machine(endian), header.is_class_64());
    let is_mips64el = header.is_mips64el(endian);
    let headers = header
        .section_headers(endian, file)
        .map_err(fault("section headers", header.e_shoff(endian).into()))?;
    if headers.is_empty() {
        return dynamic::relocs(header, endian, file);
    }
    let mut relocs = Vec::new();
    for section in headers.iter().filter(|s| s.sh_flags(endian).contains(elf::SHF_ALLOC)) {
        let at = section.sh_offset(endian).into();
        if let Some((rela, _)) = section.rela(endian, file).map_err(fault("relocations", at))? {
            relocs.extend(rela.iter().map(|rela| of_rela(rela, kinds, endian, is_mips64el)));
        }
        if let Some((rel, _)) = section.rel(endian, file).map_err(fault("relocations", at))? {
            relocs.extend(rel.iter().map(|rel| of_rel(rel, kinds, endian)));
        }
        if let Some(relr) = section.relr(endian, file).map_err(fault("relocations", at))? {
            let relr: RelrIterator<'f, Elf> = relr;
            relocs.extend(relr.map(|at| DynamicReloc { address: at.into(), value: RelocValue::InPlace }));
        }
    }
    relocs.sort_by_key(|reloc| reloc.address);
    Ok(relocs)
}
