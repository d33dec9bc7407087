//! covtap.
pub mod locate;
