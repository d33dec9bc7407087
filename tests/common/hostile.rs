//! Damage done to files, for readers to read or refuse.

use std::sync::{Mutex, Once};

use proptest::prelude::*;
use proptest::sample::Index;

pub(crate) const MIB: usize = 1 << 20;

/// Held by each test of a file, so that the limit of its allocator is one test's alone.
static ALONE: Mutex<()> = Mutex::new(());

/// Has a test that fails say so. A backtrace takes more memory than a test may have, and one for which there is none never ends.
pub(crate) fn without_backtraces() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
}

pub(crate) fn alone() -> impl Drop {
    without_backtraces();
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Bytes that are written over others, and a cut, in any file.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    changes: Vec<(Index, u64, usize)>,
    cut: Option<Index>,
}

pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    let changes = prop::collection::vec((any::<Index>(), any::<u64>(), 0usize..9), 1..6);
    let cut = prop::option::weighted(0.2, any::<Index>());
    (changes, cut).prop_map(|(changes, cut)| Damage { changes, cut })
}

impl Damage {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        for (at, value, len) in &self.changes {
            let at = at.index(bytes.len());
            put(bytes, at, *len, *value);
        }
        bytes.truncate(self.cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
    }
}

/// Writes a value's first `len` bytes, as far as the file goes.
pub(crate) fn put(bytes: &mut [u8], at: usize, len: usize, value: u64) {
    bytes[at..].iter_mut().zip(value.to_le_bytes()).take(len).for_each(|(to, from)| *to = from);
}
