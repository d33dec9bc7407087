//! File names of source pages.
//!
//! What enters is the name of a source as an ELF has it, which may say anything; what leaves is the name of a page. What
//! always holds: it is made of ASCII letters, digits, `.`, `-` and `_` only, does not begin with a dot, is no longer
//! than [`MAX_LEN`], depends on nothing but the source's name as long as no two sources have the same digest, and no two
//! pages have the same name, also where upper and lower case are the same.

use std::collections::HashSet;

use md5::{Digest, Md5};

/// How much of the end of the source's name is kept.
const MAX_KEPT: usize = 60;

/// The longest name of a page.
#[cfg(test)]
const MAX_LEN: usize = MAX_KEPT + 48;

/// Names for pages, each given once.
#[derive(Default)]
pub(super) struct PageNames(HashSet<String>);

impl PageNames {
    /// A name for the page of this source.
    pub(super) fn give(&mut self, source: &[u8]) -> String {
        let base = source.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let kept = base.get(base.len().saturating_sub(MAX_KEPT)..).unwrap_or_default();
        let safe = |byte: &u8| match byte {
            b'.' | b'-' | b'_' => char::from(*byte),
            byte if byte.is_ascii_alphanumeric() => char::from(*byte),
            _ => '_',
        };
        let kept: String = kept.iter().map(safe).collect();
        let kept = kept.trim_start_matches('.');
        let digest: String = Md5::digest(source).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let mut name = format!("{kept}-{digest}.html");
        // Short digests meet by chance, and long ones on purpose.
        for number in 2usize.. {
            if self.0.insert(name.to_ascii_lowercase()) {
                break;
            }
            name = format!("{kept}-{digest}-{number}.html");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_told_apart_and_say_where_they_come_from() {
        let mut names = PageNames::default();
        let a = names.give(b"src/main.rs");
        assert!(a.starts_with("main.rs-") && a.ends_with(".html"), "{a}");
        assert_ne!(names.give(b"src/Main.rs").to_ascii_lowercase(), a);
        let again = names.give(b"src/main.rs");
        assert_eq!(again, a.replace(".html", "-2.html"));
        assert_eq!(PageNames::default().give(b"src/main.rs"), a);
    }

    proptest! {
        #[test]
        fn no_name_leads_anywhere(source in prop::collection::vec(any::<u8>(), 0..300), dots in "[./\\\\]{0,9}") {
            for source in [source.clone(), [dots.as_bytes(), &source].concat(), [&source, dots.as_bytes()].concat()] {
                let name = PageNames::default().give(&source);
                prop_assert!(name.len() <= MAX_LEN && !name.starts_with('.'), "{}", name);
                let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
                prop_assert!(name.chars().all(is_plain), "{}", name);
            }
        }
    }
}
