//! A profile as it is on disk, without the image that it is of, and LLVM's rules for adding profiles up.
//!
//! What enters is functions with their counts, one at a time or a whole profile; what leaves is one entry for each
//! name and hash, by name and then by hash, which is LLVM's order, and a list of what did not fit together.
//!
//! What always holds: every function has a counter; what could not be added up is in
//! [`conflicts`](StoredProfile::conflicts).
//!
//! Source: `InstrProfRecord::merge` in `llvm/lib/ProfileData/InstrProf.cpp`, `InstrProfWriter::addRecord` and
//! `mergeProfileKind` in `InstrProfWriter.{h,cpp}`, llvmorg-19.1.7.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::llvm::Function;
use crate::locate::llvm::{NameRef, Variant};

/// The largest sum of a counter; the two numbers above it are marks (`getInstrMaxCountValue`).
const MAX_SUM: u64 = u64::MAX - 2;

/// The counts of functions that are known by name.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StoredProfile {
    variant: Variant,
    functions: BTreeMap<Arc<[u8]>, Named>,
    conflicts: Vec<Conflict>,
    value_sites: u64,
    left_out: BTreeSet<&'static str>,
}

/// What profiles may record beside counts, and the bits that say so.
const BESIDE: [(Variant, &str); 2] =
    [(Variant::TEMPORAL, "temporal profile traces"), (Variant::MEMORY, "memory profiles")];

/// The functions of one name; several where programs differ. The one of the lowest hash is here, because nearly
/// always it is the only one, and a map of its own for each would be larger than most functions' counts.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Named {
    name_ref: NameRef,
    lowest: u64,
    counts: Counts,
    others: BTreeMap<u64, Counts>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Counts {
    counts: Box<[u64]>,
    bitmap: Box<[u8]>,
}

/// A function of which not everything could be added up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// Profiles of different builds: the control flow is another one. Both functions are kept.
    #[error("{}: func_hash {func_hash} here, {earlier} before; both are kept", shown(name))]
    Hash {
        /// The function's name.
        name: Arc<[u8]>,
        /// The hash that was added.
        func_hash: u64,
        /// The lowest hash that was there already.
        earlier: u64,
    },
    /// The numbers of counters differ. The first function is kept.
    #[error(
        "{} (func_hash {func_hash}): {found} counters here, {expected} before; these are left out",
        shown(name)
    )]
    NumCounters {
        /// The function's name.
        name: Arc<[u8]>,
        /// Its hash.
        func_hash: u64,
        /// How many counters it has so far.
        expected: usize,
        /// How many were to be added.
        found: usize,
    },
    /// The lengths of the bitmaps differ. The counts are added, the first bitmap is kept.
    #[error(
        "{} (func_hash {func_hash}): {found} bitmap bytes here, {expected} before; these are left out",
        shown(name)
    )]
    NumBitmapBytes {
        /// The function's name.
        name: Arc<[u8]>,
        /// Its hash.
        func_hash: u64,
        /// How many bytes its bitmap has so far.
        expected: usize,
        /// How many were to be added.
        found: usize,
    },
    /// One of the two has a mark ("hot", "warm") for its first count, the other one counts.
    #[error("{} (func_hash {func_hash}): pseudo counts meet counts; these are left out", shown(name))]
    PseudoCount {
        /// The function's name.
        name: Arc<[u8]>,
        /// Its hash.
        func_hash: u64,
    },
    /// A sum is larger than a counter. The largest count stands for it.
    #[error("{} (func_hash {func_hash}): counter overflow", shown(name))]
    Overflow {
        /// The function's name.
        name: Arc<[u8]>,
        /// Its hash.
        func_hash: u64,
    },
}

/// A name as one line of text.
pub(crate) fn shown(name: &[u8]) -> String {
    let is_plain = |c: &char| !c.is_control();
    match String::from_utf8_lossy(name) {
        Cow::Borrowed(text) if text.chars().all(|c| is_plain(&c)) => text.to_owned(),
        _ => name.escape_ascii().to_string(),
    }
}

/// Profiles that do not mean the same by a count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("merge: one profile has {had}, the other {found}")]
pub struct MergeError {
    /// What the profiles so far have.
    pub had: &'static str,
    /// What this one has.
    pub found: &'static str,
}

/// What two profiles must agree on: the bits, what a profile with them has, and what one without.
const AGREED: [(Variant, &str, &str); 3] = [
    (Variant::BYTE_COVERAGE, "byte counters", "counts"),
    (Variant::IR_LEVEL, "IR-level counters", "front-end counters"),
    (Variant::FUNCTION_ENTRY_ONLY, "function entries only", "all counters"),
];

impl StoredProfile {
    /// A profile without functions yet. Correlation is no property of a profile that has its names, and what is
    /// recorded beside counts is left out.
    #[must_use]
    pub fn new(variant: Variant) -> Self {
        let beside = BESIDE.iter().fold(Variant::CORRELATE, |bits, (bit, _)| bits.with(*bit));
        let left_out =
            BESIDE.iter().filter(|(bit, _)| variant.contains(*bit)).map(|(_, what)| *what).collect();
        Self { variant: variant.without(beside), left_out, ..Self::default() }
    }

