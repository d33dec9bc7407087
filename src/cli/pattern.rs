//! Names of output files, with letters as LLVM's `LLVM_PROFILE_FILE` has them and two of covtap's own.
//!
//! | letters | become | as |
//! |---|---|---|
//! | `%p` | covtap's process id | LLVM |
//! | `%h` | the host's name | LLVM |
//! | `%m`, `%Nm` | the image's signature and a pool index (0, or the process id modulo N); programs merge into the file | LLVM |
//! | `%c` | nothing; the file is kept up to date in place, which one with `%m` is in any case | LLVM |
//! | `%n` | the snapshot's number, from 1 | covtap |
//! | `%t` | the time of the snapshot in UTC, `20260131T235959Z` | covtap |
//! | `%%` | a per cent sign | covtap |
//!
//! What is kept up to date has one name: with `%c` there is neither `%n` nor `%t`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use jiff::Timestamp;

/// One piece of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    ProcessId,
    HostName,
    Signature { pool_size: u32 },
    SnapshotNumber,
    UtcTime,
}

/// A parsed pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
    is_continuous: bool,
}

/// What the letters of a pattern stand for at one snapshot.
#[derive(Clone, Debug)]
pub(super) struct Values {
    /// This process.
    pub(super) process_id: u32,
    /// This host.
    pub(super) host_name: String,
    /// The image's signature.
    pub(super) signature: u64,
    /// The snapshot's number.
    pub(super) snapshot: u64,
    /// The snapshot's time.
    pub(super) time: Timestamp,
}

impl Pattern {
    /// Takes a pattern apart.
    ///
    /// # Errors
    ///
    /// A letter that is not known, or one that does not go with another.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (mut pieces, mut is_continuous) = (Vec::new(), false);
        let mut rest = text;
        while let Some((before, letter)) = rest.split_once('%') {
            push_text(&mut pieces, before);
            let digits = letter.chars().take_while(char::is_ascii_digit).count();
            let (number, tail) = letter.split_at(digits);
            let Some(kind) = tail.chars().next() else {
                bail!("output {text:?}: nothing follows the last %")
            };
            match (kind, number) {
                ('p', "") => pieces.push(Piece::ProcessId),
                ('h', "") => pieces.push(Piece::HostName),
                ('n', "") => pieces.push(Piece::SnapshotNumber),
                ('t', "") => pieces.push(Piece::UtcTime),
                ('%', "") => push_text(&mut pieces, "%"),
                ('m', _) => pieces.push(Piece::Signature { pool_size: pool_size(text, number)? }),
                ('c', "") => is_continuous = true,
                _ => bail!("output {text:?}: unknown %{number}{kind}; known are %c %p %h %m %Nm %n %t %%"),
            }
            rest = tail.split_at(kind.len_utf8()).1;
        }
        push_text(&mut pieces, rest);
        if pieces.is_empty() {
            bail!("output: the name is empty");
        }
        if is_continuous && pieces.iter().any(|it| matches!(it, Piece::SnapshotNumber | Piece::UtcTime)) {
            bail!(
                "output {text:?}: with %c one file is kept up to date, and with %n or %t each has a name of its own"
            );
        }
        Ok(Self { pieces, is_continuous })
    }

    /// Whether the file is kept up to date in place.
    #[must_use]
    pub(super) fn is_continuous(&self) -> bool {
        self.is_continuous
    }

    /// Whether programs merge into the file, which is kept up to date in place then.
    #[must_use]
    pub(super) fn merges(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Signature { .. }))
    }

    /// The file's name at one snapshot.
    #[must_use]
    pub(super) fn expand(&self, values: &Values) -> PathBuf {
        let name: String = self.pieces.iter().map(|piece| expand_piece(piece, values)).collect();
        PathBuf::from(name)
    }
}

/// LLVM pools have one to nine files.
fn pool_size(text: &str, number: &str) -> Result<u32> {
    match number {
        "" => Ok(1),
        number => match number.parse() {
            Ok(size @ 1..=9) => Ok(size),
            _ => bail!("output {text:?}: a merge pool has 1 to 9 files, not {number}"),
        },
    }
}

fn push_text(pieces: &mut Vec<Piece>, more: &str) {
    match pieces.last_mut() {
        _ if more.is_empty() => {}
        Some(Piece::Text(text)) => text.push_str(more),
        _ => pieces.push(Piece::Text(more.to_owned())),
    }
}

fn expand_piece(piece: &Piece, values: &Values) -> String {
    match piece {
        Piece::Text(text) => text.clone(),
        Piece::ProcessId => values.process_id.to_string(),
        Piece::HostName => values.host_name.clone(),
        Piece::Signature { pool_size } => {
            format!("{}_{}", values.signature, values.process_id.checked_rem(*pool_size).unwrap_or(0))
        }
        Piece::SnapshotNumber => values.snapshot.to_string(),
        Piece::UtcTime => values.time.strftime("%Y%m%dT%H%M%SZ").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(pattern: &str) -> String {
        let values = Values {
            process_id: 1003,
            host_name: "lab".into(),
            signature: 77,
            snapshot: 12,
            time: Timestamp::UNIX_EPOCH,
        };
        let path = Pattern::parse(pattern).expect("parses").expand(&values);
        path.to_str().expect("text").to_owned()
    }

    #[test]
    fn letters_are_replaced() {
        assert_eq!(expand("plain.profraw"), "plain.profraw");
        assert_eq!(expand("out/%p-%h-%n.profraw"), "out/1003-lab-12.profraw");
        assert_eq!(expand("%m.profraw"), "77_0.profraw");
        assert_eq!(expand("%4m.profraw"), "77_3.profraw");
        assert_eq!(expand("%t"), "19700101T000000Z");
        assert_eq!(expand("100%%%n"), "100%12");
        assert_eq!(expand("%cvalve-%p.profraw"), "valve-1003.profraw");
        assert_eq!(expand("%c%2m.profraw"), "77_1.profraw");
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_letter() {
        let error = |pattern| Pattern::parse(pattern).expect_err("refused").to_string();
        assert_eq!(error("a%q"), "output \"a%q\": unknown %q; known are %c %p %h %m %Nm %n %t %%");
        assert_eq!(error("a%"), "output \"a%\": nothing follows the last %");
        assert_eq!(error("a%12m"), "output \"a%12m\": a merge pool has 1 to 9 files, not 12");
        assert_eq!(error("a%2p"), "output \"a%2p\": unknown %2p; known are %c %p %h %m %Nm %n %t %%");
        assert_eq!(error("%c"), "output: the name is empty");
        for both in ["%ca-%n", "%t%c"] {
            assert!(error(both).contains("with %c one file is kept up to date"), "{}", error(both));
        }
        assert_eq!(error(""), "output: the name is empty");
    }
}
