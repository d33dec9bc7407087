//! Calls as the guest counts them itself: what coverage counters are compared with.

use core::sync::atomic::{AtomicUsize, Ordering};

/// How often one function was called.
#[derive(Debug)]
pub struct Tally {
    name: &'static str,
    calls: AtomicUsize,
}

impl Tally {
    /// A tally for the function `name`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, calls: AtomicUsize::new(0) }
    }

    /// Counts one call.
    pub fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// The function's name, without its path.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}
