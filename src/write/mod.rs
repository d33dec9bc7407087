//! Files, one writer per format, each written whole or not at all; profiles that are kept up to date, or that several
//! programs merge into, counter by counter.

pub mod annotate;
mod assembly;
mod by_line;
pub mod by_test;
pub mod cobertura;
pub mod codecov;
mod continuous;
pub mod demangle;
pub mod drcov;
pub mod gcda;
pub mod gcda_path;
pub mod html;
pub mod json;
pub mod lcov;
pub mod missing;
mod names;
pub mod object;
mod paint;
mod paths;
mod pool;
pub mod profraw;
pub mod proftext;
mod runs;
pub mod sonarqube;
pub mod sources;
pub mod summary;
pub mod tfa_json;
mod whole_dir;
mod whole_file;
mod whole_files;

pub use continuous::{Change, Continuous};
pub use pool::{Pool, PoolError};
pub use whole_dir::WriteDirError;
pub use whole_file::{WriteFileError, check_writable, write_whole, write_whole_with};
pub use whole_files::{check_all_writable, write_all_whole};
