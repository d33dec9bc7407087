//! The index of a folder of labelled tests: which tests there were, and the files that hold what each counted.
//!
//! ```json
//! {"format":"covtap-tests","version":1,"tests":[
//!   {"name":"boot/self test","runs":2,"profile":"boot_self_test-1.profraw","gcda":null}]}
//! ```
//!
//! What enters is the text of `tests.json`, or the tests of a session; what leaves is a [`TestIndex`], or its text. What
//! always holds: no two tests have one name or one file; names have no control characters; a file's name is relative
//! and has no `..` in it. Where a symbolic link leads is for the one that opens it to find out. The format is described in
//! `docs/tests.md`.

use std::collections::HashSet;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::shown;

/// The name of the index in its folder.
pub const INDEX_FILE: &str = "tests.json";

/// The longest text that is read.
pub const MAX_INDEX_BYTES: usize = 64 << 20;

/// As many tests an index has at most.
pub const MAX_TESTS: usize = 100_000;

/// The longest name of a test.
pub const MAX_NAME_BYTES: usize = 256;

/// The longest name of a file: what Linux takes.
const MAX_PATH_BYTES: usize = 4096;

const FORMAT: &str = "covtap-tests";
const VERSION: u64 = 1;

/// A test, and what it counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TestEntry {
    /// Its label.
    pub name: String,
    /// How often it was begun and ended.
    pub runs: u64,
    /// Whether it was running when the session ended: what was counted until then is in it, and that run is not in `runs`.
    #[serde(rename = "cut", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
    /// A raw profile of LLVM's, from the index's folder.
    pub profile: Option<String>,
    /// A folder of `.gcda` files, from the index's folder.
    pub gcda: Option<String>,
}

/// The tests of a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestIndex {
    tests: Vec<TestEntry>,
}

/// An index says what none may say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestIndexError {
    /// It is too long.
    #[error("parse the index of tests: it is longer than {MAX_INDEX_BYTES} bytes")]
    TooLong,
    /// It is not JSON, or not of this form.
    #[error("parse the index of tests: {0}")]
    Json(#[from] serde_json::Error),
    /// It is something else.
    #[error("parse the index of tests: its format is {found:?}, not {FORMAT:?}")]
    Format {
        /// What it says it is.
        found: String,
    },
    /// It is of another version.
    #[error("parse the index of tests: it is of version {found}, not {VERSION}")]
    Version {
        /// The version.
        found: u64,
    },
    /// It has too many tests.
    #[error("index tests: {found} of them, and {MAX_TESTS} are the most")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// A name is none.
    #[error("index test {}: {detail}", brief(name))]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// Two tests have one name, or one file.
    #[error("index test {}: {what} {} is there twice", brief(name), brief(value))]
    Twice {
        /// The second test.
        name: String,
        /// What they share.
        what: &'static str,
        /// Its text.
        value: String,
    },
    /// A file's name is none that is followed.
    #[error("index test {}: its file {} {detail}", brief(name), brief(path))]
    Path {
        /// The test.
        name: String,
        /// The file's name.
        path: String,
        /// What is wrong.
        detail: &'static str,
    },
}

impl TestIndexError {
    /// Whether a newer covtap may be able to read it.
    #[must_use]
    pub fn is_other_version(&self) -> bool {
        matches!(self, Self::Version { .. })
    }
}

/// What every version begins with.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    format: String,
    #[serde(default)]
    version: u64,
}

/// The form of the text.
#[derive(Serialize)]
struct Written<'a> {
    format: &'static str,
    version: u64,
    tests: &'a [TestEntry],
}

/// The same as it is read.
#[derive(Deserialize)]
struct Read {
    tests: Vec<TestEntry>,
}

impl TestIndex {
    /// An index of these tests.
    ///
    /// # Errors
    ///
    /// A name or a file is none that an index can have, or is there twice; or there are too many.
    pub fn new(tests: Vec<TestEntry>) -> Result<Self, TestIndexError> {
        if tests.len() > MAX_TESTS {
            return Err(TestIndexError::TooMany { found: tests.len() });
        }
        let (mut names, mut files) = (HashSet::new(), HashSet::new());
        for test in &tests {
            check_test_name(&test.name)?;
            once(&mut names, test, "the name", &test.name)?;
            for path in test.files() {
                check_path(&test.name, path)?;
                once(&mut files, test, "the file", path)?;
            }
        }
        Ok(Self { tests })
    }

