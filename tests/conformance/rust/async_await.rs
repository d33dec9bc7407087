//! Functions that go on later, and a small executor.
#![no_std]
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
struct Yield(i32);
impl Future for Yield {
    type Output = i32;
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<i32> {
        if self.0 > 0 { self.0 -= 1; return Poll::Pending; }
        Poll::Ready(self.0)
    }
}
async fn leaf(n: i32) -> Result<i32, ()> { if n > 3 { return Err(()); } Yield(n).await; Ok(n) }
async fn middle(n: i32) -> Result<i32, ()> {
    let mut sum = 0;
    for i in 0..n {
        sum += leaf(i).await?;
        if sum > 2 { Yield(1).await; }
    }
    Ok(sum)
}
pub async fn never(n: i32) -> i32 { if n > 1 { Yield(n).await } else { 1 } }
fn waker() -> Waker {
    const TABLE: RawWakerVTable = RawWakerVTable::new(|p| RawWaker::new(p, &TABLE), |_| {}, |_| {}, |_| {});
    unsafe { Waker::from_raw(RawWaker::new(core::ptr::null(), &TABLE)) }
}
fn run<F: Future>(future: F) -> F::Output {
    let mut future = future;
    let mut future = unsafe { Pin::new_unchecked(&mut future) };
    let waker = waker();
    loop { if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) { return done; } }
}
pub fn program(n: i32) -> i32 {
    let block = async { if n > 2 { Yield(2).await } else { 7 } };
    let moved = async move { let c = |x: i32| if x > n { x } else { n }; c(Yield(1).await) };
    run(middle(n)).unwrap_or(-1) + run(block) + run(moved)
}
