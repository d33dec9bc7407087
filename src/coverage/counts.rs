//! A profile's counts, ready to be looked up by function.
//!
//! What enters is the functions of a profile, from a target or from disk; what leaves is the counts of one function of
//! the mapping. What always holds: counts of one function in several units are added up, as `llvm-profdata merge` adds
//! them.

use std::borrow::Cow;
use std::collections::HashMap;

use super::mapping::MappedFunction;
use crate::locate::llvm::{NameRef, Variant};
use crate::profile::StoredProfile;
use crate::profile::llvm::{Function, LlvmProfile};

/// The counts of one name, by hash.
type ByHash<'a> = Vec<(u64, FunctionCounts<'a>)>;

/// A profile by function.
#[derive(Clone, Default, Debug)]
pub struct Counts<'a> {
    by_name: HashMap<NameRef, ByHash<'a>>,
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
        let mut counts = Self { by_name: HashMap::new(), is_byte_coverage };
        functions.for_each(|function| counts.add(&function));
        counts
    }

    fn add(&mut self, function: &Function<'a>) {
        let of_name = self.by_name.entry(function.name_ref).or_default();
        let Some((_, sum)) = of_name.iter_mut().find(|(hash, _)| *hash == function.func_hash) else {
            let (counters, bitmap) = (Cow::Borrowed(function.counts), Cow::Borrowed(function.bitmap));
            of_name.push((function.func_hash, FunctionCounts { counters, bitmap }));
            return;
        };
        for (sum, count) in sum.counters.to_mut().iter_mut().zip(function.counts) {
            *sum = sum.saturating_add(*count);
        }
        for (sum, bits) in sum.bitmap.to_mut().iter_mut().zip(function.bitmap) {
            *sum |= bits;
        }
    }

    /// The function's counts; `None` if the profile does not know its name.
    pub(super) fn of(&self, function: &MappedFunction) -> Result<Option<&FunctionCounts<'a>>, OtherHash> {
        let Some(of_name) = self.by_name.get(&function.name_ref) else { return Ok(None) };
        let counts = of_name.iter().find(|(hash, _)| *hash == function.func_hash);
        counts.map(|(_, counts)| Some(counts)).ok_or(OtherHash)
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
