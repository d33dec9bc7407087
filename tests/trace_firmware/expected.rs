//! Sources with what each line is expected to do written beside it.
//!
//! ```text
//! once   | _Noreturn void run(void) {
//! loop   |         rounds++;
//! never  |         return shut_down();
//!        | }
//! ```
//!
//! A mark with a `?` is of a line that has code or none, as the compiler likes. What enters is such a file and the source, which must be the same text; what leaves is what each line is expected to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use covtap_testbed::workspace_root;

/// When a line runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// Before the loop.
    Once,
    /// Again and again.
    Loop,
    Never,
}

/// What is expected of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) when: When,
    /// Whether it must have code, where the compiler leaves nothing out.
    pub(crate) is_sure: bool,
}

/// Lines with code, by their numbers.
pub(crate) type Expected = BTreeMap<u64, Mark>;

/// Reads what is expected of a source below the workspace, from a folder below `tests`.
pub(crate) fn of(folder: &str, source: &str) -> Expected {
    let name = Path::new(source).file_name().expect("a name").display().to_string();
    let marked = workspace_root().join("tests").join(folder).join(name + ".txt");
    let marked = fs::read_to_string(&marked).unwrap_or_else(|error| panic!("{}: {error}", marked.display()));
    let text = fs::read_to_string(workspace_root().join(source)).expect("the source");
    assert_eq!(marked.lines().count(), text.lines().count(), "{source}");
    let mut expected = Expected::new();
    for (number, (marked, line)) in (1..).zip(marked.lines().zip(text.lines())) {
        let (mark, shown) = marked.split_once('|').expect("a mark and a line");
        assert_eq!(shown.trim_end(), format!(" {line}").trim_end(), "{source}:{number}");
        let mark = mark.trim();
        let when = match mark.trim_end_matches('?') {
            "" => continue,
            "once" => When::Once,
            "loop" => When::Loop,
            "never" => When::Never,
            other => panic!("{source}:{number}: {other:?}"),
        };
        expected.insert(number, Mark { when, is_sure: !mark.ends_with('?') });
    }
    expected
}
