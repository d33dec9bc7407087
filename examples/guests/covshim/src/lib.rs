//! The 64-bit atomic add that rustc's coverage counters need on Armv7-M.
//!
//! rustc always makes counter updates atomic 64-bit adds. Where the processor has none they become calls of
//! `__atomic_fetch_add_8`, which nobody provides: linking ends with `undefined symbol`. Copy this crate into
//! such a firmware and say `use covshim as _;` once. (`-Cpasses=lower-atomic` is the other way; it also makes
//! the firmware's own atomics plain.)
//!
//! What always holds:
//! - the words are added one by one, the low one first, each atomically; an interrupt may come in between,
//!   and no increment is lost. Who reads a counter right between the two, once in 2^32 increments, sees it
//!   2^32 too small;
//! - it is assembly, and so never instrumented itself;
//! - the previous value is *not* returned. Counter updates do not use it, and nothing else can call this:
//!   these targets have no `AtomicU64`.
#![no_std]

#[cfg(all(target_arch = "arm", not(target_has_atomic = "64")))]
core::arch::global_asm!(
    ".section .text.__atomic_fetch_add_8,\"ax\",%progbits",
    ".global __atomic_fetch_add_8",
    ".type __atomic_fetch_add_8,%function",
    ".thumb_func",
    "__atomic_fetch_add_8:", // r0: the counter, r2 and r3: the step, whose high word is 0
    "1: ldrex r1, [r0]",
    "adds r1, r1, r2",
    "strex r12, r1, [r0]",
    "cmp r12, #0",
    "bne 1b",
    "cmp r1, r2", // a sum below the step has wrapped
    "bhs 3f",
    "2: ldrex r1, [r0, #4]",
    "adds r1, #1",
    "strex r12, r1, [r0, #4]",
    "cmp r12, #0",
    "bne 2b",
    "3: bx lr",
    ".size __atomic_fetch_add_8, . - __atomic_fetch_add_8",
);
