//! Functions on one line and several on a line.
#![no_std]
pub fn nothing() {}
pub fn nothing_at_all() {
}
fn one() -> i32 { 1 } fn two(n: i32) -> i32 { if n > 1 { one() } else { 2 } } fn three() { }
fn unit() -> () { () }
fn a(n:i32)->i32{if n>1{1}else{0}}fn b(n:i32)->i32{a(n)+a(n-1)}
pub fn program(n: i32) -> i32 { nothing(); nothing_at_all(); three(); unit(); let f = |x| x + 1; let g = |x| { x }; one() + two(n) + b(n) + f(n) + g(n) }
