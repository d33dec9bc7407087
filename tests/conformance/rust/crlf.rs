//! Lines that end as on Windows.
#![no_std]
macro_rules! pick { ($a:expr,
  $b:expr) => { if $a {
 1 } else { $b } }; }
pub fn program(n: i32) -> i32 {
	let x = if n > 1 {
		2
	}

	else { 3 };
	let s = "a
b";
	pick!(n > 2, x) + s.len() as i32
}
