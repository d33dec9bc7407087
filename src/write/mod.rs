//! Files, one writer per format, each written whole or not at all.

pub mod annotate;
mod by_line;
pub mod cobertura;
pub mod codecov;
pub mod demangle;
pub mod gcda;
pub mod gcda_path;
pub mod html;
pub mod json;
pub mod lcov;
pub mod missing;
mod names;
mod paint;
mod paths;
pub mod profraw;
pub mod proftext;
pub mod sonarqube;
pub mod sources;
pub mod summary;
mod whole_dir;
mod whole_file;
mod whole_files;

pub use whole_dir::WriteDirError;
pub use whole_file::{WriteFileError, check_writable, write_whole, write_whole_with};
pub use whole_files::{check_all_writable, write_all_whole};
