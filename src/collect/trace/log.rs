//! What code is reached, by what the target's server logs.
//!
//! What always holds: a block is logged once, when it is translated, which is when it is about to be executed: what is
//! behind a fault in its midst is told too, and so is one that an interrupt came before; a line that was cut off is not
//! believed.

use std::io::{self, BufReader, Read};
use std::time::{Duration, Instant};

use covtap_link::{AddrRange, LogBegun};

use super::{Ended, Limits, TraceError};
use crate::collect::MeteredLink;
use crate::profile::trace::import::{Format, ImportError, Options, import};
use crate::profile::trace::{Counting, Trace, TraceBuilder};

/// A log that has begun.
pub struct LogTrace<'a> {
    link: &'a mut MeteredLink,
    limits: Limits<'a>,
    began: Instant,
    /// What it took to begin it.
    pub begun: LogBegun,
}

impl<'a> LogTrace<'a> {
    /// Has the target's server log each block of `code` that is executed from now on.
    ///
    /// # Errors
    ///
    /// The link has no log, or its server refused.
    pub fn begin(
        link: &'a mut MeteredLink,
        limits: Limits<'a>,
        code: &[AddrRange],
    ) -> Result<Self, TraceError> {
        let endpoint = link.info().endpoint;
        let log = link.block_log().ok_or(TraceError::NoLog { endpoint })?;
        let begun = log.begin(code)?;
        link.add_pause(begun.pause);
        Ok(Self { link, limits, began: Instant::now(), begun })
    }

    /// Reads the log until the target ends or it has to end; and for how long.
    pub fn follow(self) -> (Result<Ended, TraceError>, Trace, Duration) {
        let endpoint = self.link.info().endpoint;
        let began = self.began;
        let mut lines = Lines {
            link: self.link,
            limits: self.limits,
            began,
            bytes: Vec::new(),
            given: 0,
            whole: 0,
            ended: None,
        };
        let options = Options { only_reached: true, ..Options::default() };
        let imported = import("the log", BufReader::new(&mut lines), Some(Format::QemuLog), &options);
        let ended = lines.end_early();
        let (trace, fault) = match imported {
            Ok(imported) => (imported.trace, imported.fault),
            Err(ImportError::Empty { .. } | ImportError::Nothing { .. }) => {
                (TraceBuilder::new(Counting::Reached).finish(), None)
            }
            Err(fault) => (TraceBuilder::new(Counting::Reached).finish(), Some(fault)),
        };
        let ended = match fault {
            Some(source) => ended.and(Err(TraceError::Log { endpoint, source })),
            None => ended,
        };
        (ended, trace, began.elapsed())
    }
}

/// The log's whole lines, which end when it has to end.
struct Lines<'a> {
    link: &'a mut MeteredLink,
    limits: Limits<'a>,
    began: Instant,
    bytes: Vec<u8>,
    /// How many of the bytes were given.
    given: usize,
    /// How many of them are whole lines.
    whole: usize,
    ended: Option<Result<Ended, TraceError>>,
}

impl Read for Lines<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.whole && self.ended.is_none() {
            self.fetch();
        }
        let there = self.bytes.get(self.given..self.whole).unwrap_or_default();
        let len = there.len().min(out.len());
        let (room, there) = (out.get_mut(..len).unwrap_or_default(), there.get(..len).unwrap_or_default());
        room.copy_from_slice(there);
        self.given += len;
        Ok(len)
    }
}

impl Lines<'_> {
    /// Waits a moment for more.
    fn fetch(&mut self) {
        self.bytes.drain(..self.given);
        self.given = 0;
        if let Some(ended) = self.limits.reached(self.began) {
            self.end(Ok(ended));
            return;
        }
        let patience = self.limits.patience(self.began);
        let fetched = match self.link.block_log() {
            Some(log) => log.next(patience, &mut self.bytes),
            None => Ok(()),
        };
        let exited = self.link.has_exited();
        match (exited, fetched) {
            (Ok(true), _) => self.end(Ok(Ended::Exited)),
            (Err(error), _) | (_, Err(error)) => self.end(Err(error.into())),
            (Ok(false), Ok(())) => self.find_end(),
        }
    }

    fn end(&mut self, ended: Result<Ended, TraceError>) {
        let told = match self.link.block_log() {
            Some(log) => log.end(&mut self.bytes).map_err(TraceError::from),
            None => Ok(()),
        };
        self.find_end();
        // A server that is gone does not log.
        let is_over = matches!(ended, Ok(Ended::Exited) | Err(_));
        self.ended = Some(if is_over { ended } else { told.and(ended) });
    }

    fn find_end(&mut self) {
        self.whole = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    }

    /// How it has ended; a log that nobody reads any more ends now.
    fn end_early(&mut self) -> Result<Ended, TraceError> {
        if self.ended.is_none() {
            self.end(Ok(Ended::Asked));
        }
        self.ended.take().unwrap_or(Ok(Ended::Asked))
    }
}
