//! The machine below the workload: its console, its clock, and the loop that steps the workload through its
//! phases.
//!
//! What enters is the workload's step function; what leaves is lines on the console:
//!
//! ```text
//! phase 0 step 0         a phase begins, before its first step
//! phase 1 step 1500
//! ...
//! tally parse 7500       after the last phase: calls of a function, as counted by the guest itself
//! rest                   from here on the guest sleeps, and no instrumented code runs
//! ```
//!
//! What always holds: this crate is built without coverage counters ([`Tally`] has plain ones), because it
//! waits for a timer. Counters of instrumented code therefore depend on the number of steps alone, and two
//! runs come to rest with the same counts.
#![no_std]

#[cfg_attr(target_arch = "arm", path = "an385.rs")]
#[cfg_attr(target_arch = "x86_64", path = "pvh.rs")]
mod machine;
mod tally;

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

pub use tally::Tally;

/// How many steps each phase has. At one step per millisecond a phase lasts 1.5 s.
pub const STEPS_PER_PHASE: usize = 1500;

/// Steps done so far; wraps around. Under a plain name, so that a host can read the rate from memory.
#[unsafe(no_mangle)]
pub static LOOPS: AtomicUsize = AtomicUsize::new(0);

/// Plays `phases` phases of a workload, prints the tally, and rests for ever.
///
/// `step` is called once per millisecond with the number of the phase. With the feature `flat-out` it is
/// called without a pause, and the last phase never ends.
pub fn play(phases: usize, mut step: impl FnMut(usize), tallies: &[&Tally]) -> ! {
    machine::start();
    for phase in 0..phases {
        print("phase ");
        print_number(phase);
        print(" step ");
        print_number(LOOPS.load(Ordering::Relaxed));
        print("\n");
        let mut left = STEPS_PER_PHASE;
        while left > 0 {
            step(phase);
            LOOPS.fetch_add(1, Ordering::Relaxed);
            if cfg!(not(feature = "flat-out")) {
                machine::wait_for_tick();
            }
            if cfg!(not(feature = "flat-out")) || phase + 1 < phases {
                left -= 1;
            }
        }
    }
    for tally in tallies {
        print("tally ");
        print(tally.name());
        print(" ");
        print_number(tally.calls());
        print("\n");
    }
    print("rest\n");
    machine::rest()
}

fn print(text: &str) {
    text.bytes().for_each(machine::put);
}

fn print_number(number: usize) {
    if number >= 10 {
        print_number(number / 10);
    }
    machine::put(b'0' + (number % 10) as u8);
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    print("panic\n");
    machine::rest()
}
