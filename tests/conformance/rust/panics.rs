//! Panics that are caught, and what runs while one is on its way.
use std::panic::{AssertUnwindSafe, catch_unwind};
struct Guard<'a>(&'a mut i32);
impl Drop for Guard<'_> { fn drop(&mut self) { if std::thread::panicking() { *self.0 += 1; } else { *self.0 += 2; } } }
fn risky(n: i32, count: &mut i32) -> i32 {
    let _guard = Guard(count);
    if n > 2 { panic!("large: {n}"); }
    let items = [1, 2];
    items[n as usize]
}
fn overflow(n: u8) -> u8 { n.checked_add(1).expect("fits") }
fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut count = 0;
    for n in 0..4 {
        let caught = catch_unwind(AssertUnwindSafe(|| risky(n, &mut count)));
        match caught { Ok(n) => println!("{n}"), Err(_) if n == 3 => println!("as said"), Err(_) => println!("bounds") }
    }
    if catch_unwind(|| overflow(255)).is_err() && count > 3 { unreachable_or(count); }
}
fn unreachable_or(n: i32) { match n { 1000 => unreachable!(), 1001 => todo!(), _ => {} } }
