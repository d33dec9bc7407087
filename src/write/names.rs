//! Names of files and functions as text that XML and JSON can hold.
//!
//! What enters is bytes of the program's; what leaves is text. What always holds: there are no control characters in
//! it, of which XML 1.0 allows next to none, and no name is given out twice, since readers take what has one name for
//! one thing.

use std::collections::HashMap;

/// Stands for what is not UTF-8 and what XML cannot hold.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// The name as text.
pub(super) fn text(name: &[u8]) -> String {
    let is_refused = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    String::from_utf8_lossy(name).chars().map(|c| if is_refused(c) { REPLACEMENT } else { c }).collect()
}

/// The names that were given out, each with how often it was asked for.
#[derive(Default)]
pub(super) struct Names(HashMap<String, u64>);

impl Names {
    /// The short name if it is free, else the long one, else that with a number.
    pub(super) fn claim(&mut self, short: String, long: impl FnOnce() -> String) -> String {
        if self.is_new(&short) {
            return short;
        }
        let long = long();
        let mut name = long.clone();
        while !self.is_new(&name) {
            let asked = self.0.entry(long.clone()).or_default();
            *asked = asked.saturating_add(1);
            name = format!("{long} ({asked})");
        }
        name
    }

    fn is_new(&mut self, name: &str) -> bool {
        let is_new = !self.0.contains_key(name);
        if is_new {
            self.0.insert(name.to_owned(), 1);
        }
        is_new
    }
}

/// The path below a directory; `None` if it is not below it.
pub(super) fn below<'p>(path: &'p [u8], directory: &[u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(without_slash(directory))?.strip_prefix(b"/")?;
    (!rest.is_empty()).then_some(rest)
}

/// The innermost directory that all paths are below, without a slash at its end: the root is empty. `None` if a path
/// is relative, or if there are none.
pub(super) fn common_directory<'p>(paths: impl IntoIterator<Item = &'p [u8]>) -> Option<&'p [u8]> {
    let mut common = None;
    for path in paths {
        let end = path.iter().rposition(|byte| *byte == b'/')?;
        let directory = path.get(..end).filter(|_| path.starts_with(b"/"))?;
        common = Some(common.map_or(directory, |common| shared(common, directory)));
    }
    common
}

/// The components at the beginning of two paths that are the same.
fn shared<'p>(a: &'p [u8], b: &[u8]) -> &'p [u8] {
    let components = |path| <[u8]>::split(path, |byte| *byte == b'/');
    let same = components(a).zip(components(b)).take_while(|(a, b)| a == b);
    let len = same.fold(0usize, |len, (component, _)| len.saturating_add(component.len()).saturating_add(1));
    a.get(..len.saturating_sub(1)).unwrap_or_default()
}

fn without_slash(directory: &[u8]) -> &[u8] {
    let end = directory.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last.saturating_add(1));
    directory.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::Writer;

    use super::*;

    proptest! {
        #[test]
        fn text_comes_out_of_xml_as_it_went_in(name in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut writer = Writer::new(Vec::new());
            let text = text(&name);
            writer.create_element("name").with_attribute(("is", text.as_str())).write_empty().unwrap();
            let xml = String::from_utf8(writer.into_inner()).unwrap();
            let document = roxmltree::Document::parse(&xml).unwrap();
            prop_assert_eq!(document.root_element().attribute("is"), Some(text.as_str()));
        }
    }

    #[test]
    fn what_text_cannot_hold_is_replaced() {
        assert_eq!(text("a/ü<&>\".c".as_bytes()), "a/ü<&>\".c");
        assert_eq!(text(b"a\xff\x00\x1b\n\x7f.c"), "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}.c");
        assert_eq!(text("\u{85}\u{fffe}\u{ffff}".as_bytes()), "\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_name_is_given_out_once() {
        let mut names = Names::default();
        let mut claim = |short: &str, long: &str| names.claim(short.to_owned(), || long.to_owned());
        assert_eq!(claim("a.c", "/x/a.c"), "a.c");
        assert_eq!(claim("a.c", "/x/a.c"), "/x/a.c");
        assert_eq!(claim("/x/a.c (3)", "b"), "/x/a.c (3)");
        assert_eq!(claim("a.c", "/x/a.c"), "/x/a.c (2)");
        assert_eq!(claim("a.c", "/x/a.c"), "/x/a.c (4)");
        assert_eq!(claim("b", "b"), "b");
    }

    #[test]
    fn paths_are_cut_between_components() {
        assert_eq!(below(b"/a/b/c.c", b"/a/b"), Some(&b"c.c"[..]));
        assert_eq!(below(b"/a/b/c.c", b"/a//"), Some(&b"b/c.c"[..]));
        assert_eq!(below(b"/a/b/c.c", b"/"), Some(&b"a/b/c.c"[..]));
        assert_eq!(below(b"/a/bc.c", b"/a/b"), None);
        assert_eq!(below(b"/a/b", b"/a/b"), None);
        assert_eq!(below(b"a/b", b"/a"), None);
    }

    #[test]
    fn the_common_directory_is_of_whole_components() {
        let common = |paths: &[&'static str]| common_directory(paths.iter().map(|path| path.as_bytes()));
        assert_eq!(common(&["/a/b/c.c", "/a/bc/d.c"]), Some(&b"/a"[..]));
        assert_eq!(common(&["/a/b/c.c", "/a/b/d/e.c", "/a/b/f.c"]), Some(&b"/a/b"[..]));
        assert_eq!(common(&["/a/b.c"]), Some(&b"/a"[..]));
        assert_eq!(common(&["/a/b.c", "/c/d.c"]), Some(&b""[..]));
        assert_eq!(common(&["/a.c", "/c/d.c"]), Some(&b""[..]));
        assert_eq!(common(&["/a/b.c", "a/c.c"]), None);
        assert_eq!(common(&["b.c"]), None);
        assert_eq!(common(&[]), None);
    }
}
