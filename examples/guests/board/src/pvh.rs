//! A PC as QEMU starts it from a PVH entry point: COM1, and the 8254 timer through the 8259 interrupt
//! controllers. Long mode and the GDT are the guest's boot code's work.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering};

/// COM1 (16550): byte to send, line status.
const UART_DATA: u16 = 0x3f8;
const UART_LINE_STATUS: u16 = 0x3fd;
const UART_LINE_STATUS_TX_EMPTY: u8 = 0x20;

/// The vector that the timer's interrupt is given: the first that the processor does not use itself.
const TIMER_VECTOR: usize = 0x20;

/// What the two interrupt controllers are told: vectors from 0x20 and 0x28, cascade on line 2, and every line
/// masked but the timer's.
const PIC_SETUP: [(u16, u8); 10] = [
    (0x20, 0x11),
    (0xa0, 0x11),
    (0x21, TIMER_VECTOR as u8),
    (0xa1, TIMER_VECTOR as u8 + 8),
    (0x21, 1 << 2),
    (0xa1, 2),
    (0x21, 1),
    (0xa1, 1),
    (0x21, !1),
    (0xa1, !0),
];

/// What the timer is told: channel 0, rate generator, 1193182 Hz / 1193 = one millisecond.
const PIT_SETUP: [(u16, u8); 3] =
    [(0x43, 0x34), (0x40, (1193_u16 & 0xff) as u8), (0x40, (1193_u16 >> 8) as u8)];

/// Interrupt descriptors, two words each, up to the timer's.
static DESCRIPTORS: [AtomicU64; 2 * (TIMER_VECTOR + 1)] =
    [const { AtomicU64::new(0) }; 2 * (TIMER_VECTOR + 1)];

// The timer's handler only has to end `hlt`, and to tell the controller that it was heard.
global_asm!(
    ".section .text.timer,\"ax\"",
    ".global timer_interrupt",
    "timer_interrupt:",
    "push rax",
    "mov al, 0x20",
    "out 0x20, al",
    "pop rax",
    "iretq",
);

unsafe extern "C" {
    fn timer_interrupt();
}

/// Starts a tick of one millisecond.
pub(crate) fn start() {
    let handler = timer_interrupt as *const () as u64;
    // An interrupt gate (0x8e) into the boot code's code segment (8).
    let low = (handler & 0xffff) | 8 << 16 | 0x8e << 40 | (handler >> 16 & 0xffff) << 48;
    DESCRIPTORS[2 * TIMER_VECTOR].store(low, Ordering::Relaxed);
    DESCRIPTORS[2 * TIMER_VECTOR + 1].store(handler >> 32, Ordering::Relaxed);
    let table = DescriptorTable { limit: (size_of_val(&DESCRIPTORS) - 1) as u16, base: DESCRIPTORS.as_ptr() };
    // SAFETY: the table is static, and its only present descriptor leads to a handler that keeps every register.
    unsafe { asm!("lidt [{}]", in(reg) &table, options(readonly, nostack, preserves_flags)) };
    for (port, value) in PIC_SETUP.into_iter().chain(PIT_SETUP) {
        out(port, value);
    }
}

/// What `lidt` reads.
#[repr(C, packed)]
struct DescriptorTable {
    limit: u16,
    base: *const AtomicU64,
}

/// Sends one byte.
pub(crate) fn put(byte: u8) {
    while input(UART_LINE_STATUS) & UART_LINE_STATUS_TX_EMPTY == 0 {}
    out(UART_DATA, byte);
}

/// Sleeps until the next tick.
pub(crate) fn wait_for_tick() {
    // SAFETY: interrupts are on inside this block only. The handler pushes onto this stack, which is why the
    // block does not promise `nostack`: the compiler keeps nothing in the red zone across it.
    unsafe { asm!("sti", "hlt", "cli") };
}

/// Sleeps for ever.
pub(crate) fn rest() -> ! {
    loop {
        // SAFETY: with interrupts off this stops the processor, and touches nothing.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

fn out(port: u16, value: u8) {
    // SAFETY: only the UART, the timer and the interrupt controllers are written here, which this module owns.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

fn input(port: u16) -> u8 {
    let value;
    // SAFETY: only the UART's line status is read here.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) };
    value
}
