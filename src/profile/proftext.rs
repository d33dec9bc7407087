//! `.proftext`: LLVM's profile as text.
//!
//! What enters is a file's bytes; what leaves is a [`StoredProfile`].
//!
//! ```text
//! :ir                  what kind of profile, none to several lines: the table WORDS
//! name                 of a function; then of the next one, until the end
//! 24                   its hash
//! 2                    its number of counters, then each count
//! 5
//! 3
//! $1                   the length of its MC/DC bitmap, then each byte; absent if it has none
//! 0x5
//! 1                    its number of value kinds; absent if values were not profiled
//! 0                    a kind, its number of sites, and for each site its number of values, then each value
//! 1
//! 1
//! callee:5
//! ```
//!
//! Blank lines and those that begin with # say nothing. Values are skipped and counted.
//! Source: `TextInstrProfReader` in `llvm/lib/ProfileData/InstrProfReader.cpp`, llvmorg-19.1.7;
//! `instrument_loop_entries` of llvmorg-20.1.0.

use super::stored::StoredProfile;
use crate::locate::llvm::Variant;

/// The words that the head of a profile has for its kind, and the bits that they stand for.
const WORDS: [(&str, Variant); 6] = [
    ("fe", Variant::of_word(0)),
    ("ir", Variant::IR_LEVEL),
    ("csir", Variant::IR_LEVEL.with(Variant::CONTEXT_SENSITIVE_IR)),
    ("entry_first", Variant::ENTRY_FIRST),
    ("instrument_loop_entries", Variant::LOOP_ENTRIES),
    ("single_byte_coverage", Variant::BYTE_COVERAGE),
];

/// The number of value kinds that are known (`IPVK_Last + 1`).
const MAX_VALUE_KINDS: u64 = 3;

/// What is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TextFault {
    pub(super) line: usize,
    pub(super) detail: String,
}

/// Whether the first bytes are text.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t'..=b'\r');
    !bytes.is_empty() && bytes.iter().take(4).all(is_text)
}

/// Reads a profile.
pub(super) fn read(bytes: &[u8]) -> Result<StoredProfile, TextFault> {
    let mut lines = Lines::new(bytes);
    let mut profile = StoredProfile::new(head(&mut lines)?);
    while let Some(name) = lines.next() {
        let func_hash = lines.number("function hash")?;
        let num_counters = lines.number("number of counters")?;
        if num_counters == 0 {
            return Err(lines.fault("number of counters is zero"));
        }
        let counts = lines.list(num_counters, |lines| lines.number("counter value"))?;
        let bitmap = bitmap(&mut lines)?;
        let sites = skip_values(&mut lines)?;
        profile.leave_out_value_sites(sites);
        profile.add(name, func_hash, counts, bitmap);
    }
    Ok(profile)
}

fn head(lines: &mut Lines<'_>) -> Result<Variant, TextFault> {
    let mut variant = Variant::default();
    while let Some(word) = lines.peek().and_then(|line| line.strip_prefix(b":")) {
        lines.next();
        if word.eq_ignore_ascii_case(b"not_entry_first") {
            variant = variant.without(Variant::ENTRY_FIRST);
            continue;
        }
        let known = WORDS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known.as_bytes()));
        let Some((_, bits)) = known else {
            return Err(lines.fault(&format!("profiles of kind :{} are not read", word.escape_ascii())));
        };
        variant = variant.with(*bits);
    }
    Ok(variant)
}

fn bitmap(lines: &mut Lines<'_>) -> Result<Vec<u8>, TextFault> {
    let Some(len) = lines.peek().and_then(|line| line.strip_prefix(b"$")) else { return Ok(Vec::new()) };
    lines.next();
    let len = number(len.trim_ascii()).ok_or_else(|| lines.fault("number of bitmap bytes is no number"))?;
    lines.list(len, |lines| {
        let byte = lines.number("bitmap byte")?;
        u8::try_from(byte).map_err(|_| lines.fault("bitmap byte is more than a byte"))
    })
}

/// Skips a function's values, and gives its number of value sites.
fn skip_values(lines: &mut Lines<'_>) -> Result<u64, TextFault> {
    let is_number = |line: &&[u8]| !line.is_empty() && line.iter().all(u8::is_ascii_digit);
    if lines.peek().filter(is_number).is_none() {
        return Ok(0);
    }
    let kinds = lines.number("number of value kinds")?;
    if kinds == 0 || kinds > MAX_VALUE_KINDS {
        return Err(lines.fault(&format!("{kinds} value kinds")));
    }
    let mut all = 0u64;
    for _ in 0..kinds {
        lines.number("value kind")?;
        let sites = lines.number("number of value sites")?;
        for _ in 0..sites {
            for _ in 0..lines.number("number of values")? {
                lines.next().ok_or_else(|| lines.fault("it ends where a value should be"))?;
            }
        }
        all = all.saturating_add(sites);
    }
    Ok(all)
}

