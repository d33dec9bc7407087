//! Größe, число, 数, 🦀: names, comments and text that are not ASCII.
#![no_std]
fn größe(zahl: i32) -> i32 { /* ünïcödé */ if zahl > 1 { zahl } else { 0 } }
mod модуль { pub fn длина(s: &str) -> i32 { s.chars().filter(|c| *c != 'ä' && *c != '数').count() as i32 } }
macro_rules! über { ($x:expr) => { if $x > 2 { "🦀" } else { "äöü" } }; }
pub fn program(n: i32) -> i32 { let t = über!(n); /* 数 */ if n > 0 { größe(n) + модуль::длина(t) } else { модуль::длина("数学") } }
