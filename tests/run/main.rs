//! `covtap run`: guests that end in every way that QEMU has, whose counters are then exactly what they counted; and
//! nothing that is left behind.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

mod cargo_runner;
mod commands;
mod ends;
mod guest;
