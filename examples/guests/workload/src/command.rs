//! Lines to commands: `SET 3 100`, with an optional checksum as in `PING*10`.

use board::Tally;

pub(crate) static PARSE: Tally = Tally::new("parse");
pub(crate) static CHECK: Tally = Tally::new("check");
pub(crate) static NUMBER: Tally = Tally::new("number");

/// What the controller can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Are you there?
    Ping,
    /// Reads a register.
    Get(u8),
    /// Writes a register.
    Set(u8, u16),
    /// Makes ready to open.
    Arm,
    /// Opens the valve.
    Open,
    /// Closes the valve.
    Close,
    /// Locks the controller with a PIN.
    Lock(u16),
    /// Unlocks it.
    Unlock(u16),
    /// Leaves the fault state.
    Reset,
    /// Back to the factory's settings, with the factory's key.
    Factory(u32),
}

/// Why a line is not a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Nothing there.
    Empty,
    /// No such verb.
    Verb,
    /// An argument is missing.
    Missing,
    /// An argument is not a number.
    NotANumber,
    /// A number is too large.
    Range,
    /// The checksum is wrong, or is none.
    Checksum,
}

/// Reads one line.
pub(crate) fn parse(line: &[u8]) -> Result<Command, Malformed> {
    PARSE.count();
    let line = match line.iter().position(|&byte| byte == b'*') {
        Some(star) => check(&line[..star], &line[star + 1..])?,
        None => line,
    };
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let Some(verb) = words.next() else { return Err(Malformed::Empty) };
    Ok(match verb {
        b"PING" => Command::Ping,
        b"GET" => Command::Get(number(words.next(), 7)? as u8),
        b"SET" => Command::Set(number(words.next(), 7)? as u8, number(words.next(), 1000)? as u16),
        b"ARM" => Command::Arm,
        b"OPEN" => Command::Open,
        b"CLOSE" => Command::Close,
        b"LOCK" => Command::Lock(number(words.next(), 9999)? as u16),
        b"UNLOCK" => Command::Unlock(number(words.next(), 9999)? as u16),
        b"RESET" => Command::Reset,
        b"FACTORY" => Command::Factory(number(words.next(), u32::MAX)?),
        _ => return Err(Malformed::Verb),
    })
}

/// Gives `body` when `sum` is its checksum: all bytes xored, as two hexadecimal digits.
fn check<'a>(body: &'a [u8], sum: &[u8]) -> Result<&'a [u8], Malformed> {
    CHECK.count();
    let &[high, low] = sum else { return Err(Malformed::Checksum) };
    let (Some(high), Some(low)) = (hex_digit(high), hex_digit(low)) else { return Err(Malformed::Checksum) };
    let actual = body.iter().fold(0, |sum, byte| sum ^ byte);
    if actual == high << 4 | low { Ok(body) } else { Err(Malformed::Checksum) }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn number(word: Option<&[u8]>, max: u32) -> Result<u32, Malformed> {
    NUMBER.count();
    let word = word.ok_or(Malformed::Missing)?;
    let mut number: u32 = 0;
    for &byte in word {
        if !byte.is_ascii_digit() {
            return Err(Malformed::NotANumber);
        }
        number = number.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
    }
    if number > max { Err(Malformed::Range) } else { Ok(number) }
}
