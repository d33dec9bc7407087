//! The valve controller on a PC without an operating system.
#![no_std]
#![no_main]

mod boot;

use workload::{Driver, PHASES, TALLIES};

/// Where the boot code goes.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let mut driver = Driver::new();
    board::play(PHASES, |phase| driver.step(phase), &TALLIES)
}
