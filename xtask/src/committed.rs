//! The check that no committed file names a path that only one machine has: a home directory, or where the
//! workspace happened to lie. Binary fixtures are checked as well: compilers like to write such paths into them.
//!
//! And the check that no fixture is ignored by git: it would be here, and in no clone.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use covtap_testbed::workspace_root;

use crate::child;

/// Home directories, whose names are in two pieces so that this file does not name them.
const HOMES: [&str; 3] = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// A workspace in a directory of so few components could have any path's name.
const MIN_ROOT_COMPONENTS: usize = 3;

/// Where everything has to be committed.
const FIXTURES: &str = "tests/fixtures";

/// Fails with each file, line and path that should not be there, and with each fixture that is ignored.
pub(crate) fn check() -> Result<()> {
    let ignored = ignored_fixtures()?;
    if !ignored.is_empty() {
        let names: Vec<_> = ignored.iter().map(|path| path.display().to_string()).collect();
        bail!("git ignores fixtures, which no clone will have:\n{}", names.join("\n"));
    }
    let files = files()?;
    if files.is_empty() {
        bail!("there is no committed file");
    }
    let patterns = patterns(workspace_root());
    let mut found = Vec::new();
    for file in &files {
        // A file that was deleted and not yet committed so.
        let Ok(bytes) = std::fs::read(workspace_root().join(file)) else { continue };
        let lines = hits(&bytes, &patterns);
        found
            .extend(lines.into_iter().map(|(line, pattern)| format!("{}:{line}: {pattern}", file.display())));
    }
    if !found.is_empty() {
        bail!("paths of one machine in committed files:\n{}", found.join("\n"));
    }
    println!("{} files name none", files.len());
    Ok(())
}

/// The committed files, below the workspace. Of a tree without its history, unpacked from an archive, everything
/// but what is built.
fn files() -> Result<Vec<PathBuf>> {
    if has_history() {
        return list(&[]);
    }
    let mut files = Vec::new();
    walk(workspace_root(), &mut files)?;
    files.iter().map(|path| Ok(path.strip_prefix(workspace_root())?.to_owned())).collect()
}

fn ignored_fixtures() -> Result<Vec<PathBuf>> {
    if !has_history() {
        return Ok(Vec::new());
    }
    list(&["--others", "--ignored", "--exclude-standard", "--", FIXTURES])
}

fn has_history() -> bool {
    workspace_root().join(".git").exists()
}

/// Files as `git ls-files` lists them: the committed ones, unless `options` say otherwise.
fn list(options: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = Command::new("git");
    // Continuous integration likes to check out as one user and to build as another; nothing of git's is run.
    command.args(["-c", "safe.directory=*", "ls-files", "-z"]).args(options).current_dir(workspace_root());
    let output = child::output(&mut command)?;
    if !output.status.success() {
        bail!("`git ls-files` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout).context("git names a file that is not UTF-8")?;
    Ok(names.split_terminator('\0').map(PathBuf::from).collect())
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && entry.file_name() != "target" {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn patterns(root: &Path) -> Vec<String> {
    let mut patterns: Vec<String> = HOMES.map(str::to_owned).into();
    if root.components().count() >= MIN_ROOT_COMPONENTS {
        patterns.push(format!("{}/", root.display()));
    }
    patterns
}

/// Line numbers, from 1, with the pattern that each holds.
fn hits<'a>(bytes: &[u8], patterns: &'a [String]) -> Vec<(usize, &'a str)> {
    // Compilers put strings into binaries one after the other with nothing in between.
    let anywhere = bytes.contains(&0);
    let mut hits = Vec::new();
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let held = patterns.iter().filter(|pattern| holds(line, pattern.as_bytes(), anywhere));
        hits.extend(held.map(|pattern| (index + 1, pattern.as_str())));
    }
    hits
}

/// Whether `line` has `pattern`: `anywhere`, or where no other path (`/usr/home/`, `$x/home/`) goes on into it.
fn holds(line: &[u8], pattern: &[u8], anywhere: bool) -> bool {
    let goes_on = |b: &u8| b.is_ascii_alphanumeric() || b"._-}~".contains(b);
    let starts_at = |at: usize| !at.checked_sub(1).and_then(|before| line.get(before)).is_some_and(goes_on);
    line.windows(pattern.len())
        .enumerate()
        .any(|(at, window)| window == pattern && (anywhere || starts_at(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_machine_are_found_in_text_and_in_binaries() {
        let patterns = patterns(Path::new("/somewhere/checkout"));
        let home = HOMES[1];
        let text = format!("fine\nsee {home}somebody/notes\n(/somewhere/checkout/src)\n");
        assert_eq!(hits(text.as_bytes(), &patterns), [(2, home), (3, "/somewhere/checkout/")]);
        let binary = format!("\x7fELF\0panicked{home}x");
        assert_eq!(hits(binary.as_bytes(), &patterns), [(1, home)]);
    }

    #[test]
    fn other_paths_are_not() {
        let patterns = patterns(Path::new("/src"));
        let text = format!("/src/lib.rs\n$BASE{0}x\n/usr{0}y\n", HOMES[0]);
        assert_eq!(hits(text.as_bytes(), &patterns), []);
    }

    #[test]
    fn this_file_is_among_the_committed_with_and_without_history() {
        let this = Path::new("xtask/src/committed.rs");
        assert!(files().unwrap().iter().any(|path| path == this));
        let mut walked = Vec::new();
        walk(&workspace_root().join("xtask"), &mut walked).unwrap();
        assert!(walked.contains(&workspace_root().join(this)));
    }
}
