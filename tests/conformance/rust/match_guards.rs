//! Matches: with guards, bindings, ranges, alternatives, nested and as statements.
#![no_std]
#[derive(Clone, Copy, PartialEq)]
pub enum Shape { Dot, Line(i32), Box { w: i32, h: i32 } }
use Shape::{Box, Dot, Line};
fn area(s: Shape) -> i32 {
    match s {
        Dot => 0,
        Line(n) if n < 0 => -n,
        Line(n @ (1 | 3 | 5)) => n,
        Line(..) => 2,
        Box { w, h: 0 } => w,
        Box { w, h } if w == h || w > 10 && h > 10 => {
            let s = w * h;
            s
        }
        Box { .. } => match s { Dot => 1, _ => 3 },
    }
}
fn slices(s: &[i32]) -> i32 {
    match s {
        [] => 0,
        [one] => *one,
        [first, .., last] if first == last => 1,
        [_, rest @ ..] => rest.len() as i32,
    }
}
fn tuple(a: i32, b: bool) -> i32 {
    match (a, b) {
        (0, _) | (_, false) => 1,
        (1..=4, true) => 2,
        (x, true) if x > 8 => 3,
        _ => { 4 }
    }
}
pub fn program(n: i32) -> i32 {
    match n { 0 => {} _ => () }
    match n > 1 { true => {}, false => return 7 }
    let t = match n { x if x > 2 => "large", 2 => "two", _ => "" };
    area(Dot) + area(Line(n)) + area(Box { w: n, h: 3 }) + slices(&[n, 2, 3]) + slices(&[]) + tuple(n, n > 3) + t.len() as i32
        + i32::from(matches!(n, 1 | 2 if n != 2))
}
