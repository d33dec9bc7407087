//! Profiles written on the host against those of compiler-rt itself, and against `llvm-profdata`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod build;
mod freestanding;
mod hosted;
mod proftext;
