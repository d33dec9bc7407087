//! Unsafe blocks and functions, unions, pointers, calls of other languages' kind.
#![no_std]
pub union Bits { i: u32, b: [u8; 4] }
unsafe fn read(p: *const i32, n: usize) -> i32 { let mut s = 0; for i in 0..n { s += unsafe { if i > 0 { *p.add(i) } else { 1 } }; } s }
extern "C" fn callback(n: i32) -> i32 { if n > 1 { n } else { 1 } }
fn call(f: extern "C" fn(i32) -> i32, n: i32) -> i32 { f(n) }
static mut COUNT: i32 = 0;
pub fn program(n: i32) -> i32 {
    let b = Bits { i: n as u32 };
    let items = [1, n, 3];
    let r = unsafe { COUNT += 1; if COUNT > 2 && b.b[0] > 1 { 1 } else { read(items.as_ptr(), 3) } };
    r + call(callback, n)
}
