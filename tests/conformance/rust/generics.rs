//! Functions and types of several types, and of none.
#![no_std]
fn pick<T: PartialOrd + Copy>(a: T, b: T) -> T {
    if a > b {
        a
    } else {
        b
    }
}
pub fn never<T: Copy>(t: T, n: i32) -> T { if n > 1 { t } else { t } }
pub struct Pair<A, B> { a: A, b: B }
impl<A: Into<i32> + Copy, B: Into<i32> + Copy> Pair<A, B> {
    fn sum(&self) -> i32 { let s = self.a.into() + self.b.into(); if s > 3 { s } else { 3 } }
    pub fn unused(&self) -> i32 { if self.a.into() > 0 { 1 } else { 2 } }
    fn map<C>(self, f: impl FnOnce(A) -> C) -> Pair<C, B> { Pair { a: f(self.a), b: self.b } }
}
impl Pair<u8, u8> { fn only_bytes(&self) -> i32 { if self.a > self.b { 1 } else { 2 } } }
pub fn program(n: i32) -> i32 {
    let p = Pair { a: n, b: 2u8 };
    let q = Pair { a: 1u8, b: 2u8 };
    pick(n, 2) + pick(n as i64, 3) as i32 + i32::from(pick('a', 'b') == 'b') + p.sum() + q.sum() + q.only_bytes()
        + q.map(|a| if a > 3 { 1i16 } else { 2 }).sum() + p.map(|a| a).sum()
}
