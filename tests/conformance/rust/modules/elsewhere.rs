pub fn f(n: i32) -> i32 { if n == 1 { 1 } else { 0 } }
mod empty {}
