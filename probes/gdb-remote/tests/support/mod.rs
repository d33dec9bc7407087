//! What several test binaries need: guests of a few instructions, and servers that misbehave.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod fake;
pub(crate) mod guests;
pub(crate) mod stub;
