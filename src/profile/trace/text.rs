//! A trace as covtap's own file: lines of text.
//!
//! ```text
//! covtap trace 1
//! counting times            times, reached or samples
//! branches                  it was looked which way branches went
//! build-id 0a1b..           of a program that is known to have run
//! space secure              what follows is of this address space; there may be no name
//! run 0x8000 12 5           address of the first byte, number of bytes, count
//! branch 0x8008 3 2         address, times taken, times fallen through
//! ```
//!
//! What always holds: what is written can be read, and is the same; of a file that is damaged nothing is believed.

use std::fmt::Write;

use super::{Counting, MAX_SPACES, Run, Space, Trace, Ways, runs};
use crate::image::BuildId;

/// How a file begins.
const MAGIC: &str = "covtap trace 1";

/// Names of what counts say.
const COUNTINGS: [(&str, Counting); 3] =
    [("times", Counting::Times), ("reached", Counting::Reached), ("samples", Counting::Samples)];

/// A file is no trace, or damaged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TraceFileError {
    /// It begins with something else.
    #[error("read trace {name}: it does not begin with {MAGIC:?}")]
    OtherFile {
        /// The file's name.
        name: String,
    },
    /// A line says nothing that can be.
    #[error("read trace {name}: line {line} {detail}")]
    Line {
        /// The file's name.
        name: String,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        detail: &'static str,
    },
}

/// Whether bytes begin as a trace does.
#[must_use]
pub fn is_trace(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC.as_bytes())
}

/// The bytes of a trace's file.
#[must_use]
pub fn encode(trace: &Trace) -> Vec<u8> {
    let mut out = format!("{MAGIC}\n");
    let counting = COUNTINGS.iter().find(|(_, counting)| *counting == trace.counting);
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String does not fail.
        let _ = writeln!(out, "{text}");
    };
    line(format_args!("counting {}", counting.map_or("", |(name, _)| name)));
    if trace.has_branches {
        line(format_args!("branches"));
    }
    for id in &trace.build_ids {
        line(format_args!("build-id {id}"));
    }
    for (name, space) in trace.spaces() {
        line(format_args!("space {}", one_line(name)));
        for Run { start, last, count } in space.runs() {
            line(format_args!("run {start:#x} {} {count}", u128::from(last - start) + 1));
        }
        for (address, Ways { taken, fell_through }) in space.branches() {
            line(format_args!("branch {address:#x} {taken} {fell_through}"));
        }
    }
    out.into_bytes()
}

/// Reads a trace's file. `name` is what messages call it.
///
/// # Errors
///
/// It is none, or damaged.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Trace, TraceFileError> {
    let other = || TraceFileError::OtherFile { name: name.to_owned() };
    let text = std::str::from_utf8(bytes).map_err(|_| other())?;
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, line)| line != MAGIC) {
        return Err(other());
    }
    let mut reading = Reading::default();
    for (index, line) in lines {
        let fault = |detail| TraceFileError::Line { name: name.to_owned(), line: index + 1, detail };
        reading.line(line).map_err(fault)?;
    }
    reading.end_space();
    Ok(reading.trace)
}

#[derive(Default)]
struct Reading {
    trace: Trace,
    space: Option<(String, Space)>,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "counting" => {
                let known = COUNTINGS.iter().find(|(name, _)| *name == rest);
                self.trace.counting = known.ok_or("has an unknown way of counting")?.1;
            }
            "branches" => self.trace.has_branches = true,
            "build-id" => self.trace.build_ids.push(BuildId::new(unhex(rest).ok_or("has no build id")?)),
            "space" => self.begin_space(rest)?,
            "run" => {
                let (start, len_bytes, count) = numbers(rest).ok_or("has no address, length and count")?;
                let last = u64::try_from(len_bytes - 1).ok().and_then(|more| start.checked_add(more));
                let run = Run { start, last: last.ok_or("passes the end of memory")?, count };
                let runs = &mut self.space.as_mut().ok_or("belongs to no space")?.1.runs;
                if runs.last().is_some_and(|before| before.last >= start) || count == 0 {
                    return Err("is out of order, or counts nothing");
                }
                runs.push(run);
            }
            "branch" => {
                let (address, ways) = ways(rest).ok_or("has no address and two counts")?;
                let branches = &mut self.space.as_mut().ok_or("belongs to no space")?.1.branches;
                if branches.insert(address, ways).is_some() {
                    return Err("is of a branch that was there already");
                }
            }
            _ => return Err("begins with an unknown word"),
        }
        Ok(())
    }

    fn begin_space(&mut self, name: &str) -> Result<(), &'static str> {
        self.end_space();
        if self.trace.spaces.contains_key(name) {
            return Err("begins a space that was there already");
        }
        if self.trace.spaces.len() >= MAX_SPACES {
            return Err("begins one address space too many");
        }
        self.space = Some((name.to_owned(), Space::default()));
        Ok(())
    }

    fn end_space(&mut self) {
        if let Some((name, mut space)) = self.space.take() {
            space.runs = runs::joined(space.runs.into_iter());
            self.trace.spaces.insert(name, space);
        }
    }
}

/// Address, length and count of a run; a length is more than 0.
fn numbers(text: &str) -> Option<(u64, u128, u64)> {
    let mut words = text.split(' ');
    let address = address(words.next()?)?;
    let len_bytes: u128 = words.next()?.parse().ok().filter(|len| *len > 0)?;
    let count = words.next()?.parse().ok()?;
    words.next().is_none().then_some((address, len_bytes, count))
}

fn ways(text: &str) -> Option<(u64, Ways)> {
    let mut words = text.split(' ');
    let address = address(words.next()?)?;
    let ways = Ways { taken: words.next()?.parse().ok()?, fell_through: words.next()?.parse().ok()? };
    words.next().is_none().then_some((address, ways))
}

fn address(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
    Some(digits.as_chunks().0.iter().map(|[high, low]| (high << 4) | low).collect())
}

/// Names of spaces come from traces.
fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
