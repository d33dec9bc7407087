//! What `gcov-dump` says of files, in the terms of what was located.

use covtap::locate::gcov::{CounterKind, Function, Object};

/// A function: ident and checksums.
pub(crate) type Key = [u32; 3];

/// The index of each kind of counter and how many there are, where that is the same in memory.
type Counts = Vec<(usize, Option<u32>)>;

/// A file.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct File {
    pub(crate) version: u32,
    pub(crate) stamp: u32,
    pub(crate) checksum: Option<u32>,
    pub(crate) functions: Vec<Option<(Key, Counts)>>,
}

fn number(text: &str) -> u32 {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap(),
    }
}

fn after<'t>(line: &'t str, label: &str) -> &'t str {
    let rest = line.split_once(label).unwrap_or_else(|| panic!("{label} in {line}")).1;
    rest.split([',', ' ', '\'']).next().unwrap()
}

fn key(line: &str) -> Key {
    ["ident=", "lineno_checksum=", "cfg_checksum="].map(|label| number(after(line, label)))
}

impl File {
    /// From what `gcov-dump -l` prints of a `.gcda` file.
    pub(crate) fn from_dump(text: &str) -> Self {
        let mut file = File { version: 0, stamp: 0, checksum: None, functions: Vec::new() };
        for line in text.lines() {
            if line.contains(":version ") {
                let word: [u8; 4] = after(line, "version `").as_bytes().try_into().unwrap();
                file.version = u32::from_be_bytes(word);
            } else if line.contains(":stamp ") {
                file.stamp = number(after(line, ":stamp "));
            } else if line.contains(":checksum ") {
                file.checksum = Some(number(after(line, ":checksum ")));
            } else if line.contains("FUNCTION ident=") {
                file.functions.push(Some((key(line), Vec::new())));
            } else if line.contains(":FUNCTION") {
                file.functions.push(None);
            } else if let Some((tag, rest)) = line.split_once(":COUNTERS ") {
                let tag = tag.split(':').nth(1).unwrap().trim();
                let index = (u32::from_str_radix(tag, 16).unwrap() - 0x01a1_0000) >> 17;
                let (kind, num) = rest.split_once(' ').unwrap();
                // In a file they are values and counts, in memory lists of them.
                let num = (!matches!(kind, "topn" | "indirect_call")).then(|| number(after(num, "")));
                let (_, counters) = file.functions.last_mut().unwrap().as_mut().unwrap();
                counters.push((usize::try_from(index).unwrap(), num));
            }
        }
        file
    }

    /// What the file of an object would say.
    pub(crate) fn of(object: &Object) -> Self {
        let function = |function: &Function| {
            let key = [function.ident, function.lineno_checksum, function.cfg_checksum];
            let counters = function.counters.iter().map(|counters| {
                let is_list = matches!(counters.kind, CounterKind::TopN | CounterKind::IndirectCall);
                (counters.index, (!is_list).then_some(counters.num))
            });
            (key, counters.collect())
        };
        File {
            version: object.version.word(),
            stamp: object.stamp,
            checksum: object.checksum,
            functions: object.functions.iter().map(|f| f.as_ref().map(function)).collect(),
        }
    }
}

/// The functions of a `.gcno` file by name.
pub(crate) fn notes(text: &str) -> Vec<(String, Key)> {
    let lines = text.lines().filter(|line| line.contains("FUNCTION ident="));
    lines.map(|line| (after(line, "`").to_owned(), key(line))).collect()
}
