pub mod circle;
mod square;
pub use square::side;
pub fn area(n: i32) -> i32 {
    if n > 2 { circle::round(n) } else { side(n) }
}
