//! Text of another file in the middle of this one.
#![no_std]
include!("items.in");
pub fn program(n: i32) -> i32 { let x = include!("expression.in"); item(n) + x }
