//! covtap.
fn main() {}
