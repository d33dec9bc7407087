//! A tree of modules in several files, one of them used by none.
#![no_std]
mod shapes;
mod text;
#[path = "elsewhere.rs"]
mod moved;
pub mod inline { pub mod deeper { pub fn f(n: i32) -> i32 { if n > 1 { super::g(n) } else { 2 } } } fn g(n: i32) -> i32 { n } }
pub fn program(n: i32) -> i32 {
    shapes::area(n) + text::length(n) + moved::f(n) + inline::deeper::f(n)
}
