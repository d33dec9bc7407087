//! Finds `gcov_info` structures and reads what they point to.
//!
//! ```text
//! gcov_info     u32 version; ptr next; u32 stamp; [u32 checksum]; ptr filename; ptr merge[GCOV_COUNTERS];
//!               u32 n_functions; ptr functions      which is an array of pointers to gcov_fn_info
//! gcov_fn_info  ptr key; u32 ident, lineno_checksum, cfg_checksum; gcov_ctr_info, one for each merge that is not null
//! gcov_ctr_info u32 num; ptr values
//! ```
//!
//! Each field is aligned by its width, a structure by its pointers'. What enters is [`Memory`]; what leaves is
//! [`Draft`]s and what looked like one.
//!
//! What always holds: an object has a known version, or fits the newest layout without exception; its name ends in
//! `.gcda`; one of its functions at least points back to it, or all of them point to objects that were found; its
//! counters are in memory that the program may write. Names and functions that are read come to no more than the file
//! could hold.
//!
//! Source: `libgcc/libgcov.h` and `build_info`, `build_fn_info` in `gcc/coverage.cc`, releases/gcc-14.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{CounterKind, Dialect, Layout, MergeFn, Version};
use super::memory::{Fields, Memory, Place, Pointer};

/// A path is no longer on any host.
const MAX_NAME_BYTES: usize = 4096;

/// What may be read of a small file all the same.
const MIN_BUDGET_BYTES: u64 = 1 << 20;

/// How often a file may be read: functions of C++ that several objects have are pointed to by each.
const MAX_READ: u64 = 4;

/// What an object takes in a file at least.
pub(super) const OBJECT_BYTES: u64 = 128;

/// The width of a counter (`gcov_type`).
pub(super) const COUNTER_BYTES: u64 = 8;

/// An object whose counters have addresses, not yet regions.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) dialect: Dialect,
    pub(super) version: Version,
    pub(super) stamp: u32,
    pub(super) checksum: Option<u32>,
    pub(super) filename: Vec<u8>,
    /// Where what it says of its functions begins, by which copies of the structure are known.
    pub(super) table: u64,
    pub(super) slots: Vec<Slot>,
}

/// What an object has for one function.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// There is no function.
    Null,
    /// Another object has it, the one of that key.
    Lost { key: u64 },
    /// It is the object's own.
    Own(FunctionDraft),
}

#[derive(Clone, Debug)]
pub(super) struct FunctionDraft {
    pub(super) ident: u32,
    pub(super) lineno_checksum: u32,
    pub(super) cfg_checksum: u32,
    pub(super) counters: Vec<CountersDraft>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct CountersDraft {
    pub(super) index: usize,
    pub(super) kind: CounterKind,
    pub(super) merge: MergeFn,
    pub(super) num: u32,
    /// Where they are; nothing to be found there if there are none.
    pub(super) address: u64,
}

/// What looks like an object and does not fit.
#[derive(Clone, Debug)]
pub(super) struct Misfit {
    pub(super) address: u64,
    pub(super) version: Version,
    pub(super) filename: Vec<u8>,
    pub(super) detail: String,
}

/// The structures refer to more than the file can hold.
#[derive(Debug)]
pub(super) struct Exhausted;

/// Everything that was found, by place.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) fitting: Vec<Draft>,
    pub(super) misfits: Vec<Misfit>,
}

/// What one place came to.
#[derive(Debug)]
pub(super) enum Outcome {
    Fits(Draft),
    /// None of its functions is its own, which other objects may explain.
    AllLost(Draft),
    Misfit(String),
}

/// Looks for objects everywhere.
pub(super) fn find(memory: &Memory<'_>) -> Result<Objects, Exhausted> {
    let mut reading = Reading::new(memory);
    let listed = memory.listed().map(Place::loaded);
    let listed = listed.filter_map(|at| Some((at, Version::from_word(memory.u32(at)?)?)));
    for (at, version) in memory.versions().chain(listed) {
        reading.look_at(at, version)?;
        reading.look_at_clangs(at, version)?;
    }
    Ok(reading.finish())
}

/// A search, and how much it may still read.
pub(super) struct Reading<'m, 'a> {
    pub(super) memory: &'m Memory<'a>,
    budget: u64,
    pub(super) seen: BTreeMap<Place, (Misfit, Outcome)>,
}

/// The fields of a `gcov_info`.
struct Info {
    stamp: u32,
    checksum: Option<u32>,
    filename: Vec<u8>,
    active: Vec<(usize, CounterKind, MergeFn)>,
    n_functions: u32,
    functions: Pointer,
}

impl<'m, 'a> Reading<'m, 'a> {
    fn new(memory: &'m Memory<'a>) -> Self {
        let budget = memory.len_bytes().saturating_mul(MAX_READ).max(MIN_BUDGET_BYTES);
        Self { memory, budget, seen: BTreeMap::new() }
    }

