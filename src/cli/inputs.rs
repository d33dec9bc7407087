//! Files that the user gives in any order, sorted by their first bytes; folders are searched.
//!
//! What enters is paths; what leaves is programs, traces, profiles of LLVM's, notes and data files of gcov's. What always
//! holds: what a folder has is in the order of names, whatever the disk's is; a symbolic link that leads back is not
//! followed; a file that is found twice by different ways is there once.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use super::programs::ElfArg;
use crate::image::Slide;
use crate::profile::trace;

/// As many entries of a folder are looked at, so that an endless tree ends; a kernel's build has a tenth of that.
const MAX_ENTRIES: usize = 4_000_000;
/// As deep folders are searched.
const MAX_DEPTH: usize = 200;

/// The files by what they are.
#[derive(Default)]
pub(super) struct Inputs {
    /// Programs.
    pub(super) elves: Vec<PathBuf>,
    /// How far each was moved, where that was given.
    pub(super) slides: Vec<Option<Slide>>,
    /// What was executed.
    pub(super) traces: Vec<PathBuf>,
    /// What is nothing else: LLVM's profiles.
    pub(super) profiles: Vec<PathBuf>,
    /// `.gcno` files.
    pub(super) notes: Vec<PathBuf>,
    /// `.gcda` files.
    pub(super) data: Vec<PathBuf>,
    /// What the user gave of gcov's: files, and folders that have any.
    pub(super) of_gcov: Vec<PathBuf>,
    /// Real paths of gcov's files.
    known: HashSet<PathBuf>,
}

impl Inputs {
    /// Sorts the files.
    ///
    /// # Errors
    ///
    /// One cannot be read, or a folder holds nothing of gcov's.
    pub(super) fn sort(paths: &[PathBuf]) -> Result<Self> {
        let mut sorted = Self::default();
        for path in paths {
            let (path, slide) = moved(path);
            let path = &path;
            let context = || format!("read {}", path.display());
            if fs::metadata(path).with_context(context)?.is_dir() {
                sorted.search(path)?;
                continue;
            }
            match first_bytes(path).with_context(context)? {
                magic if magic.starts_with(b"\x7fELF") => {
                    sorted.elves.push(path.clone());
                    sorted.slides.push(slide);
                }
                magic if trace::is_trace(&magic) => sorted.traces.push(path.clone()),
                magic if matches!(magic.get(..4), Some(b"gcno" | b"oncg" | b"gcda" | b"adcg")) => {
                    sorted.of_gcov.push(path.clone());
                    let is_data = matches!(magic.get(..4), Some(b"gcda" | b"adcg"));
                    sorted.take(path.clone(), is_data)?;
                }
                _ => sorted.profiles.push(path.clone()),
            }
        }
        Ok(sorted)
    }

    /// Whether there is anything of gcov's.
    pub(super) fn has_gcov(&self) -> bool {
        !self.of_gcov.is_empty()
    }

    fn search(&mut self, folder: &Path) -> Result<()> {
        let (mut seen, mut found) = (0usize, 0usize);
        let entries = WalkDir::new(folder).follow_links(true).max_depth(MAX_DEPTH).sort_by_file_name();
        for entry in entries {
            seen = seen.saturating_add(1);
            if seen > MAX_ENTRIES {
                bail!("search {}: it has more than {MAX_ENTRIES} files", folder.display());
            }
            let entry = match entry {
                Ok(entry) => entry,
                // A link that leads back, or nowhere.
                Err(error) if error.loop_ancestor().is_some() || is_dangling(&error) => continue,
                Err(error) => return Err(error).with_context(|| format!("search {}", folder.display())),
            };
            let extension = entry.path().extension().and_then(|extension| extension.to_str());
            let is_data = match extension {
                Some("gcda") => true,
                Some("gcno") => false,
                _ => continue,
            };
            if entry.file_type().is_file() {
                found = found.saturating_add(1);
                self.take(entry.into_path(), is_data)?;
            }
        }
        if found == 0 {
            bail!("search {}: it holds no .gcno and no .gcda file", folder.display());
        }
        self.of_gcov.push(folder.to_owned());
        Ok(())
    }

    fn take(&mut self, path: PathBuf, is_data: bool) -> Result<()> {
        let real = fs::canonicalize(&path).with_context(|| format!("read {}", path.display()))?;
        if self.known.insert(real) {
            if is_data { &mut self.data } else { &mut self.notes }.push(path);
        }
        Ok(())
    }
}

fn is_dangling(error: &walkdir::Error) -> bool {
    error.path().is_some_and(Path::is_symlink)
}

/// A file's path, and how far it was moved, if that is given and no file has the whole for a name.
fn moved(path: &Path) -> (PathBuf, Option<Slide>) {
    let elf = path.to_str().filter(|_| !path.exists()).and_then(|text| ElfArg::parse(text).ok());
    elf.map_or_else(|| (path.to_owned(), None), |elf| (elf.path, elf.slide))
}

/// As much of a file as tells what it is.
pub(super) fn first_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut magic = Vec::new();
    File::open(path)?.take(16).read_to_end(&mut magic)?;
    Ok(magic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_gives_each_file_once_and_loops_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("build/sub")).unwrap();
        for name in ["build/b.gcda", "build/a.gcda", "build/sub/c.gcno", "build/readme"] {
            fs::write(path(name), "gcda").unwrap();
        }
        symlink(path("build"), path("build/sub/loop")).unwrap();
        symlink(path("build/a.gcda"), path("build/again.gcda")).unwrap();
        symlink(path("gone"), path("build/gone.gcno")).unwrap();
        let sorted = Inputs::sort(&[path("build"), path("build/sub"), path("build/a.gcda")]).unwrap();
        assert_eq!(sorted.data, [path("build/a.gcda"), path("build/b.gcda")]);
        assert_eq!(sorted.notes, [path("build/sub/c.gcno")]);
        assert_eq!(sorted.of_gcov.len(), 3);
        fs::create_dir(path("empty")).unwrap();
        let error = Inputs::sort(&[path("empty")]).err().unwrap();
        assert!(error.to_string().ends_with("it holds no .gcno and no .gcda file"), "{error}");
    }
}
