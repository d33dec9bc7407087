//! Counters of a 32-bit guest that carry at every step: no snapshot shows halves of two moments, over either link.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "torn/storm.rs"]
mod storm;

use storm::{Plan, Way, soak};

/// `cargo xtask soak torn` reads a million times; so often is enough to find tears without covtap's checks.
const PLAN: Plan = Plan { plain_reads: 1000, reads: 5000, bursts: 4 };

#[test]
fn no_snapshot_of_a_guest_that_always_carries_is_torn() {
    for way in [Way::Qemu, Way::Gdb] {
        let tally = soak(way, PLAN, || Ok(())).expect("the guest is read");
        assert_eq!(tally.torn, 0, "{way:?} {tally:?}");
        assert!(tally.plain_torn > 0 && tally.advanced > 0, "{way:?} {tally:?}");
        assert!(tally.readings() >= PLAN.reads && tally.unsettled > 0, "{way:?} {tally:?}");
    }
}