    /// The bits of the version word above the version's number.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// The functions with their names, mangled and with a `file:` or `file;` prefix where they are local.
    pub fn functions(&self) -> impl Iterator<Item = (&[u8], Function<'_>)> {
        self.functions.iter().flat_map(|(name, named)| {
            named.by_hash().map(move |(func_hash, counts)| {
                let name_ref = named.name_ref;
                (&**name, Function { name_ref, func_hash, counts: &counts.counts, bitmap: &counts.bitmap })
            })
        })
    }

    /// What did not fit together, in the order in which it was found.
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// How many value profiling sites (call targets, sizes) were left out.
    #[must_use]
    pub fn value_sites_left_out(&self) -> u64 {
        self.value_sites
    }

    /// What else was left out, beside value profiling sites.
    pub fn left_out(&self) -> impl Iterator<Item = &'static str> {
        self.left_out.iter().copied()
    }

    /// Notes value profiling sites that are left out.
    pub(super) fn leave_out_value_sites(&mut self, count: u64) {
        self.value_sites = self.value_sites.saturating_add(count);
    }

    /// Adds a function to those that are there. Another hash than before is no conflict here: one program may
    /// have several functions of a name. A function without counters is none, and is left out.
    pub(super) fn add(&mut self, name: &[u8], func_hash: u64, counts: Vec<u64>, bitmap: Vec<u8>) {
        self.add_known(name, NameRef::of(name), func_hash, counts, bitmap);
    }

    /// As [`add`](Self::add), where the reference to the name is known.
    pub(super) fn add_known(
        &mut self,
        name: &[u8],
        name_ref: NameRef,
        func_hash: u64,
        counts: Vec<u64>,
        bitmap: Vec<u8>,
    ) {
        if counts.is_empty() {
            return;
        }
        let added = Counts { counts: counts.into(), bitmap: bitmap.into() };
        match self.functions.entry(name.into()) {
            Entry::Occupied(entry) => {
                let name = Arc::clone(entry.key());
                self.add_to_named(&name, func_hash, added);
            }
            Entry::Vacant(entry) => {
                entry.insert(Named { name_ref, lowest: func_hash, counts: added, others: BTreeMap::new() });
            }
        }
    }

    fn add_to_named(&mut self, name: &Arc<[u8]>, func_hash: u64, added: Counts) {
        let Some(named) = self.functions.get_mut(name) else { return };
        if let Some(sum) = named.get_mut(func_hash) {
            sum.add(&added, name, func_hash, &mut self.conflicts);
        } else if func_hash < named.lowest {
            let other = std::mem::replace(&mut named.counts, added);
            named.others.insert(std::mem::replace(&mut named.lowest, func_hash), other);
        } else {
            named.others.insert(func_hash, added);
        }
    }

    /// Adds a profile of another run. What does not fit is in [`conflicts`](Self::conflicts) afterwards.
    ///
    /// # Errors
    ///
    /// The two do not mean the same by a count; nothing has changed then.
    pub fn merge(&mut self, other: Self) -> Result<(), MergeError> {
        for (bit, with, without) in AGREED {
            let name = |variant: Variant| if variant.contains(bit) { with } else { without };
            let (had, found) = (name(self.variant), name(other.variant));
            if had != found {
                return Err(MergeError { had, found });
            }
        }
        self.variant = self.variant.with(other.variant);
        self.leave_out_value_sites(other.value_sites);
        self.left_out.extend(other.left_out);
        self.conflicts.extend(other.conflicts);
        for (name, named) in other.functions {
            let Some(sum) = self.functions.get(&name) else {
                self.functions.insert(name, named);
                continue;
            };
            self.conflicts.extend(sum.other_hashes(&name, &named));
            self.add_to_named(&name, named.lowest, named.counts);
            for (func_hash, counts) in named.others {
                self.add_to_named(&name, func_hash, counts);
            }
        }
        Ok(())
    }
}

impl Named {
    /// The functions, by hash.
    fn by_hash(&self) -> impl Iterator<Item = (u64, &Counts)> {
        let others = self.others.iter().map(|(hash, counts)| (*hash, counts));
        std::iter::once((self.lowest, &self.counts)).chain(others)
    }

    /// The hashes that are in `added` and not here.
    fn other_hashes(&self, name: &Arc<[u8]>, added: &Self) -> Vec<Conflict> {
        let new = added.by_hash().filter(|(hash, _)| self.get(*hash).is_none());
        let conflict = |func_hash| Conflict::Hash { name: Arc::clone(name), func_hash, earlier: self.lowest };
        new.map(|(func_hash, _)| conflict(func_hash)).collect()
    }

    fn get(&self, func_hash: u64) -> Option<&Counts> {
        if func_hash == self.lowest { Some(&self.counts) } else { self.others.get(&func_hash) }
    }

