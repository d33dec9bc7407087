//! Names as people write them in source.
//!
//! What enters is a mangled name of C++ or Rust; what leaves is its text. What always holds: a name that is not
//! mangled, or wrongly, comes out as it is; names are as long as `MAX_TEXT_BYTES` at most, since a short mangled
//! name can stand for an endless one.

use std::borrow::Cow;
use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, Symbol};

/// The longest name that is worth showing demangled.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// The name without its mangling; what is not UTF-8 in it is replaced.
#[must_use]
pub fn demangle(name: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(name);
    // Before a local function's name its file stands, with a colon or a semicolon behind it.
    let (file, symbol) = text
        .split_at_checked(text.rfind([':', ';']).map_or(0, |at| at.saturating_add(1)))
        .unwrap_or(("", &text));
    match rust(symbol).or_else(|| cpp(symbol.as_bytes())) {
        Some(demangled) => Cow::Owned(format!("{file}{demangled}")),
        None => text,
    }
}

/// A name of rustc's, without the hash at its end.
fn rust(name: &str) -> Option<String> {
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    let mut text = Bounded::default();
    write!(text, "{demangled:#}").ok()?;
    Some(text.0)
}

fn cpp(name: &[u8]) -> Option<String> {
    // Without its prefix nearly every name would be one of a type.
    if !name.starts_with(b"_Z") {
        return None;
    }
    let symbol = Symbol::new(name).ok()?;
    let mut text = Bounded::default();
    symbol.structured_demangle(&mut text, &DemangleOptions::new()).ok()?;
    Some(text.0)
}

/// Text that refuses to become too long.
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len().saturating_add(text.len()) > MAX_TEXT_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rust_and_cpp_are_demangled_and_others_are_not() {
        for (mangled, text) in [
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_RNvCskwGfYPst2Cb_3foo3bar", "foo::bar"),
            ("_Z3addii", "add(int, int)"),
            ("_ZN5valve4openIcEEvT_", "void valve::open<char>(char)"),
            ("main", "main"),
            ("program.cpp:_ZL9in_headeri", "program.cpp:in_header(int)"),
            ("a:b;c.rs;_RNvCskwGfYPst2Cb_3foo3bar", "a:b;c.rs;foo::bar"),
            ("program.c:check", "program.c:check"),
            ("i", "i"),
            ("_Zwrong", "_Zwrong"),
        ] {
            assert_eq!(demangle(mangled.as_bytes()), text);
        }
        assert_eq!(demangle(b"a\xff"), "a\u{fffd}");
    }

    #[test]
    fn a_name_that_grows_without_end_comes_out_as_it_is() {
        // Each parameter is a pair of the one before it, twice.
        let doubled = |depth: u32| {
            let back = |i: u32| if i == 0 { "S_".to_owned() } else { format!("S{}_", to_base_36(i - 1)) };
            let types: String = (0..depth).map(|i| format!("4pairI{0}{0}E", back(2 * i))).collect();
            format!("_Z1f3one{types}")
        };
        assert!(demangle(doubled(3).as_bytes()).len() > 100);
        let endless = doubled(34);
        assert_eq!(demangle(endless.as_bytes()), endless);
    }

    fn to_base_36(number: u32) -> String {
        let digit = |d: u32| char::from_digit(d, 36).unwrap().to_ascii_uppercase();
        if number < 36 {
            digit(number).to_string()
        } else {
            format!("{}{}", digit(number / 36), digit(number % 36))
        }
    }
}
