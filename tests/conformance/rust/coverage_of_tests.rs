//! A program that is split into a library part and tests that are not compiled.
fn double(n: i32) -> i32 { if n > 1 { n * 2 } else { n } }
fn main() { if double(1) != 1 { std::process::exit(3); } std::process::exit(if double(3) == 6 { 0 } else { 1 }); }
#[cfg(test)]
mod tests { #[test] fn doubles() { assert_eq!(super::double(2), 4); } }
