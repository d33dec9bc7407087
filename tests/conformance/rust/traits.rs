//! Traits: provided functions, objects, associated things, operators.
#![no_std]
pub trait Shape {
    fn area(&self) -> i32;
    fn name(&self) -> &'static str { if self.area() > 3 { "large" } else { "small" } }
    fn unused(&self) -> i32 { if self.area() > 0 { 1 } else { 2 } }
}
pub trait Sides {
    const SIDES: i32 = 4;
    fn sides() -> i32 { if Self::SIDES > 3 { Self::SIDES } else { 0 } }
}
pub struct Square(i32);
pub struct Dot;
impl Shape for Square { fn area(&self) -> i32 { if self.0 > 1 { self.0 * self.0 } else { 1 } } }
impl Sides for Square {}
impl Sides for Dot { const SIDES: i32 = 0; }
impl Shape for Dot { fn area(&self) -> i32 { 0 } fn name(&self) -> &'static str { "dot" } }
impl<T: Shape> Shape for Option<T> { fn area(&self) -> i32 { match self { Some(s) => s.area(), None => 0 } } }
impl core::ops::Add for Square { type Output = Self; fn add(self, o: Self) -> Self { Square(if o.0 > 2 { self.0 } else { self.0 + o.0 }) } }
impl core::ops::Not for &Dot { type Output = bool; fn not(self) -> bool { true } }
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug, Default, Hash)]
pub struct Derived { a: i32, b: bool }
fn measure(s: &dyn Shape) -> i32 { s.area() + s.name().len() as i32 }
pub fn program(n: i32) -> i32 {
    let d = Derived { a: n, ..Derived::default() };
    measure(&Square(n)) + measure(&Dot) + measure(&Some(Dot)) + Square::sides() + Dot::sides() + (Square(n) + Square(3)).area()
        + i32::from(!&Dot && d < Derived { a: 2, b: true }) + i32::from(d == d.clone())
}
