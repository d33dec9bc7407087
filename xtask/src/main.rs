//! covtap chores.
fn main() {}
