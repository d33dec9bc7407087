//! The HTML site: what its pages say, and what a browser makes of them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod browser;
mod input;
mod object;
mod pages;
mod reading;