    pub(super) fn spend(&mut self, len_bytes: u64) -> Result<(), Exhausted> {
        self.budget = self.budget.checked_sub(len_bytes).ok_or(Exhausted)?;
        Ok(())
    }

    fn look_at(&mut self, at: Place, version: Version) -> Result<(), Exhausted> {
        let Some(layout) = version.layout().filter(|_| !self.seen.contains_key(&at)) else { return Ok(()) };
        let Some(info) = self.info(at, layout)? else { return Ok(()) };
        self.spend(OBJECT_BYTES)?;
        let misfit =
            Misfit { address: at.address(), version, filename: info.filename.clone(), detail: String::new() };
        let outcome = match self.slots(at, &info)? {
            Err(detail) => Outcome::Misfit(detail),
            Ok(slots) => {
                let has_own = slots.iter().any(|slot| matches!(slot, Slot::Own(_)));
                let Info { stamp, checksum, filename, functions, .. } = info;
                let (dialect, table) = (Dialect::Gcc, functions.address().unwrap_or(0));
                let draft = Draft { dialect, version, stamp, checksum, filename, table, slots };
                if has_own { Outcome::Fits(draft) } else { Outcome::AllLost(draft) }
            }
        };
        self.seen.insert(at, (misfit, outcome));
        Ok(())
    }

    /// The structure's own fields; `None` if it has none of them or no name of a file.
    fn info(&mut self, at: Place, layout: &Layout) -> Result<Option<Info>, Exhausted> {
        let mut fields = Fields::new(self.memory, at);
        let head = (|| {
            let (_version, _next, stamp) = (fields.u32()?, fields.pointer()?, fields.u32()?);
            let checksum = if layout.has_checksum { Some(fields.u32()?) } else { None };
            Some((stamp, checksum, fields.pointer()?.address()?))
        })();
        let Some((stamp, checksum, name)) = head else { return Ok(None) };
        let Some(filename) = self.filename(name)? else { return Ok(None) };
        let mut active = Vec::new();
        for (index, (kind, merge)) in layout.counters.iter().enumerate() {
            match fields.pointer() {
                Some(Pointer::Null) => {}
                Some(_) => active.push((index, *kind, *merge)),
                None => return Ok(None),
            }
        }
        let tail = fields.u32().zip(fields.pointer());
        Ok(tail.map(|(n_functions, functions)| Info {
            stamp,
            checksum,
            filename,
            active,
            n_functions,
            functions,
        }))
    }

    pub(super) fn filename(&mut self, address: u64) -> Result<Option<Vec<u8>>, Exhausted> {
        let rest = self.memory.rest(Place::loaded(address));
        let name = rest.iter().take(MAX_NAME_BYTES).position(|byte| *byte == 0);
        let looked_at = name.unwrap_or_else(|| rest.len().min(MAX_NAME_BYTES));
        self.spend(looked_at as u64)?;
        let name = name.and_then(|len| rest.get(..len));
        let name = name.filter(|name| name.len() > b".gcda".len() && name.ends_with(b".gcda"));
        Ok(name.map(<[u8]>::to_vec))
    }

    /// What the object has for each function, or why it is none.
    fn slots(&mut self, at: Place, info: &Info) -> Result<Result<Vec<Slot>, String>, Exhausted> {
        if info.active.is_empty() {
            return Ok(Err("no kind of counter has a merge function".to_owned()));
        }
        let Some(array) = info.functions.address().filter(|_| info.n_functions > 0) else {
            return Ok(Err(format!("{} functions at {:?}", info.n_functions, info.functions)));
        };
        let len = u64::from(info.n_functions).saturating_mul(self.memory.pointer_bytes());
        let fits = |place: &Place| self.memory.rest(*place).len() as u64 >= len;
        let arrays: Vec<Place> = self.memory.places(array).filter(fits).collect();
        let mut detail = format!("its {} functions, at {array:#x}, are not in the file", info.n_functions);
        let mut all_lost = None;
        for array in arrays {
            match self.slots_of(at, info, array)? {
                Ok(slots) if slots.iter().any(|slot| matches!(slot, Slot::Own(_))) => return Ok(Ok(slots)),
                Ok(slots) => all_lost = all_lost.or(Some(slots)),
                Err(error) => detail = error,
            }
        }
        Ok(all_lost.ok_or(detail))
    }

    /// Garbage, which ends with the first slot, takes no more than that of what may be read.
    fn slots_of(
        &mut self,
        at: Place,
        info: &Info,
        array: Place,
    ) -> Result<Result<Vec<Slot>, String>, Exhausted> {
        // A slot, and what is kept of it.
        let each = (info.active.len() as u64).saturating_add(2).saturating_mul(8);
        let step = self.memory.pointer_bytes();
        let mut slots = Vec::new();
        for index in 0..u64::from(info.n_functions) {
            self.spend(each)?;
            let slot = array.after(index.saturating_mul(step)).and_then(|place| self.memory.pointer(place));
            let slot = match slot {
                Some(Pointer::Null) => Ok(Slot::Null),
                Some(Pointer::To(address)) => self.slot(at, info, address),
                Some(Pointer::Elsewhere) | None => Err("it is not in the image".to_owned()),
            };
            match slot {
                Ok(slot) => slots.push(slot),
                Err(detail) => return Ok(Err(format!("function {index}: {detail}"))),
            }
        }
        Ok(Ok(slots))
    }

