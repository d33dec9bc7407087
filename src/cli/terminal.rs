//! Lines on a terminal.
//!
//! What enters is text that may have names in it that an ELF, notes, a target or a server chose. What always holds: it
//! stays one line, and moves no cursor.

/// The text without control characters.
#[must_use]
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Says something on stderr.
pub(super) fn say(text: &str) {
    eprintln!("covtap: {}", one_line(text));
}
