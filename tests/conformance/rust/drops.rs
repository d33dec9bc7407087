//! What runs where a value ends.
#![no_std]
use core::cell::Cell;
struct Guard<'a>(&'a Cell<i32>, i32);
impl Drop for Guard<'_> { fn drop(&mut self) { if self.1 > 1 { self.0.set(self.0.get() + self.1); } } }
fn early(c: &Cell<i32>, n: i32) -> i32 {
    let _first = Guard(c, 1);
    if n > 2 { return 1; }
    let second = Guard(c, n);
    if n == 1 { drop(second); } else { core::mem::forget(second) }
    for i in 0..n { let _each = Guard(c, i); if i == 1 { break; } }
    0
}
pub fn program(n: i32) -> i32 {
    let c = Cell::new(0);
    let r = early(&c, n);
    { let _ = Guard(&c, 5); let _kept = Guard(&c, n); }
    let moved = Guard(&c, 2);
    let _taken = if n > 3 { Some(moved) } else { None };
    r + c.get()
}
