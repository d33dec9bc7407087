//! Arm's MPS2 board with the AN385 image: a Cortex-M3 at 25 MHz and a CMSDK UART.

use cortex_m::asm::wfi;
use cortex_m::interrupt;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{Peripherals, SCB, SYST};

/// The processor's clock, which drives SysTick.
const CLOCK_HZ: u32 = 25_000_000;

/// UART0 (Arm DAI 0385D, section 3.7): byte to send, state, control.
const UART_DATA: *mut u32 = 0x4000_4000 as *mut u32;
const UART_STATE: *const u32 = 0x4000_4004 as *const u32;
const UART_CTRL: *mut u32 = 0x4000_4008 as *mut u32;
const UART_STATE_TX_FULL: u32 = 1;
const UART_CTRL_TX_ENABLE: u32 = 1;

/// Starts the UART and a tick of one millisecond.
pub(crate) fn start() {
    // A pending interrupt ends `wfi` though it is masked: the tick needs no handler.
    interrupt::disable();
    // SAFETY: the address is the UART's control register on this board, and nobody else drives it.
    unsafe { UART_CTRL.write_volatile(UART_CTRL_TX_ENABLE) };
    if let Some(mut peripherals) = Peripherals::take() {
        peripherals.SYST.set_clock_source(SystClkSource::Core);
        peripherals.SYST.set_reload(CLOCK_HZ / 1000 - 1);
        peripherals.SYST.clear_current();
        peripherals.SYST.enable_interrupt();
        peripherals.SYST.enable_counter();
    }
}

/// Sends one byte.
pub(crate) fn put(byte: u8) {
    // SAFETY: the addresses are the UART's state and data registers on this board.
    unsafe {
        while UART_STATE.read_volatile() & UART_STATE_TX_FULL != 0 {}
        UART_DATA.write_volatile(u32::from(byte));
    }
}

/// Sleeps until the next tick.
pub(crate) fn wait_for_tick() {
    while !SCB::is_pendst_pending() {
        wfi();
    }
    SCB::clear_pendst();
}

/// Sleeps for ever.
pub(crate) fn rest() -> ! {
    // SAFETY: nothing else uses SysTick from here on, so that no second owner can be disturbed.
    let mut tick: SYST = unsafe { Peripherals::steal() }.SYST;
    tick.disable_counter();
    loop {
        wfi();
    }
}
