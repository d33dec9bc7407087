//! The sections of LLVM's instrumentation and what each costs the target.
//!
//! What always holds: a section that is not loaded costs the target nothing; a byte of a loaded section is RAM if
//! the program may write it, and a byte of the image (flash, or what a loader copies) if the file has one for it.
//! A writable section with bytes in the file costs both.
//! Source of the names: `INSTR_PROF_*_COMMON` in `InstrProfData.inc`, llvmorg-19.1.7.

use std::iter::Sum;

use serde::Serialize;

use super::hex_or_null;
use crate::image::{Image, ImageAddr, Section};

/// What a section is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// What running code changes and covtap reads from the target.
    Counters,
    /// The same for MC/DC.
    Bitmap,
    /// What only the host reads: covtap takes it from the file.
    Metadata,
    /// What a profiling runtime uses to profile values.
    Values,
}

const SECTIONS: &[(&str, Role)] = &[
    ("__llvm_prf_cnts", Role::Counters),
    ("__llvm_prf_bits", Role::Bitmap),
    ("__llvm_prf_data", Role::Metadata),
    ("__llvm_prf_names", Role::Metadata),
    ("__llvm_prf_vtab", Role::Metadata),
    ("__llvm_prf_vns", Role::Metadata),
    ("__llvm_covdata", Role::Metadata),
    ("__llvm_covnames", Role::Metadata),
    ("__llvm_covmap", Role::Metadata),
    ("__llvm_covfun", Role::Metadata),
    ("__llvm_prf_vals", Role::Values),
    ("__llvm_prf_vnds", Role::Values),
];

/// The metadata that a profiling runtime does not need in memory either.
const NEVER_READ_IN_TARGET: [&str; 4] =
    ["__llvm_covdata", "__llvm_covnames", "__llvm_covmap", "__llvm_covfun"];

/// What something costs, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Cost {
    /// Bytes of writable memory in the target.
    pub ram_bytes: u64,
    /// Bytes that the image brings into the target: flash, or what a loader copies.
    pub image_bytes: u64,
    /// Bytes in the ELF only, for which the target does not pay.
    pub file_only_bytes: u64,
}

impl Cost {
    pub(super) fn of(section: &Section<'_>, len_bytes: u64) -> Self {
        let when = |is: bool| if is { len_bytes } else { 0 };
        let is_loaded = section.is_loaded();
        Self {
            ram_bytes: when(is_loaded && section.is_writable()),
            image_bytes: when(is_loaded && !section.is_nobits()),
            file_only_bytes: when(!is_loaded && !section.is_nobits()),
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            ram_bytes: sum.ram_bytes.saturating_add(cost.ram_bytes),
            image_bytes: sum.image_bytes.saturating_add(cost.image_bytes),
            file_only_bytes: sum.file_only_bytes.saturating_add(cost.file_only_bytes),
        })
    }
}

/// A section of the instrumentation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SectionCost {
    /// The name that LLVM gave it; `gcov counters`, `gcov structures` or `gcov file names` of what gcov has, which has
    /// no sections of its own.
    pub name: &'static str,
    /// The output section that it is a part of, where the linker script put it into another one.
    pub within: Option<String>,
    /// What it is for.
    pub role: Role,
    /// Where it is loaded, before any slide; `None` if it is not, or if the ELF does not tell.
    #[serde(serialize_with = "hex_or_null")]
    pub address: Option<ImageAddr>,
    /// Its length.
    pub len_bytes: u64,
    /// What it costs.
    #[serde(flatten)]
    pub cost: Cost,
    /// Whether it is loaded for nothing: a linker script can keep it in the file and out of the target.
    pub can_leave_target: bool,
}

/// The instrumentation's sections; those of one name as one.
pub(super) fn find(image: &Image, has_runtime: bool) -> Vec<SectionCost> {
    SECTIONS
        .iter()
        .filter_map(|(name, role)| by_name(image, name, *role).or_else(|| by_symbols(image, name, *role)))
        .map(|section| SectionCost { can_leave_target: can_leave(&section, has_runtime), ..section })
        .collect()
}

fn can_leave(section: &SectionCost, has_runtime: bool) -> bool {
    let is_needed = has_runtime && !NEVER_READ_IN_TARGET.contains(&section.name);
    section.role == Role::Metadata && section.within.is_none() && section.address.is_some() && !is_needed
}

fn by_name(image: &Image, name: &'static str, role: Role) -> Option<SectionCost> {
    let sections: Vec<Section<'_>> =
        image.sections().filter(|section| section.name() == name && section.len_bytes() > 0).collect();
    let first = sections.first()?;
    Some(SectionCost {
        name,
        within: None,
        role,
        address: first.is_loaded().then(|| first.address()),
        len_bytes: sections.iter().fold(0u64, |sum, section| sum.saturating_add(section.len_bytes())),
        cost: sections.iter().map(|section| Cost::of(section, section.len_bytes())).sum(),
        can_leave_target: false,
    })
}

/// Linker scripts may put the input sections into `.bss` or `.data`, between symbols.
fn by_symbols(image: &Image, name: &'static str, role: Role) -> Option<SectionCost> {
    let start = image.symbol(&format!("__start_{name}"))?.address;
    let stop = image.symbol(&format!("__stop_{name}"))?.address;
    let len_bytes = stop.get().checked_sub(start.get()).filter(|len| *len > 0)?;
    let holds = |section: &Section<'_>| {
        let offset = start.get().checked_sub(section.address().get());
        let end = offset.and_then(|offset| offset.checked_add(len_bytes));
        section.is_loaded() && end.is_some_and(|end| end <= section.len_bytes())
    };
    let section = image.sections().find(holds)?;
    Some(SectionCost {
        name,
        within: Some(section.name().to_owned()),
        role,
        address: Some(start),
        len_bytes,
        cost: Cost::of(&section, len_bytes),
        can_leave_target: false,
    })
}
