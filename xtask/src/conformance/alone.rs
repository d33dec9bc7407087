//! One run at a time: cases are built in folders by their names, and roots of other releases are made only once.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::child;

/// How often a run that waits looks again, so that it can be interrupted.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The right to build in a folder, until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Alone {
    _locked: File,
}

impl Alone {
    /// Waits until no other run is at work in the folder, which is made if it is not there.
    pub(super) fn in_dir(dir: &Path) -> Result<Self> {
        let mut has_said = false;
        loop {
            if let Some(alone) = Self::try_in_dir(dir)? {
                return Ok(alone);
            }
            if !has_said {
                println!("another run is at work in {}: waiting for its end", dir.display());
            }
            has_said = true;
            child::sleep(AGAIN_AFTER)?;
        }
    }

    /// `None` if another run is at work.
    fn try_in_dir(dir: &Path) -> Result<Option<Self>> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let path = dir.join("lock");
        let file = File::create(&path).with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _locked: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_run_begins_when_the_first_one_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (mine, other) = (dir.path().join("mine"), dir.path().join("other"));
        let first = Alone::in_dir(&mine).unwrap();
        assert!(Alone::try_in_dir(&mine).unwrap().is_none());
        assert!(Alone::try_in_dir(&other).unwrap().is_some());
        drop(first);
        assert!(Alone::try_in_dir(&mine).unwrap().is_some());
    }
}
