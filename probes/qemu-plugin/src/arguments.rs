//! The plugin's arguments: `trace=PATH,mode=blocks|edges|insns[,only=user|privileged][,counts=inline|callbacks]`. (QEMU keeps
//! `file` to itself.)

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::layout::Mode;
use crate::privilege::Privilege;

/// Arguments that were checked.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Arguments {
    pub(crate) file: OsString,
    pub(crate) mode: Mode,
    /// Whose code is counted; none: all.
    pub(crate) only: Option<Privilege>,
    /// Whether counts may be added by QEMU's own code.
    pub(crate) is_inline: bool,
}

impl Arguments {
    /// Takes arguments as QEMU splits them at commas.
    pub(crate) fn parse<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<Self, String> {
        let (mut file, mut mode, mut only, mut is_inline) = (None, Mode::Blocks, None, true);
        for word in words {
            let shown = || String::from_utf8_lossy(word).into_owned();
            let mut halves = word.splitn(2, |byte| *byte == b'=');
            let (key, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
            match (key, value) {
                (b"trace", path) if !path.is_empty() => file = Some(OsStr::from_bytes(path).to_owned()),
                (b"mode", b"blocks") => mode = Mode::Blocks,
                (b"mode", b"edges") => mode = Mode::Edges,
                (b"mode", b"insns") => mode = Mode::Insns,
                (b"only", b"user") => only = Some(Privilege::User),
                (b"only", b"privileged") => only = Some(Privilege::Privileged),
                (b"counts", b"inline") => is_inline = true,
                (b"counts", b"callbacks") => is_inline = false,
                _ => {
                    return Err(format!(
                        "read the arguments: {} is none of trace=PATH, mode=blocks|edges|insns, \
                         only=user|privileged and counts=inline|callbacks",
                        shown()
                    ));
                }
            }
        }
        let file = file.ok_or("read the arguments: there is no trace=PATH")?;
        Ok(Self { file, mode, only, is_inline })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(words.iter().map(|word| word.as_bytes()))
    }

    #[test]
    fn arguments_are_taken_in_any_order() {
        let all = parse(&["mode=edges", "only=user", "counts=callbacks", "trace=/a=b"]).unwrap();
        let only = Some(Privilege::User);
        assert_eq!(all, Arguments { file: "/a=b".into(), mode: Mode::Edges, only, is_inline: false });
        let least = parse(&["trace=x"]).unwrap();
        assert_eq!(least, Arguments { file: "x".into(), mode: Mode::Blocks, only: None, is_inline: true });
    }

    #[test]
    fn others_are_named() {
        assert!(parse(&["trace=x", "mode=lines"]).unwrap_err().contains(" mode=lines is none of "));
        assert_eq!(parse(&["mode=insns"]).unwrap_err(), "read the arguments: there is no trace=PATH");
    }
}
