//! Files, one writer per format, each written whole or not at all.

mod by_line;
pub mod cobertura;
pub mod codecov;
pub mod demangle;
pub mod json;
pub mod lcov;
pub mod missing;
mod names;
pub mod profraw;
pub mod proftext;
pub mod sonarqube;
pub mod sources;
mod whole_file;

pub use whole_file::{WriteFileError, check_writable, write_whole, write_whole_with};
