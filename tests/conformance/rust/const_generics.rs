//! Values as parameters of types, and what is computed by the compiler.
#![no_std]
struct Ring<T, const N: usize> { items: [T; N], at: usize }
impl<T: Copy + Into<i64>, const N: usize> Ring<T, N> {
    fn push(&mut self, t: T) { self.items[self.at] = t; self.at = if self.at + 1 == N { 0 } else { self.at + 1 }; }
    fn sum(&self) -> i64 { let mut s = 0; for i in self.items { if i.into() > 1 { s += i.into(); } } s }
}
const fn fib(n: u32) -> u32 { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } }
const fn only_const(n: u32) -> u32 { let mut i = 0; while i < n { i += 1; if i == 7 { return 7; } } i }
const TABLE: [u32; 3] = [fib(5), only_const(9), if fib(3) > 1 { 1 } else { 2 }];
static LEN: usize = only_const(4) as usize;
fn choose<const B: bool>(n: i32) -> i32 { if B { if n > 1 { 1 } else { 2 } } else { 3 } }
fn block<const N: usize>() -> usize { (const { fib(6) as usize }) + if N > 2 { N } else { 2 } }
pub fn program(n: i32) -> i32 {
    let mut a = Ring { items: [0i32; 3], at: 0 };
    let mut b = Ring { items: [0u8; 2], at: 0 };
    for i in 0..n { a.push(i); if i > 2 { b.push(1); } }
    a.sum() as i32 + b.sum() as i32 + choose::<true>(n) + choose::<false>(n) + fib(n as u32 % 8) as i32 + (TABLE[1] as usize + LEN + block::<1>() + block::<4>()) as i32
}
