//! Chains of iterators, and an iterator of one's own.
#![no_std]
struct Count(i32);
impl Iterator for Count {
    type Item = i32;
    fn next(&mut self) -> Option<i32> {
        if self.0 <= 0 { return None; }
        self.0 -= 1;
        Some(self.0)
    }
}
pub fn program(n: i32) -> i32 {
    let a: i32 = (0..n).filter(|x| x % 2 == 0).map(|x| if x > 2 { x } else { 2 }).sum();
    let b = Count(n).zip(1..).filter_map(|(x, y)| if x == y { None } else { Some(x * y) }).take_while(|x| *x < 20).count();
    let c = [3, 1, n].iter().copied().fold(0, |sum, x| {
        if x > 2 {
            sum + x
        } else {
            sum
        }
    });
    let d = Count(n).any(|x| x == 2) || Count(n).all(|x| x > 1);
    let e = Count(9)
        .skip_while(|x| *x > n)
        .flat_map(|x| (0..x).map(move |y| if y > 3 { x } else { y }))
        .max_by_key(|x| x % 5)
        .unwrap_or_default();
    for (i, x) in Count(n).enumerate() { if i as i32 == x { return a + e; } }
    a + b as i32 + c + i32::from(d) + e
}
