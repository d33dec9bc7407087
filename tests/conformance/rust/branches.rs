//! Conditions of every kind.
#![no_std]
fn sign(n: i32) -> i32 {
    if n < 0 { -1 } else if n > 0 { 1 } else { 0 }
}
fn chain(a: bool, b: bool, c: bool) -> bool {
    (a || b) && (b || !c)
        && !(a && c)
}
fn chained_let(n: Option<i32>, m: Option<i32>) -> i32 {
    if let Some(x) = n {
        if x > 2 && m.is_some() { return x; }
    } else if let Some(y @ 1..=3) = m { return y; }
    let z = if n == m && n.is_none() { 5 } else { 6 };
    if z > 5 {}
    z
}
pub fn program(n: i32) -> i32 {
    let mut r = sign(n);
    if n > 1 { r += 1; }
    if !(n > 2 || r > 3) { r -= 1 } else { }
    if n > 2
        && r > 1
    {
        r += 2;
    }
    r += if true { 1 } else { 2 };
    r += i32::from(chain(n > 0, n > 1, n > 2)) + chained_let(Some(n), None) + chained_let(None, Some(n));
    let unit = if n > 3 { r += 1 };
    let _: () = unit;
    r
}