    /// Reads the text of an index.
    ///
    /// # Errors
    ///
    /// It is none, or of another version; or as [`TestIndex::new`].
    pub fn parse(text: &[u8]) -> Result<Self, TestIndexError> {
        if text.len() > MAX_INDEX_BYTES {
            return Err(TestIndexError::TooLong);
        }
        let Head { format, version } = serde_json::from_slice(text)?;
        if format != FORMAT {
            return Err(TestIndexError::Format { found: brief(&format) });
        }
        if version != VERSION {
            return Err(TestIndexError::Version { found: version });
        }
        let Read { tests } = serde_json::from_slice(text)?;
        Self::new(tests)
    }

    /// The text, a line for each test.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let written = Written { format: FORMAT, version: VERSION, tests: &self.tests };
        // Strings and numbers can always be written to memory.
        let mut text = serde_json::to_vec(&written).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// The tests, in the order of the index.
    #[must_use]
    pub fn tests(&self) -> &[TestEntry] {
        &self.tests
    }
}

impl TestEntry {
    /// The files and folders that it names.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.profile.iter().chain(&self.gcda).map(String::as_str)
    }
}

/// Checks the name of a test.
///
/// # Errors
///
/// It is too long, or has control characters.
pub fn check_test_name(name: &str) -> Result<(), TestIndexError> {
    let fail = |detail| Err(TestIndexError::Name { name: name.to_owned(), detail });
    match name {
        _ if name.len() > MAX_NAME_BYTES => fail("its name is longer than 256 bytes"),
        _ if name.chars().any(char::is_control) => fail("its name has a control character"),
        _ => Ok(()),
    }
}

/// Checks that a file's name leads to nothing outside of the folder, as far as names tell.
fn check_path(name: &str, path: &str) -> Result<(), TestIndexError> {
    let fail = |detail| Err(TestIndexError::Path { name: name.to_owned(), path: path.to_owned(), detail });
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    match path {
        "" => fail("has no name"),
        _ if path.len() > MAX_PATH_BYTES => fail("has a name of more than 4096 bytes"),
        _ if path.chars().any(char::is_control) => fail("has a control character in its name"),
        _ if Path::new(path).is_absolute() => fail("has an absolute name"),
        _ if !Path::new(path).components().all(is_plain) => fail("has a . or .. in its name"),
        _ => Ok(()),
    }
}

fn once<'a>(
    known: &mut HashSet<&'a str>,
    test: &TestEntry,
    what: &'static str,
    value: &'a str,
) -> Result<(), TestIndexError> {
    if known.insert(value) {
        return Ok(());
    }
    Err(TestIndexError::Twice { name: test.name.clone(), what, value: value.to_owned() })
}

