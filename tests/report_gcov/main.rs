//! `covtap report` of what GCC compiled: against lcov, gcovr and gcov, together with LLVM's, and with files that do not
//! fit together.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod build;
mod misfits;
mod mixed;
mod oracles;
