//! A profile's counts, ready to be looked up by function.
//!
//! What enters is the functions of a profile, from a target or from disk; what leaves is the counts of one function of
//! the mapping. What always holds: counts of one function in several units are added up, as `llvm-profdata merge` adds
//! them.

use std::borrow::Cow;

use super::mapping::MappedFunction;
use crate::locate::llvm::{NameRef, Variant};
use crate::profile::StoredProfile;
use crate::profile::llvm::{Function, LlvmProfile};

/// A profile by function.
#[derive(Clone, Default, Debug)]
pub struct Counts<'a> {
    /// By name and hash, each once. Sorted, which no choice of names makes slow.
    functions: Vec<((NameRef, u64), FunctionCounts<'a>)>,
    /// Counts of 1 say only that the code ran, not how often.
    pub(super) is_byte_coverage: bool,
}

/// The counts of one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FunctionCounts<'a> {
    /// Its counters.
    pub(super) counters: Cow<'a, [u64]>,
    /// Its MC/DC bitmap; empty where it has none.
    pub(super) bitmap: Cow<'a, [u8]>,
}

/// The function's hash is not among those of its name.
pub(super) struct OtherHash;

impl<'a> Counts<'a> {
    fn new(functions: impl Iterator<Item = Function<'a>>, is_byte_coverage: bool) -> Self {
        let counts = |function: Function<'a>| {
            let (counters, bitmap) = (Cow::Borrowed(function.counts), Cow::Borrowed(function.bitmap));
            ((function.name_ref, function.func_hash), FunctionCounts { counters, bitmap })
        };
        let mut functions: Vec<_> = functions.map(counts).collect();
        functions.sort_by_key(|(key, _)| *key);
        functions.dedup_by(|(next, added), (kept, sum)| {
            let is_same = next == kept;
            if is_same {
                sum.add(added);
            }
            is_same
        });
        Self { functions, is_byte_coverage }
    }

    /// The function's counts; `None` if the profile does not know its name.
    pub(super) fn of(&self, function: &MappedFunction<'_>) -> Result<Option<&FunctionCounts<'a>>, OtherHash> {
        let key = (function.name_ref, function.func_hash);
        let index = match self.functions.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(index) => return Ok(self.functions.get(index).map(|(_, counts)| counts)),
            Err(index) => index,
        };
        // Others of the name would be right before or behind.
        let near = self.functions.get(index.saturating_sub(1)..).unwrap_or_default().iter().take(2);
        let is_known = near.into_iter().any(|((name_ref, _), _)| *name_ref == function.name_ref);
        if is_known { Err(OtherHash) } else { Ok(None) }
    }
}

impl FunctionCounts<'_> {
    fn add(&mut self, added: &Self) {
        for (sum, count) in self.counters.to_mut().iter_mut().zip(&*added.counters) {
            *sum = sum.saturating_add(*count);
        }
        for (sum, bits) in self.bitmap.to_mut().iter_mut().zip(&*added.bitmap) {
            *sum |= bits;
        }
    }
}

impl<'a> From<&'a LlvmProfile> for Counts<'a> {
    fn from(profile: &'a LlvmProfile) -> Self {
        Self::new(profile.functions(), profile.is_byte_coverage())
    }
}

/// The sum of what several programs of one target counted.
impl<'a> From<&'a [LlvmProfile]> for Counts<'a> {
    fn from(profiles: &'a [LlvmProfile]) -> Self {
        let is_byte_coverage = profiles.iter().any(LlvmProfile::is_byte_coverage);
        Self::new(profiles.iter().flat_map(LlvmProfile::functions), is_byte_coverage)
    }
}

impl<'a> From<&'a StoredProfile> for Counts<'a> {
    fn from(profile: &'a StoredProfile) -> Self {
        let is_byte_coverage = profile.variant().contains(Variant::BYTE_COVERAGE);
        Self::new(profile.functions().map(|(_, function)| function), is_byte_coverage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function<'a>(name: &[u8], func_hash: u64, counts: &'a [u64], bitmap: &'a [u8]) -> Function<'a> {
        Function { name_ref: NameRef::of(name), func_hash, counts, bitmap }
    }

    fn mapped(name: &[u8], func_hash: u64) -> MappedFunction<'_> {
        let (files, expressions, regions) = Default::default();
        MappedFunction { name_ref: NameRef::of(name), name, func_hash, files, expressions, regions }
    }

    #[test]
    fn a_function_is_found_by_name_and_hash_and_summed() {
        let functions = [
            function(b"f", 7, &[1, 2], &[1]),
            function(b"g", 1, &[5], &[]),
            function(b"f", 3, &[9], &[]),
            function(b"f", 7, &[10, u64::MAX], &[4]),
        ];
        let counts = Counts::new(functions.into_iter(), false);
        let of = |name, func_hash| {
            let found = counts.of(&mapped(name, func_hash));
            found.map(|counts| counts.map(|counts| (counts.counters.to_vec(), counts.bitmap.to_vec())))
        };
        assert!(matches!(of(b"f", 7), Ok(Some(sum)) if sum == (vec![11, u64::MAX], vec![5])));
        assert!(matches!(of(b"f", 3), Ok(Some(first)) if first == (vec![9], vec![])));
        for other in [0, 5, u64::MAX] {
            assert!(of(b"f", other).is_err() && of(b"g", other).is_err());
            assert!(matches!(of(b"h", other), Ok(None)));
        }
    }
}
