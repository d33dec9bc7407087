//! The valve controller on a Cortex-M3.
#![no_std]
#![no_main]

// Coverage counters need its 64-bit add; without instrumentation the linker drops it.
use covshim as _;
use workload::{Driver, PHASES, TALLIES};

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut driver = Driver::new();
    board::play(PHASES, |phase| driver.step(phase), &TALLIES)
}
