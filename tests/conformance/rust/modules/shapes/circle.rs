use super::side;
pub fn round(n: i32) -> i32 {
    let f = |x| if x > 3 { 3 } else { x };
    f(n) * side(1)
}