/// A text from outside, short enough for a line.
fn brief(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let mut brief: String = text.chars().take(MAX_CHARS).collect();
    if brief.len() < text.len() {
        brief.push_str("...");
    }
    shown(brief.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(name: &str, profile: Option<&str>, gcda: Option<&str>) -> TestEntry {
        let [profile, gcda] = [profile, gcda].map(|path| path.map(str::to_owned));
        TestEntry { name: name.to_owned(), runs: 1, is_cut: false, profile, gcda }
    }

    /// Why an index with these tests is refused.
    fn refused(tests: &str) -> String {
        let text = format!(r#"{{"format":"covtap-tests","version":1,"tests":[{tests}]}}"#);
        TestIndex::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_text_is_the_one_that_is_documented() {
        let text = concat!(
            r#"{"format":"covtap-tests","version":1,"tests":["#,
            r#"{"name":"boot/self test","runs":2,"profile":"boot_self_test-1.profraw","gcda":null},"#,
            r#"{"name":"valve","runs":1,"profile":null,"gcda":"valve-2"}]}"#,
            "\n"
        );
        let index = TestIndex::parse(text.as_bytes()).unwrap();
        assert_eq!(index.tests()[0].runs, 2);
        assert_eq!(index.tests()[1].files().collect::<Vec<_>>(), ["valve-2"]);
        assert_eq!(String::from_utf8(index.encode()).unwrap(), text);
        let cut = r#"{"format":"covtap-tests","version":1,"tests":[{"name":"a","runs":0,"cut":true,"profile":null,"gcda":null}]}"#;
        let index = TestIndex::parse(cut.as_bytes()).unwrap();
        assert!(index.tests()[0].is_cut);
        assert_eq!(String::from_utf8(index.encode()).unwrap(), format!("{cut}\n"));
        // What a later covtap may add beside is not in the way; what is missing of the files is none.
        let more =
            br#"{"version":1,"by":"x","tests":[{"name":"","runs":0,"why":[]}],"format":"covtap-tests"}"#;
        assert_eq!(TestIndex::parse(more).unwrap().tests(), [TestEntry { runs: 0, ..entry("", None, None) }]);
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let said = |text: &str| TestIndex::parse(text.as_bytes()).unwrap_err().to_string();
        let prefix = "parse the index of tests: ";
        assert_eq!(
            said(r#"{"format":"x","version":1}"#),
            format!(r#"{prefix}its format is "x", not "covtap-tests""#)
        );
        assert_eq!(said("{}"), format!(r#"{prefix}its format is "", not "covtap-tests""#));
        assert_eq!(
            said(r#"{"format":"covtap-tests","version":2,"tests":{"new":1}}"#),
            format!("{prefix}it is of version 2, not 1")
        );
        assert!(said(r#"{"format":"covtap-tests","version":1}"#).contains("missing field `tests`"));
        assert!(said(r#"{"format":"covtap-tests","version":1,"tests":[{"na"#).contains("EOF while parsing"));
        assert!(said(&"[".repeat(1 << 20)).starts_with(prefix));
        assert!(refused(r#"{"name":"a","runs":-1}"#).contains("invalid value"));
        assert!(refused(r#"{"name":"a","runs":18446744073709551616}"#).starts_with(prefix));
        let long = vec![b' '; MAX_INDEX_BYTES + 1];
        assert!(matches!(TestIndex::parse(&long), Err(TestIndexError::TooLong)));
        let many = vec![entry("a", None, None); MAX_TESTS + 1];
        assert!(matches!(TestIndex::new(many), Err(TestIndexError::TooMany { .. })));
    }

    #[test]
    fn names_are_there_once_and_on_one_line() {
        assert_eq!(
            refused(r#"{"name":"a","runs":1},{"name":"a","runs":1}"#),
            "index test a: the name a is there twice"
        );
        assert_eq!(
            refused(r#"{"name":"a","runs":1,"profile":"p"},{"name":"b","runs":1,"gcda":"p"}"#),
            "index test b: the file p is there twice"
        );
        assert_eq!(
            refused(r#"{"name":"a\nb","runs":1}"#),
            r"index test a\nb: its name has a control character"
        );
        assert_eq!(
            refused(r#"{"name":"\u0085","runs":1}"#),
            r"index test \xc2\x85: its name has a control character"
        );
        assert!(check_test_name(&"ä".repeat(128)).is_ok());
        let said = check_test_name(&"ä".repeat(129)).unwrap_err().to_string();
        assert_eq!(said, format!("index test {}...: its name is longer than 256 bytes", "ä".repeat(80)));
    }

    #[test]
    fn no_file_is_outside_by_its_name() {
        let said = |path: &str| TestIndex::new(vec![entry("t", None, Some(path))]).map_err(|e| e.to_string());
        for path in ["a", "a/b.profraw", "...", "a..b/ü", "a/./b"] {
            assert!(said(path).is_ok(), "{path}");
        }
        assert_eq!(
            said("/etc/passwd").unwrap_err(),
            "index test t: its file /etc/passwd has an absolute name"
        );
        for path in ["..", "../a", "a/../b", "a/..", "./a", "."] {
            assert_eq!(
                said(path).unwrap_err(),
                format!("index test t: its file {path} has a . or .. in its name")
            );
        }
        assert!(said("").unwrap_err().ends_with("has no name"));
        assert!(said("a\0b").unwrap_err().ends_with("has a control character in its name"));
        assert!(said(&"a".repeat(4097)).unwrap_err().ends_with("has a name of more than 4096 bytes"));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = TestIndex::parse(&text);
        }

        #[test]
        fn a_cut_or_changed_index_is_refused_or_holds_what_it_must(at in 0usize..140, byte in any::<u8>()) {
            let mut text = TestIndex::new(vec![entry("a b", Some("a.profraw"), Some("a"))]).unwrap().encode();
            let at = at % text.len();
            prop_assert!(at + 2 >= text.len() || TestIndex::parse(&text[..at]).is_err());
            text[at] = byte;
            if let Ok(index) = TestIndex::parse(&text) {
                prop_assert_eq!(TestIndex::parse(&index.encode()).unwrap(), index);
            }
        }
    }
}