    fn get_mut(&mut self, func_hash: u64) -> Option<&mut Counts> {
        if func_hash == self.lowest { Some(&mut self.counts) } else { self.others.get_mut(&func_hash) }
    }
}

impl Counts {
    fn add(&mut self, other: &Self, name: &Arc<[u8]>, func_hash: u64, conflicts: &mut Vec<Conflict>) {
        let (expected, found) = (self.counts.len(), other.counts.len());
        if expected != found {
            let name = Arc::clone(name);
            return conflicts.push(Conflict::NumCounters { name, func_hash, expected, found });
        }
        match (self.pseudo(), other.pseudo()) {
            (None, None) => {}
            (Some(this), Some(that)) => {
                // "Hot" is the higher mark and wins.
                if let Some(first) = self.counts.first_mut() {
                    *first = this.max(that);
                }
                return;
            }
            _ => return conflicts.push(Conflict::PseudoCount { name: Arc::clone(name), func_hash }),
        }
        let mut is_overflow = false;
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            let whole = sum.checked_add(*count).filter(|sum| *sum <= MAX_SUM);
            is_overflow |= whole.is_none();
            *sum = whole.unwrap_or(MAX_SUM);
        }
        if is_overflow {
            conflicts.push(Conflict::Overflow { name: Arc::clone(name), func_hash });
        }
        let (expected, found) = (self.bitmap.len(), other.bitmap.len());
        if expected != found {
            let name = Arc::clone(name);
            return conflicts.push(Conflict::NumBitmapBytes { name, func_hash, expected, found });
        }
        self.bitmap.iter_mut().zip(&other.bitmap).for_each(|(sum, byte)| *sum |= byte);
    }

    /// The mark that stands for counts, in profiles that were supplemented.
    fn pseudo(&self) -> Option<u64> {
        self.counts.first().copied().filter(|first| *first > MAX_SUM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(variant: Variant, functions: &[(&str, u64, &[u64], &[u8])]) -> StoredProfile {
        let mut profile = StoredProfile::new(variant);
        for (name, hash, counts, bitmap) in functions {
            profile.add(name.as_bytes(), *hash, counts.to_vec(), bitmap.to_vec());
        }
        profile
    }

    fn merged(a: &[(&str, u64, &[u64], &[u8])], b: &[(&str, u64, &[u64], &[u8])]) -> StoredProfile {
        let mut sum = profile(Variant::default(), a);
        sum.merge(profile(Variant::default(), b)).unwrap();
        sum
    }

    #[test]
    fn counts_add_up_and_bitmaps_are_united() {
        let sum = merged(&[("f", 1, &[1, 2], &[0b01])], &[("f", 1, &[10, 20], &[0b10]), ("e", 2, &[3], &[])]);
        assert_eq!(sum, profile(Variant::default(), &[("e", 2, &[3], &[]), ("f", 1, &[11, 22], &[0b11])]));
    }

    #[test]
    fn what_does_not_fit_is_reported_and_not_added() {
        let sum = merged(
            &[("a", 1, &[1], &[]), ("b", 1, &[1, 2], &[]), ("c", 1, &[1], &[1]), ("d", 1, &[MAX_SUM], &[])],
            &[("a", 2, &[5], &[]), ("b", 1, &[1], &[]), ("c", 1, &[1], &[1, 2]), ("d", 1, &[1], &[])],
        );
        let said: Vec<String> = sum.conflicts().iter().map(Conflict::to_string).collect();
        assert_eq!(
            said,
            [
                "a: func_hash 2 here, 1 before; both are kept",
                "b (func_hash 1): 1 counters here, 2 before; these are left out",
                "c (func_hash 1): 2 bitmap bytes here, 1 before; these are left out",
                "d (func_hash 1): counter overflow",
            ]
        );
        let counts: Vec<_> = sum.functions().map(|(_, function)| function.counts.to_vec()).collect();
        assert_eq!(counts, [vec![1], vec![5], vec![1, 2], vec![2], vec![MAX_SUM]]);
    }

    #[test]
    fn byte_counters_and_counts_are_not_merged() {
        let mut bytes = profile(Variant::BYTE_COVERAGE, &[("f", 1, &[1], &[])]);
        let before = bytes.clone();
        let error = bytes.merge(profile(Variant::default(), &[("f", 1, &[1], &[])])).unwrap_err();
        assert_eq!(error.to_string(), "merge: one profile has byte counters, the other counts");
        assert_eq!(bytes, before);
        let error = profile(Variant::IR_LEVEL, &[]).merge(StoredProfile::default()).unwrap_err();
        assert_eq!(error.found, "front-end counters");
    }

    #[test]
    fn marks_are_not_counts() {
        let sum = merged(&[("f", 1, &[u64::MAX - 1], &[])], &[("f", 1, &[u64::MAX], &[])]);
        assert_eq!(sum.functions().next().unwrap().1.counts, [u64::MAX]);
        let sum = merged(&[("f", 1, &[u64::MAX], &[])], &[("f", 1, &[4], &[])]);
        assert!(matches!(sum.conflicts(), [Conflict::PseudoCount { .. }]));
    }
}
