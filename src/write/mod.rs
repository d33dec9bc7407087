//! Files, one writer per format, each written whole or not at all.

pub mod demangle;
pub mod lcov;
pub mod profraw;
pub mod proftext;
pub mod sources;
mod whole_file;

pub use whole_file::{WriteFileError, check_writable, write_whole, write_whole_with};
