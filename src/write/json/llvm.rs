//! Values as LLVM's JSON library prints them: `json::OStream` in `llvm/lib/Support/JSON.cpp`, llvmorg-19.1.7.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CharEscape, Formatter};

/// As many digits as tell any two doubles apart.
const DIGITS: i32 = 17;

/// Writes a value.
pub(super) fn value(value: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Llvm)).map_err(io::Error::from)
}

/// Where LLVM's text differs from that of `serde_json`: in fractions, and in control characters.
struct Llvm;

impl Formatter for Llvm {
    fn write_f64<W: Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(general(value).as_bytes())
    }

    fn write_char_escape<W: Write + ?Sized>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"/"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
        }
    }
}

/// A number that is not negative as C's `%.17g` prints it.
fn general(value: f64) -> String {
    let decimals = |digits: i32| usize::try_from(digits).unwrap_or_default();
    let scientific = format!("{value:.*e}", decimals(DIGITS.saturating_sub(1)));
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..DIGITS).contains(&exponent) {
        let after_point = DIGITS.saturating_sub(1).saturating_sub(exponent);
        return without_zeros(&format!("{value:.*}", decimals(after_point))).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), exponent.unsigned_abs())
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use covtap_testbed::run;

    #[test]
    fn numbers_are_as_c_prints_them() {
        let mut values = vec![0.0, 100.0, 50.0, 1e-4, 1e-5, 1.5e-7, 99.99999999999999, 1e16, 1e17, 2.5e20];
        values.extend((1..300u32).map(|total| f64::from(total / 3) / f64::from(total) * 100.0));
        values.extend((1..100u32).map(|total| 1.0 / f64::from(total.pow(4)) * 100.0));
        let program = r#"BEGIN { for (i = 1; i < ARGC; i++) printf "%.17g\n", ARGV[i] + 0 }"#;
        // Rust writes the shortest digits that give the same number when they are read.
        let args = [program.to_owned()].into_iter().chain(values.iter().map(f64::to_string));
        let theirs = run("awk", args).unwrap();
        let ours: Vec<String> = values.iter().map(|value| general(*value)).collect();
        assert_eq!(ours, theirs.lines().collect::<Vec<_>>());
    }

    #[test]
    fn control_characters_have_the_escapes_of_llvm() {
        let mut text = Vec::new();
        value(&"\u{8}\u{c}\t\n\r\u{1}\u{7f}/\"\\é", &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "\"\\u0008\\u000c\\t\\n\\r\\u0001\u{7f}/\\\"\\\\é\"");
    }
}
