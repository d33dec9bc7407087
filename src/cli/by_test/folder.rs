//! A folder of tests, as a session left it: its index, and the files that the index names.
//!
//! What enters is the folder's path; what leaves is the tests with the paths of their files. What always holds: nothing
//! outside of the folder is given out, whatever the index and symbolic links say; each file is there.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use walkdir::WalkDir;

use super::ByTestError;
use crate::cli::inputs::Inputs;
use crate::profile::test_index::{INDEX_FILE, MAX_INDEX_BYTES, TestEntry, TestIndex};

/// A test and its files.
pub(super) struct TestFiles {
    pub(super) name: String,
    pub(super) runs: u64,
    /// Whether it had not ended when its session did.
    pub(super) is_cut: bool,
    /// A profile of LLVM's.
    pub(super) profile: Option<PathBuf>,
    /// `.gcda` files.
    pub(super) data: Vec<PathBuf>,
    /// `.gcno` files.
    pub(super) notes: Vec<PathBuf>,
}

/// Opens a folder of tests.
///
/// # Errors
///
/// Its index or a file cannot be read or is none; a file is outside; or there is no test.
pub(super) fn open(folder: &Path) -> Result<Vec<TestFiles>> {
    let path = folder.join(INDEX_FILE);
    let context = || format!("read {}", path.display());
    let mut text = Vec::new();
    let limit = u64::try_from(MAX_INDEX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(&path).with_context(context)?.take(limit).read_to_end(&mut text).with_context(context)?;
    let index = TestIndex::parse(&text).with_context(context)?;
    if index.tests().is_empty() {
        return Err(ByTestError::NoTests { index: path }.into());
    }
    let root = fs::canonicalize(folder).with_context(|| format!("read {}", folder.display()))?;
    index.tests().iter().map(|test| files(folder, &root, test)).collect()
}

fn files(folder: &Path, root: &Path, test: &TestEntry) -> Result<TestFiles> {
    let inside = |path: &String| -> Result<PathBuf> {
        let path = folder.join(path);
        check_inside(&path, root, &test.name)?;
        Ok(path)
    };
    let profile = test.profile.as_ref().map(inside).transpose()?;
    if let Some(path) = profile.as_ref().filter(|path| !path.is_file()) {
        return Err(ByTestError::NotAFile { test: test.name.clone(), path: path.clone() }.into());
    }
    let found = match test.gcda.as_ref().map(inside).transpose()? {
        None => Inputs::default(),
        Some(path) if !path.is_dir() => {
            return Err(ByTestError::NotAFolder { test: test.name.clone(), path }.into());
        }
        Some(path) => search(path, root, &test.name)?,
    };
    let Inputs { data, notes, .. } = found;
    let (name, runs, is_cut) = (test.name.clone(), test.runs, test.is_cut);
    Ok(TestFiles { name, runs, is_cut, profile, data, notes })
}

/// gcov's files below a folder, none of whose links leads out.
fn search(folder: PathBuf, root: &Path, test: &str) -> Result<Inputs> {
    for entry in WalkDir::new(&folder).sort_by_file_name() {
        let entry = entry.with_context(|| format!("search {}", folder.display()))?;
        if entry.path_is_symlink() && entry.path().exists() {
            check_inside(entry.path(), root, test)?;
        }
    }
    Inputs::sort(&[folder])
}

fn check_inside(path: &Path, root: &Path, test: &str) -> Result<()> {
    let real = fs::canonicalize(path).with_context(|| format!("read {} of test {test}", path.display()))?;
    if !real.starts_with(root) {
        return Err(ByTestError::Outside { test: test.to_owned(), path: path.to_owned(), real }.into());
    }
    Ok(())
}