/// A number as LLVM reads one of unknown base: 0x, 0b, 0o or 0 before its digits.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let based = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8)];
    let based = based.iter().find_map(|(prefix, base)| Some((text.strip_prefix(prefix)?, *base)));
    let (digits, base) = based.unwrap_or(match text.strip_prefix('0') {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => (digits, 8),
        _ => (text, 10),
    });
    // Rust's own conversion takes a sign, LLVM's does not.
    let is_digits = digits.chars().all(|c| c.is_ascii_alphanumeric());
    is_digits.then(|| u64::from_str_radix(digits, base).ok()).flatten()
}

/// The lines that say something.
struct Lines<'b> {
    rest: Option<&'b [u8]>,
    /// The number of the line last taken, from 1.
    line: usize,
}

impl<'b> Lines<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { rest: Some(bytes), line: 0 }
    }

    /// Passes what says nothing, and gives the next line without taking it.
    fn peek(&mut self) -> Option<&'b [u8]> {
        while let Some(line) = self.first() {
            if !line.is_empty() && !line.starts_with(b"#") {
                return Some(line);
            }
            self.pass();
        }
        None
    }

    fn next(&mut self) -> Option<&'b [u8]> {
        let line = self.peek()?;
        self.pass();
        Some(line)
    }

    fn first(&self) -> Option<&'b [u8]> {
        let line = self.rest?.split(|byte| *byte == b'\n').next()?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn pass(&mut self) {
        self.line = self.line.saturating_add(1);
        self.rest = self.rest.and_then(|rest| {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            rest.get(end.saturating_add(1)..)
        });
    }

    fn number(&mut self, what: &str) -> Result<u64, TextFault> {
        let line = self.next().ok_or_else(|| self.fault(&format!("it ends where a {what} should be")))?;
        number(line).ok_or_else(|| self.fault(&format!("{what} is no number")))
    }

    /// As many elements as promised. Memory is taken as they come, not as they are promised.
    fn list<T>(
        &mut self,
        len: u64,
        mut element: impl FnMut(&mut Self) -> Result<T, TextFault>,
    ) -> Result<Vec<T>, TextFault> {
        let mut list = Vec::new();
        for _ in 0..len {
            list.push(element(self)?);
        }
        Ok(list)
    }

    fn fault(&self, detail: &str) -> TextFault {
        TextFault { line: self.line, detail: detail.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_of_everything() {
        let text = b"# kind\n:IR\n:entry_first\n\nf\r\n0x18\n2\n5\n18446744073709551615\n$ 2\n0x5\n7\n\
            2\n0\n1\n2\na:5\nb:6\n1\n0\ng\n1\n1\n0";
        let profile = read(text).unwrap();
        assert_eq!(profile.variant(), Variant::IR_LEVEL.with(Variant::ENTRY_FIRST));
        let functions: Vec<_> = profile.functions().collect();
        assert_eq!((functions[0].0, functions[0].1.func_hash), (&b"f"[..], 24));
        assert_eq!((functions[0].1.counts, functions[0].1.bitmap), (&[5, u64::MAX][..], &[5, 7][..]));
        assert_eq!((functions[1].0, functions[1].1.counts), (&b"g"[..], &[0][..]));
        assert_eq!(profile.value_sites_left_out(), 1);
    }

    #[test]
    fn what_is_damaged_is_named_with_its_line() {
        let cases: [(&[u8], usize, &str); 6] = [
            (b":temporal_prof_traces\n", 1, "profiles of kind :temporal_prof_traces are not read"),
            (b"f\n-1\n", 2, "function hash is no number"),
            (b"f\n1\n0\n", 3, "number of counters is zero"),
            (b"f\n1\n99999999999\n4\n\n", 6, "it ends where a counter value should be"),
            (b"f\n1\n1\n4\n$1\n0x100\n", 6, "bitmap byte is more than a byte"),
            (b"f\n1\n1\n4\n9\n", 5, "9 value kinds"),
        ];
        for (text, line, detail) in cases {
            let fault = read(text).unwrap_err();
            assert_eq!((fault.line, fault.detail.as_str()), (line, detail));
        }
    }
}
