//! Macros by example: that make expressions, functions, arms, and call each other.
#![no_std]
macro_rules! max { ($a:expr) => { $a }; ($a:expr, $($rest:expr),+) => {{ let a = $a; let b = max!($($rest),+); if a > b { a } else { b } }}; }
macro_rules! functions { ($($name:ident => $value:literal),* $(,)?) => { $(fn $name(n: i32) -> i32 { if n > $value { $value } else { n } })* }; }
macro_rules! ensure { ($c:expr) => { if !$c { return -1; } }; ($c:expr, $v:expr) => { if !($c) { return $v } }; }
macro_rules! choose { ($n:expr; $($p:pat => $v:expr),*) => { match $n { $($p => $v,)* _ => { 0 } } }; }
macro_rules! outer { ($n:ident) => { macro_rules! inner { ($x:expr) => { if $x > 2 { $n } else { $x } }; } }; }
macro_rules! both { ($a:expr, $b:expr) => { $a && $b }; }
functions! { one => 1, two => 2, never => 3 }
fn checked(n: i32) -> i32 {
    ensure!(n > 0);
    ensure!(n < 7 && n != 5, max!(n, 3));
    debug_assert!(n != 1000, "never {n}");
    assert!(both!(n > -1, n < 1000));
    n
}
pub fn program(n: i32) -> i32 {
    outer!(n);
    let x = max!(n, 2, max!(1, n - 1));
    let y = choose!(n; 1 => one(n), 2 | 3 => max!(two(n), 1));
    x + y + inner!(x) + checked(n) + if both!(x > 1, both!(y > 0, n > 2)) { 1 } else { 2 }
        + if cfg!(debug_assertions) { 1 } else { 2 }
}
