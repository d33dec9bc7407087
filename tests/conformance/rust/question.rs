//! Ways out by `?`, in functions, closures and chains.
#![no_std]
pub struct Error(i32);
impl From<()> for Error { fn from((): ()) -> Self { Error(1) } }
fn positive(n: i32) -> Result<i32, Error> { if n > 0 { Ok(n) } else { Err(Error(n)) } }
fn small(n: i32) -> Result<i32, ()> { if n < 5 { Ok(n) } else { Err(()) } }
fn some(n: i32) -> Option<i32> { (n != 2).then_some(n) }
fn both(n: i32) -> Result<i32, Error> {
    let a = positive(n)?;
    let b = small(positive(a + 1)?)? + small(a)?;
    Ok(a + b)
}
fn chain(n: i32) -> Option<i32> {
    let x = some(n)?.checked_add(some(n + 1)?)?;
    Some(some(x)
        .map(|y| y + 1)?
        .checked_sub(1)?)
}
fn early(n: i32) -> Result<(), Error> {
    for i in 0..n { positive(i - 1 + n)?; if i > 2 { Err(Error(3))? } }
    Ok(())
}
pub fn program(n: i32) -> i32 {
    let closure = |n: i32| -> Option<i32> { let x = some(n)?; Some(x + 1) };
    let r = match both(n) { Ok(n) => n, Err(Error(n)) => -n };
    r + chain(n).unwrap_or(3) + i32::from(early(n).is_ok()) + closure(n).map_or(0, |x| x * 2)
}
