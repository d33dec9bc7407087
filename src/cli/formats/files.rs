//! Which files a report is about, and what they are called in it.

use anyhow::Result;
use clap::Args;
use regex::bytes::Regex;

use crate::coverage::gcov::{Notes, UnitCoverage};
use crate::coverage::trace::TracedImage;
use crate::coverage::{Coverage, Mapping};

/// Which files, and under which names.
#[derive(Debug, Default, Args)]
pub(super) struct FileArgs {
    /// Leave out files whose path has a match of this regular expression; may be given again
    #[arg(long, value_name = "REGEX", value_parser = Regex::new)]
    ignore_filename_regex: Vec<Regex>,
    /// Show files below FROM, where they were compiled, as files below TO, where they are now; may be given again, and
    /// the first that fits a file is taken
    #[arg(long, value_name = "FROM=TO", value_parser = PathMap::parse)]
    path_map: Vec<PathMap>,
}

/// A folder that is somewhere else now.
#[derive(Clone, PartialEq, Eq, Debug)]
struct PathMap {
    from: String,
    to: String,
}

impl PathMap {
    /// Reads `FROM=TO`, both without the slashes at their end.
    fn parse(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once('=').ok_or("wants FROM=TO")?;
        let trim = |folder: &str| folder.trim_end_matches('/').to_owned();
        if from.is_empty() {
            return Err("no folder before the =".to_owned());
        }
        Ok(Self { from: trim(from), to: if to == "/" { to.to_owned() } else { trim(to) } })
    }

    /// The new name of a file in the folder.
    fn apply(&self, name: &[u8]) -> Option<Vec<u8>> {
        let rest = name.strip_prefix(self.from.as_bytes())?;
        let below = rest.strip_prefix(b"/")?;
        match self.to.as_str() {
            "" => Some(below.to_vec()),
            "/" => Some(rest.to_vec()),
            to => Some([to.as_bytes(), rest].concat()),
        }
    }
}

impl FileArgs {
    /// Gives the mapping's files the names that they are shown under.
    pub(super) fn rename(&self, mapping: &mut Mapping) {
        if !self.path_map.is_empty() {
            mapping.rename_files(|name| self.path_map.iter().find_map(|map| map.apply(name)));
        }
    }

    /// Gives a unit's sources the names that they are shown under, with the folder that they were compiled in.
    pub(super) fn rename_unit(&self, notes: &Notes, unit: &mut UnitCoverage) {
        unit.rename_files(|name| {
            let path = notes.path_of(name);
            Some(self.path_map.iter().find_map(|map| map.apply(&path)).unwrap_or(path))
        });
    }

    /// Where a file is now that was compiled elsewhere, if that was said.
    pub(super) fn moved(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.path_map.iter().find_map(|map| map.apply(name))
    }

    /// Gives the sources of a trace, whose names are whole, the names that they are shown under.
    pub(super) fn rename_traced(&self, traced: &mut TracedImage) {
        traced.rename_files(|name| self.moved(name));
    }

    /// Leaves out the files that are not wanted.
    pub(super) fn leave_out(&self, coverage: &mut Coverage) {
        if !self.ignore_filename_regex.is_empty() {
            coverage
                .retain_files(|name| !self.ignore_filename_regex.iter().any(|regex| regex.is_match(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(map: &str, name: &str) -> Option<String> {
        let name = PathMap::parse(map).unwrap().apply(name.as_bytes())?;
        Some(String::from_utf8(name).unwrap())
    }

    #[test]
    fn a_folder_is_replaced_and_nothing_that_only_begins_like_it() {
        assert_eq!(applied("/build=/checkout", "/build/src/a.c").as_deref(), Some("/checkout/src/a.c"));
        assert_eq!(applied("/build/=/checkout/", "/build/src/a.c").as_deref(), Some("/checkout/src/a.c"));
        assert_eq!(applied("/build=", "/build/src/a.c").as_deref(), Some("src/a.c"));
        assert_eq!(applied("/build=/", "/build/src/a.c").as_deref(), Some("/src/a.c"));
        assert_eq!(applied("/=/sysroot", "/usr/a.h").as_deref(), Some("/sysroot/usr/a.h"));
        assert_eq!(applied("/build=/checkout", "/builder/a.c"), None);
        assert_eq!(applied("src=lib", "/src/a.c"), None);
        assert!(PathMap::parse("/build").is_err());
        assert!(PathMap::parse("=/build").is_err());
    }
}
