//! Closures: that capture, nest, are returned, and are never called.
#![no_std]
fn twice<F: Fn(i32) -> i32>(f: F, n: i32) -> i32 { f(n) + if n > 2 { f(n - 1) } else { 0 } }
fn adder(m: i32) -> impl Fn(i32) -> i32 { move |n| if n > m { n + m } else { m } }
fn dynamic(f: &mut dyn FnMut(i32) -> bool, n: i32) -> bool { f(n) && f(n + 1) || f(0) }
pub fn program(n: i32) -> i32 {
    let mut count = 0;
    let simple = |x: i32| x + 1;
    let block = |x: i32| {
        if x > 1 { return 1; }
        let inner = |y: i32| if y > x { y } else { x };
        inner(x) + inner(2)
    };
    let never = |x: i32| -> i32 { if x > 0 { 1 } else { 2 } };
    let _ = never;
    let _also_never = || n > 2;
    let mut counting = |x: i32| { if x > 2 { count += 1; } x > 1 };
    let d = dynamic(&mut counting, n);
    let now = (|| { for i in 0..n { if i == 3 { return i; } } 9 })();
    let pointer: fn(i32) -> i32 = |x| if x > 4 { 4 } else { x };
    twice(simple, n) + twice(block, n) + twice(|x| if x == n { 1 } else { 2 }, n) + adder(2)(n) + i32::from(d) + count + now + pointer(n)
}
