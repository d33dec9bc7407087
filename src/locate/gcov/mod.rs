//! Counters of gcov: what GCC's `--coverage` leaves in an image.

pub mod layout;

pub use layout::{CounterKind, Layout, MergeFn, Version};
