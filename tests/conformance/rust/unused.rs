//! Functions that nothing calls, and code that is not compiled.
#![no_std]
#![allow(dead_code, unreachable_code, unused)]
fn unused(n: i32) -> i32 { if n > 1 { 1 } else { 2 } }
pub fn exported(n: i32) -> i32 { for i in 0..n { if i == 2 { return i; } } 0 }
fn generic<T>(t: T) -> T { if true { t } else { t } }
#[inline] pub fn inlined(n: i32) -> bool { n > 1 && n < 4 }
#[cfg(any())] fn left_out() -> i32 { 1 }
#[cold] #[inline(never)] fn cold(n: i32) -> ! { loop { if n == 1001 { panic!("{n}") } } }
struct S;
impl S { fn method(&self) -> i32 { if 1 > 2 { 3 } else { 4 } } const fn constant() -> i32 { 5 } }
impl Drop for S { fn drop(&mut self) { if unused_too() {} } }
fn unused_too() -> bool { true }
mod m { pub fn f() -> i32 { super::unused(3) } pub mod n { pub fn g() {} } }
fn dead(n: i32) -> i32 { return n; if n > 1 { 2 } else { 3 } }
fn diverges(n: i32) -> i32 { if n > 1000 { cold(n) } let x: i32 = if n > 900 { loop {} } else { 3 }; x }
pub fn program(n: i32) -> i32 {
    #[cfg(any())] { return 3; }
    #[allow(unused)] let x = || unused(3);
    dead(n) + diverges(n)
}
