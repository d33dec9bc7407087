//! `let` that may fail.
#![no_std]
fn first(s: &[i32]) -> i32 {
    let [a, b, ..] = s else { return -1 };
    let Some(c) = a.checked_add(*b) else {
        if *a > 0 { return 1; }
        return 2;
    };
    c
}
pub fn program(n: i32) -> i32 {
    let mut r = 0;
    for i in 0..n {
        let 0..=3 = i else { continue };
        let (1 | 2) = i else { r += 1; if r > 5 { break } else { continue } };
        r += i;
    }
    r + first(&[]) + first(&[n, 2, 3]) + first(&[i32::MAX, n + 1])
}
