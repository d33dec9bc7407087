pub fn side(n: i32) -> i32 { match n { 0 => 0, _ if n < 0 => -n, _ => n } }
pub fn unused() -> i32 { 4 }
