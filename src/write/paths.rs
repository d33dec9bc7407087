//! Paths and names as `llvm-cov` prints them.
//!
//! What enters is names as an ELF has them; what leaves is what a terminal can be shown: control characters are
//! replaced. Source: `remove_dots`, `native` and the iterators in `llvm/lib/Support/Path.cpp`, and
//! `getRedundantPrefixLen` in `llvm/tools/llvm-cov/CoverageReport.cpp`, llvmorg-19.1.7.

use std::borrow::Cow;

use super::demangle::demangle;

/// The path with one slash between its parts, and without `.` and `..` parts.
pub(super) fn tidy(path: &[u8]) -> Vec<u8> {
    let path: Vec<u8> = path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
    let is_absolute = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    printable(&if is_absolute { [b"/", &*joined].concat() } else { joined })
}

/// Without control characters, which would reach the terminal.
pub(super) fn printable(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if byte.is_ascii_control() { b'?' } else { *byte }).collect()
}

/// A function's name, demangled if that is asked for.
pub(super) fn function_name(name: &[u8], is_demangled: bool) -> Vec<u8> {
    let text = if is_demangled {
        match demangle(name) {
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            // What is not UTF-8 stays as it is.
            Cow::Borrowed(_) => Cow::Borrowed(name),
        }
    } else {
        Cow::Borrowed(name)
    };
    printable(&text)
}

/// The length of what all paths begin with, in whole parts; 0 for one path.
pub(super) fn redundant_prefix_len(paths: &[&[u8]]) -> usize {
    let [first, others @ ..] = paths else { return 0 };
    if others.is_empty() {
        return 0;
    }
    let first = parts(first);
    let shared = |other: &&[u8]| parts(other).iter().zip(&first).take_while(|(a, b)| a.0 == b.0).count();
    // A path that is shorter than what is shared does not limit it: what is cut is never more than the path.
    let limit = |count: usize, other: &&[u8]| {
        let (shared, len) = (shared(other), parts(other).len());
        if shared < len { count.min(shared) } else { count }
    };
    let count = others.iter().fold(first.len(), limit);
    first.get(..count).and_then(<[_]>::last).map_or(0, |(_, end)| *end)
}

/// The parts of a path, the root first, each with where the next one begins.
fn parts(path: &[u8]) -> Vec<(&[u8], usize)> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(rest) = path.get(at..).filter(|rest| !rest.is_empty()) {
        let is_root = at == 0 && rest.starts_with(b"/");
        let end = if is_root { Some(1) } else { rest.iter().position(|byte| *byte == b'/') };
        let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
        let slashes = rest.iter().skip(part.len()).take_while(|byte| **byte == b'/').count();
        at = at.saturating_add(part.len()).saturating_add(slashes);
        parts.push((part, at));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_tidied_as_llvm_does() {
        for (path, tidied) in [
            ("/a/./b/../c//d/", "/a/c/d"),
            ("../x/../../y", "../../y"),
            ("/../a", "/a"),
            ("a\\b", "a/b"),
            ("plain", "plain"),
            ("\u{1b}[2J/é", "?[2J/é"),
        ] {
            assert_eq!(String::from_utf8(tidy(path.as_bytes())).unwrap(), tidied);
        }
    }

    #[test]
    fn what_all_paths_begin_with_ends_at_a_slash() {
        let len = |paths: &[&str]| {
            redundant_prefix_len(&paths.iter().map(|path| path.as_bytes()).collect::<Vec<_>>())
        };
        assert_eq!(len(&[]), 0);
        assert_eq!(len(&["/a/b.c"]), 0);
        assert_eq!(len(&["/a/b.c", "/a/bc.c"]), "/a/".len());
        assert_eq!(len(&["/a/b/c", "/x/b/c"]), "/".len());
        assert_eq!(len(&["a/b", "b/b"]), 0);
        assert_eq!(len(&["a//b/c", "a/b/d"]), "a//b/".len());
    }
}
