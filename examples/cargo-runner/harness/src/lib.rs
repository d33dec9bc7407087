//! Runs tests on a PC without an operating system, and prints what libtest would.
//!
//! A test program is a file in `tests/` with `harness = false`:
//!
//! ```text
//! #![no_std]
//! #![no_main]
//! harness::tests! { what_is_put_in_comes_out, an_empty_queue_gives_nothing }
//! fn what_is_put_in_comes_out() { assert_eq!(2 + 2, 4) }
//! ```
//!
//! What always holds: QEMU ends with 33 if all tests passed, and with 35 at the first that panics.
#![no_std]

#[path = "../../../guests/x86-pvh/src/boot.rs"]
mod boot;

use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

/// What is written to isa-debug-exit, which makes (code << 1) | 1 of it.
const PASSED: u32 = 16;
const FAILED: u32 = 17;

const DEBUG_EXIT: u16 = 0xf4;

/// COM1 (16550): byte to send, line status.
const UART_DATA: u16 = 0x3f8;
const UART_LINE_STATUS: u16 = 0x3fd;
const UART_LINE_STATUS_TX_EMPTY: u8 = 0x20;

/// Makes a program of tests: the functions with these names.
#[macro_export]
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        /// Where the boot code goes.
        #[unsafe(no_mangle)]
        extern "C" fn main() -> ! {
            $crate::run(&[$((stringify!($test), $test as fn())),+])
        }
    };
}

/// Runs tests and ends QEMU.
pub fn run(tests: &[(&str, fn())]) -> ! {
    print(format_args!("\nrunning {} tests\n", tests.len()));
    for (name, test) in tests {
        print(format_args!("test {name} ... "));
        test();
        print(format_args!("ok\n"));
    }
    print(format_args!("\ntest result: ok. {} passed; 0 failed\n\n", tests.len()));
    exit(PASSED)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    print(format_args!("FAILED\n\n{info}\n\ntest result: FAILED\n\n"));
    exit(FAILED)
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(put);
        Ok(())
    }
}

fn print(text: fmt::Arguments<'_>) {
    // The console takes everything.
    let _ = Console.write_fmt(text);
}

fn put(byte: u8) {
    // SAFETY: only the UART's data and line status are accessed, which nobody else uses.
    unsafe {
        let mut status = 0u8;
        while status & UART_LINE_STATUS_TX_EMPTY == 0 {
            asm!("in al, dx", in("dx") UART_LINE_STATUS, out("al") status, options(nomem, nostack));
        }
        asm!("out dx, al", in("dx") UART_DATA, in("al") byte, options(nomem, nostack));
    }
}

fn exit(code: u32) -> ! {
    loop {
        // SAFETY: the port is QEMU's isa-debug-exit, or nothing.
        unsafe { asm!("out dx, eax", in("dx") DEBUG_EXIT, in("eax") code, options(nomem, nostack)) };
    }
}
