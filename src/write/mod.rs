//! Files, one writer per format, each written whole or not at all.

pub mod lcov;
pub mod profraw;
pub mod proftext;
mod whole_file;

pub use whole_file::{WriteFileError, check_writable, write_whole};
