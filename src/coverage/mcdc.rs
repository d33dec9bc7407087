//! Modified condition/decision coverage: which conditions were shown to decide a decision by themselves.
//!
//! What enters is a function's decisions and conditions, and its bitmap, in which each bit stands for a test vector:
//! one way through the conditions of a decision. What leaves is a [`McdcRecord`] for each decision. There are two
//! meanings of a bit, which the mapping and the length of the bitmap tell apart (see [`Meaning`]):
//!
//! | LLVM | `bitmap_index` | a vector's bit |
//! |---|---|---|
//! | 18 | the decision's first byte | the mask of the conditions that are true, by number |
//! | 19 and later | the bit behind the decision's last | the sum of the offsets of the edges on its way |
//!
//! What always holds: conditions of a record are numbered without gaps, and lead on to each other without circles;
//! all work is bounded by [`MAX_STEPS`]; what is beyond that, or does not fit together, has no record and is said.
//! Source: `MCDCDecisionRecorder`, `TVIdxBuilder` and `MCDCRecordProcessor` in
//! `llvm/lib/ProfileData/Coverage/CoverageMapping.cpp`, llvmorg-19.1.7, and the last of them in llvmorg-18.1.8.

mod decisions;
mod vectors;

use super::mapping::{LineCol, MappedFunction, RegionKind};

/// How much work a function may be: the conditions looked at, in decisions, on ways and in pairs of vectors.
const MAX_STEPS: u64 = 1 << 24;

/// A decision and what is known of its conditions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct McdcRecord {
    /// Where the decision begins.
    pub start: LineCol,
    /// Where it ends: behind its last column.
    pub end: LineCol,
    /// Index into [`FunctionCoverage::files`](super::FunctionCoverage::files).
    pub file: u32,
    /// Its conditions: the first one that is looked at, then the others in the order of the mapping.
    pub conditions: Vec<McdcCondition>,
    /// What was executed: vectors with the result false, then those with the result true.
    pub vectors: Vec<TestVector>,
}

/// A condition of a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct McdcCondition {
    /// Where it begins.
    pub start: LineCol,
    /// Where it ends: behind its last column.
    pub end: LineCol,
    /// Index into [`FunctionCoverage::files`](super::FunctionCoverage::files): the decision's, or that of an
    /// expansion in it.
    pub file: u32,
    /// The compiler knew its outcome: it is not counted.
    pub is_folded: bool,
    /// The executed vectors that show that it decides, as indices into [`McdcRecord::vectors`]: one with the
    /// result false and one with the result true that differ in this condition alone, not regarding those that
    /// were not looked at.
    pub pair: Option<(usize, usize)>,
}

/// The values of the conditions in one execution of a decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestVector {
    /// In the order of [`McdcRecord::conditions`]; `None` for one that was not looked at.
    pub values: Vec<Option<bool>>,
    /// What the decision came to.
    pub result: bool,
}

/// What the bits of a function's bitmap stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meaning {
    /// A mask of conditions, as LLVM 18 has it.
    Mask,
    /// A way through the conditions, as LLVM 19 and later have it.
    Way,
}

/// Steps that are left.
struct Budget(u64);

impl Budget {
    fn take(&mut self, steps: usize) -> Result<(), String> {
        let left = u64::try_from(steps).ok().and_then(|steps| self.0.checked_sub(steps));
        self.0 = left.ok_or("its decisions have more conditions and test vectors than is plausible")?;
        Ok(())
    }
}

/// A function's records, and why decisions have none; `bitmap` is `None` for a function that has no counts.
pub(super) fn records(mapped: &MappedFunction<'_>, bitmap: Option<&[u8]>) -> (Vec<McdcRecord>, Vec<String>) {
    let mut budget = Budget(MAX_STEPS);
    let (decisions, mut faults) = decisions::collect(&mapped.regions, &mut budget);
    let meaning = bitmap.map(|bitmap| (bitmap, Meaning::of(mapped, bitmap.len())));
    let mut records = Vec::new();
    for decision in &decisions {
        let bits = match meaning {
            None => Ok(None),
            Some((bitmap, Some(meaning))) => Ok(Some((bitmap, meaning))),
            Some((bitmap, None)) => Err(format!("{} bytes of bitmap fit no LLVM's decisions", bitmap.len())),
        };
        match bits.and_then(|bits| vectors::record(decision, bits, &mut budget)) {
            Ok(record) => records.push(record),
            Err(fault) => {
                let LineCol { line, col } = decision.region.start;
                faults.push(format!("the decision at {line}:{col}: {fault}"));
            }
        }
    }
    (records, faults)
}

impl Meaning {
    /// What the bits of a bitmap of so many bytes stand for. LLVM 18 allots at least a byte behind the last index, 19
    /// none, so that no length fits both.
    fn of(mapped: &MappedFunction<'_>, bitmap_bytes: usize) -> Option<Self> {
        let (mut by_mask, mut by_way) = (0u64, 0u64);
        for region in &mapped.regions {
            let RegionKind::McdcDecision { bitmap_index: index, num_conditions } = region.kind else {
                continue;
            };
            let mask_bits = 1u64.checked_shl(u32::from(num_conditions)).unwrap_or(u64::MAX);
            by_mask = by_mask.max(u64::from(index).saturating_add(mask_bits.div_ceil(8)));
            by_way = by_way.max(u64::from(index).div_ceil(8));
        }
        let bitmap_bytes = u64::try_from(bitmap_bytes).unwrap_or(u64::MAX);
        if bitmap_bytes == by_mask {
            return Some(Self::Mask);
        }
        // A decision that was left out of the mapping, as those in system headers are, has bits all the same.
        (by_way <= bitmap_bytes && bitmap_bytes < by_mask).then_some(Self::Way)
    }
}

#[cfg(test)]
mod tests;
