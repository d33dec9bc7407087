//! Blocks as values, shadowing, and statements in odd places.
#![no_std]
pub fn program(n: i32) -> i32 {
    let a = { let b = n; if b > 1 { b } else { { { 2 } } } };
    let (x, y) = if a > 2 { (1, { if n > 3 { 1 } else { 2 } }) } else { (n, 3) };
    let z = [{ a }, if x > 1 { y } else { x }, match y { 1 => 1, _ => { a } }];
    fn inner(n: i32) -> i32 { fn innermost(n: i32) -> i32 { if n > 1 { 1 } else { 2 } } innermost(n) + innermost(0) }
    struct Local { v: i32 }
    impl Local { fn get(&self) -> i32 { if self.v > 1 { self.v } else { 1 } } }
    const C: i32 = { let x = 3; if x > 2 { 4 } else { 5 } };
    let n = n + C; let n = if n > 5 { n - 1 } else { n };
    ;;
    let range = (if n > 2 { 0 } else { 1 })..(match n { 3 => 4, m => m });
    z[0] + z[1] + inner(n) + Local { v: n }.get() + range.len() as i32 + loop { break if n > 4 { 5 } else { 6 } }
}
