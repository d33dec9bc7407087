//! Text of programs and sources, made safe to look at.
//!
//! What always holds: what leaves has no control character but the tab, and none that changes the direction of
//! writing, by which text can look like other text; they are shown as what they are. HTML's own characters are not
//! this file's business: templates escape them.

use std::borrow::Cow;

/// The text, with what cannot be seen made visible; what is not UTF-8 is replaced.
pub(super) fn visible(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if !text.contains(is_hidden) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match picture(character) {
            Some(picture) => shown.push(picture),
            None if is_hidden(character) => shown.push_str(&format!("⟨U+{:04X}⟩", u32::from(character))),
            None => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

fn is_hidden(character: char) -> bool {
    let is_direction = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_break = matches!(character, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}');
    (character.is_control() && character != '\t') || is_direction || is_break
}

/// Unicode's picture of an ASCII control character.
fn picture(character: char) -> Option<char> {
    match character {
        '\t' => None,
        '\0'..='\x1f' => char::from_u32(u32::from(character).saturating_add(0x2400)),
        '\x7f' => Some('\u{2421}'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible(b"a\tb\0\x1b\x7f\xff"), "a\tb␀␛␡\u{fffd}");
        assert_eq!(visible("if (\u{202e}a\u{85})".as_bytes()), "if (⟨U+202E⟩a⟨U+0085⟩)");
        assert!(matches!(visible("größer".as_bytes()), Cow::Borrowed("größer")));
    }
}