    fn slot(&self, at: Place, info: &Info, address: u64) -> Result<Slot, String> {
        let mut lost = None;
        for place in self.memory.places(address) {
            let mut fields = Fields::new(self.memory, place);
            match fields.pointer().and_then(Pointer::address) {
                Some(key) if key == at.address() => return self.function(fields, info).map(Slot::Own),
                Some(key) => lost = lost.or(Some(Slot::Lost { key })),
                None => {}
            }
        }
        lost.ok_or_else(|| format!("there is no gcov_fn_info at {address:#x}"))
    }

    /// What follows the key.
    fn function(&self, mut fields: Fields<'_, '_>, info: &Info) -> Result<FunctionDraft, String> {
        let cut = || "its gcov_fn_info is cut off".to_owned();
        let mut word = || fields.u32().ok_or_else(cut);
        let (ident, lineno_checksum, cfg_checksum) = (word()?, word()?, word()?);
        let counters = info.active.iter().map(|(index, kind, merge)| {
            fields.align().ok_or_else(cut)?;
            let (num, values) = fields.u32().zip(fields.pointer()).ok_or_else(cut)?;
            let address = values.address().unwrap_or(0);
            let counters = CountersDraft { index: *index, kind: *kind, merge: *merge, num, address };
            counters.checked(self.memory)
        });
        let counters = counters.collect::<Result<_, _>>()?;
        Ok(FunctionDraft { ident, lineno_checksum, cfg_checksum, counters })
    }

    /// Leaves out what start-up code copied and is there twice. Of GCC's structures those that nothing points back to
    /// are the ones that are not used; clang's are constant, and alike.
    fn drop_copies(&mut self) {
        let table = |(_, outcome): &(Misfit, Outcome)| match outcome {
            Outcome::Fits(draft) if draft.dialect == Dialect::Gcc => Some(draft.table),
            _ => None,
        };
        let mut tables: BTreeSet<u64> = self.seen.values().filter_map(table).collect();
        self.seen.retain(|_, (_, outcome)| match outcome {
            Outcome::Fits(draft) => draft.dialect == Dialect::Gcc || tables.insert(draft.table),
            Outcome::AllLost(draft) => !draft.has_functions() || tables.insert(draft.table),
            Outcome::Misfit(_) => true,
        });
    }

    /// Decides about objects that only others explain.
    fn finish(mut self) -> Objects {
        self.drop_copies();
        let fitting = self.seen.iter().filter(|(_, (_, outcome))| matches!(outcome, Outcome::Fits(_)));
        let keys: BTreeSet<u64> = fitting.map(|(at, _)| at.address()).collect();
        let mut found = Objects::default();
        for (misfit, outcome) in self.seen.into_values() {
            let detail = match outcome {
                Outcome::Misfit(detail) => detail,
                // Of a version that is known, what a function lost to is not looked at twice.
                Outcome::Fits(draft) if draft.version.is_known() || draft.is_explained(&keys) => {
                    found.fitting.push(draft);
                    continue;
                }
                Outcome::AllLost(draft) if draft.has_functions() && draft.is_explained(&keys) => {
                    found.fitting.push(draft);
                    continue;
                }
                Outcome::Fits(_) => "functions belong to objects that are not there".to_owned(),
                Outcome::AllLost(_) => "none of its functions points back to it".to_owned(),
            };
            found.misfits.push(Misfit { detail, ..misfit });
        }
        found
    }
}

impl CountersDraft {
    /// These counters, if they are in memory that the program may write.
    pub(super) fn checked(self, memory: &Memory<'_>) -> Result<Self, String> {
        let Self { kind, num, address, .. } = self;
        let len_bytes = u64::from(num).saturating_mul(COUNTER_BYTES);
        if num > 0 && !(memory.is_writable(address, len_bytes) && address.is_multiple_of(4)) {
            return Err(format!("its {num} counters {kind:?} at {address:#x} are no writable memory"));
        }
        Ok(self)
    }
}

impl Draft {
    /// Whether each function that is another object's is of one that was found.
    fn is_explained(&self, keys: &BTreeSet<u64>) -> bool {
        self.slots.iter().all(|slot| !matches!(slot, Slot::Lost { key } if !keys.contains(key)))
    }

    fn has_functions(&self) -> bool {
        self.slots.iter().any(|slot| !matches!(slot, Slot::Null))
    }
}
