//! Which bytes of a target hold counters.
//!
//! What enters is an [image](crate::image); what leaves is a list of [`CounterRegion`]s and, for each format
//! that was found, what the counters mean.

pub mod frozen;
pub mod gcov;
mod list;
pub mod llvm;
mod region;

use crate::image::{Image, Slide};

use gcov::GcovError;
use llvm::LocateError;

pub use list::ListHead;
pub use region::{BiasWord, CounterRegion, MergeRule};

/// What was found in an image: one side at least.
#[derive(Debug)]
pub struct Located {
    /// What LLVM counts.
    pub llvm: Option<llvm::Located>,
    /// What GCC counts.
    pub gcov: Option<gcov::Located>,
    /// Why there is not the other side, where the image has more of it than nothing.
    pub left_out: Option<Error>,
}

/// An image has no counters that can be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None of LLVM's.
    #[error(transparent)]
    Llvm(#[from] LocateError),
    /// None of gcov's.
    #[error(transparent)]
    Gcov(#[from] GcovError),
}

impl Error {
    /// Whether the image has nothing of that side.
    fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Llvm(
                LocateError::NotInstrumented { .. } | LocateError::Gcov { .. } | LocateError::Stripped { .. }
            ) | Self::Gcov(GcovError::NotInstrumented { .. })
        )
    }
}

/// Finds the counters of an image that is loaded with `slide`. An image may have those of both compilers, as C and Rust
/// in one program have.
///
/// # Errors
///
/// There are neither.
pub fn locate(image: &Image, slide: Slide) -> Result<Located, Error> {
    locate_with(image, slide, gcov::locate(image, slide))
}

/// As [`locate`], with what was found of gcov's already: where the image has no data, in the target's memory.
///
/// # Errors
///
/// There are neither.
pub fn locate_with(
    image: &Image,
    slide: Slide,
    gcov: Result<gcov::Located, GcovError>,
) -> Result<Located, Error> {
    let llvm = llvm::locate(image, slide).map_err(Error::from);
    let gcov = gcov.map_err(Error::from);
    let (llvm, gcov, left_out) = match (llvm, gcov) {
        (Ok(llvm), Ok(gcov)) => (Some(llvm), Some(gcov), None),
        (Ok(llvm), Err(error)) => (Some(llvm), None, Some(error)),
        (Err(error), Ok(gcov)) => (None, Some(gcov), Some(error)),
        (Err(llvm), Err(gcov)) if llvm.is_absence() && !gcov.is_absence() => return Err(gcov),
        (Err(llvm), Err(_)) => return Err(llvm),
    };
    Ok(Located { llvm, gcov, left_out: left_out.filter(|error| !error.is_absence()) })
}
