//! Loops of every kind, labels, and values of breaks.
#![no_std]
pub fn program(n: i32) -> i32 {
    let mut r = 0;
    for i in 0..n { r += i; }
    for _ in 0..n {}
    for i in (0..n).rev().step_by(2) {
        if i == 2 { continue; }
        if i == 5 { break }
        r += 1;
    }
    let mut i = 0;
    while i < n && r < 100 { i += 1; if i % 2 == 0 { continue; } r += 1; }
    let found = loop { i += 1; if i > 5 { break i * 2; } };
    'outer: for a in 0..3 {
        'inner: loop {
            for b in 0.. {
                if a == b { continue 'outer; }
                if a + b > 3 { break 'outer; }
                if b > n { break 'inner; }
                r += 1;
            }
        }
        r -= 1;
    }
    let mut stack = [1, 2, 3].iter();
    while let Some(x) = stack.next() { r += x; }
    let block = 'block: { if n > 2 { break 'block 1; } if n > 1 { break 'block 2 } 3 };
    while false { r += 1; }
    loop { break; }
    loop { if r > 0 { return found + r + block; } r += 1; }
}
