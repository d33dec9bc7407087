//! `.proftext`: LLVM's profile as text, in the very bytes of `llvm-profdata merge --text`.
//!
//! What enters is a [`StoredProfile`]; what leaves is a file's bytes. The form is drawn in
//! `src/profile/proftext.rs`. It belongs to no version, but readers before LLVM 18 refuse bitmaps.
//! Source: `InstrProfWriter::writeText` in `llvm/lib/ProfileData/InstrProfWriter.cpp`, llvmorg-19.1.7;
//! `instrument_loop_entries` of llvmorg-20.1.0.

use std::io::Write;

use crate::locate::llvm::Variant;
use crate::profile::llvm::Function;
use crate::profile::{StoredProfile, shown};

/// A profile that text cannot hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProftextError {
    /// Readers would take the name for something else.
    #[error("write a text profile: it cannot hold a function named {name:?}")]
    Name {
        /// The name, as far as it is text.
        name: String,
    },
    /// Text has no word for the kind of profile.
    #[error("write a text profile: it has no word for profiles of function entries only")]
    FunctionEntryOnly,
}

/// The lines that say what kind of profile it is; of the first two only one.
const HEAD: [(Variant, &str); 5] = [
    (Variant::CONTEXT_SENSITIVE_IR, "# CSIR level Instrumentation Flag\n:csir\n"),
    (Variant::IR_LEVEL, "# IR level Instrumentation Flag\n:ir\n"),
    (Variant::ENTRY_FIRST, "# Always instrument the function entry block\n:entry_first\n"),
    (Variant::LOOP_ENTRIES, "# Always instrument the loop entry blocks\n:instrument_loop_entries\n"),
    (Variant::BYTE_COVERAGE, "# Instrument block coverage\n:single_byte_coverage\n"),
];

/// Writes a profile as text.
///
/// # Errors
///
/// A name, or the kind of profile, cannot be told in text.
pub fn encode(profile: &StoredProfile) -> Result<Vec<u8>, ProftextError> {
    let mut variant = profile.variant();
    if variant.contains(Variant::FUNCTION_ENTRY_ONLY) {
        return Err(ProftextError::FunctionEntryOnly);
    }
    if variant.contains(Variant::CONTEXT_SENSITIVE_IR) {
        variant = variant.without(Variant::IR_LEVEL);
    }
    let mut text = Vec::new();
    for (_, lines) in HEAD.iter().filter(|(bits, _)| variant.contains(*bits)) {
        text.extend_from_slice(lines.as_bytes());
    }
    for (name, counts) in profile.functions() {
        if !is_expressible(name) {
            return Err(ProftextError::Name { name: shown(name) });
        }
        function(&mut text, name, &counts);
    }
    Ok(text)
}

/// Whether a reader takes a line with this name for a name, wherever it is.
fn is_expressible(name: &[u8]) -> bool {
    let is_mark = name.first().is_none_or(|first| b"#:$".contains(first));
    let is_number = name.iter().all(u8::is_ascii_digit);
    let is_one_line = !name.contains(&b'\n') && !name.contains(&b'\r');
    !is_mark && !is_number && is_one_line
}

fn function(text: &mut Vec<u8>, name: &[u8], function: &Function<'_>) {
    text.extend_from_slice(name);
    text.push(b'\n');
    // Writing into memory does not fail.
    let mut line = |before: &str, value: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{before}{value}");
    };
    line("# Func Hash:\n", format_args!("{}", function.func_hash));
    line("# Num Counters:\n", format_args!("{}", function.counts.len()));
    line("# Counter Values:", format_args!(""));
    for count in function.counts {
        line("", format_args!("{count}"));
    }
    if !function.bitmap.is_empty() {
        line("# Num Bitmap Bytes:\n$", format_args!("{}", function.bitmap.len()));
        line("# Bitmap Byte Values:", format_args!(""));
        for byte in function.bitmap {
            line("", format_args!("{byte:#x}"));
        }
        line("", format_args!(""));
    }
    line("", format_args!(""));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    #[test]
    fn what_is_written_is_read_again_as_it_was() {
        let text = "# CSIR level Instrumentation Flag\n:csir\nf g\n# Func Hash:\n1\n# Num Counters:\n1\n\
            # Counter Values:\n5\n# Num Bitmap Bytes:\n$1\n# Bitmap Byte Values:\n0xa\n\n\n";
        let profile = profile::read("text", text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(encode(&profile).unwrap()).unwrap(), text);
    }

    #[test]
    fn a_name_that_would_be_read_as_something_else_is_refused() {
        for name in ["$s4main", "7"] {
            // As the first of a profile it is a name; behind another function's counters it is none.
            let profile = profile::read("text", format!("{name}\n1\n1\n5\n").as_bytes()).unwrap();
            let message = format!("write a text profile: it cannot hold a function named {name:?}");
            assert_eq!(encode(&profile).unwrap_err().to_string(), message);
        }
    }
}
