//! The conversation and the driver under it, with an end to every wait.
//!
//! What always holds: after an error that leaves it open which answer belongs to which request, nothing more
//! is asked over this connection.

use std::time::{Duration, Instant};

use covtap_link::{LinkError, Operation};

use crate::core::session::{Expected, Incoming, Session, SessionError};
use crate::transport::Transport;

const INPUT_BYTES: usize = 64 * 1024;

/// A conversation over a driver.
pub(crate) struct Wire {
    transport: Box<dyn Transport>,
    pub(crate) session: Session,
    input: Vec<u8>,
    endpoint: String,
    timeout: Duration,
    has_failed: bool,
    has_heard: bool,
}

impl Wire {
    pub(crate) fn new(transport: Box<dyn Transport>, endpoint: String, timeout: Duration) -> Self {
        Self {
            transport,
            session: Session::new(),
            input: vec![0; INPUT_BYTES],
            endpoint,
            timeout,
            has_failed: false,
            has_heard: false,
        }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether the answers can no longer be told apart.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Whether the server has sent anything at all.
    pub(crate) fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// The operation failed, but the conversation goes on.
    pub(crate) fn refused(&self, operation: &Operation, reason: impl Into<String>) -> LinkError {
        LinkError::Refused {
            operation: operation.clone(),
            endpoint: self.endpoint.clone(),
            reason: reason.into(),
        }
    }

    /// This server cannot do it.
    pub(crate) fn unsupported(&self, operation: &Operation, reason: impl Into<String>) -> LinkError {
        LinkError::Unsupported {
            operation: operation.clone(),
            endpoint: self.endpoint.clone(),
            reason: reason.into(),
        }
    }

    /// The answer is none: the conversation is over.
    pub(crate) fn senseless(&mut self, operation: &Operation, detail: impl Into<String>) -> LinkError {
        self.has_failed = true;
        LinkError::Protocol {
            operation: operation.clone(),
            endpoint: self.endpoint.clone(),
            detail: detail.into(),
        }
    }

    /// The other side is gone.
    pub(crate) fn closed(&mut self, operation: &Operation) -> LinkError {
        self.has_failed = true;
        LinkError::Closed { operation: operation.clone(), endpoint: self.endpoint.clone() }
    }

    fn broken(&mut self, operation: &Operation, error: &SessionError) -> LinkError {
        match error {
            // Found out before anything was sent.
            SessionError::Running | SessionError::Detached => self.refused(operation, error.to_string()),
            _ => self.senseless(operation, error.to_string()),
        }
    }

    /// Fails where an earlier error has ended the conversation.
    pub(crate) fn check(&mut self, operation: &Operation) -> Result<(), LinkError> {
        if self.has_failed { Err(self.closed(operation)) } else { Ok(()) }
    }

    /// Does something with the conversation that may be refused.
    pub(crate) fn say(
        &mut self,
        operation: &Operation,
        say: impl FnOnce(&mut Session) -> Result<(), SessionError>,
    ) -> Result<(), LinkError> {
        say(&mut self.session).map_err(|error| self.broken(operation, &error))
    }

    /// Sends a request; the answer is still to be waited for.
    pub(crate) fn request(
        &mut self,
        operation: &Operation,
        payload: &[u8],
        expected: Expected,
    ) -> Result<(), LinkError> {
        self.say(operation, |session| session.request(payload, expected))
    }

    /// The next thing that the server said, waiting for it until the timeout has passed since `since`.
    pub(crate) fn next(&mut self, operation: &Operation, since: Instant) -> Result<Incoming, LinkError> {
        loop {
            if let Some(incoming) = self.session.next() {
                return Ok(incoming);
            }
            self.pump(operation, since)?;
        }
    }

    /// The next thing that the server said, if it arrives within `patience`.
    pub(crate) fn next_within(
        &mut self,
        operation: &Operation,
        patience: Duration,
    ) -> Result<Option<Incoming>, LinkError> {
        let until = Instant::now() + patience;
        loop {
            if let Some(incoming) = self.session.next() {
                return Ok(Some(incoming));
            }
            let left = until.saturating_duration_since(Instant::now());
            if !self.transfer(operation, left)? && left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Sends everything that is to be sent.
    pub(crate) fn flush(&mut self, operation: &Operation) -> Result<(), LinkError> {
        let since = Instant::now();
        while !self.session.outgoing().is_empty() {
            self.pump(operation, since)?;
        }
        Ok(())
    }

    /// Moves bytes in either direction, waiting until the timeout has passed since `since`.
    pub(crate) fn pump(&mut self, operation: &Operation, since: Instant) -> Result<(), LinkError> {
        let left = self.timeout.saturating_sub(since.elapsed());
        if left.is_zero() {
            self.has_failed = true;
            return Err(LinkError::Timeout {
                operation: operation.clone(),
                endpoint: self.endpoint.clone(),
                waited_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
        self.transfer(operation, left).map(|_| ())
    }

    /// Moves bytes in either direction once; whether any moved.
    fn transfer(&mut self, operation: &Operation, patience: Duration) -> Result<bool, LinkError> {
        let result = self.transport.transfer(self.session.outgoing(), &mut self.input, patience);
        let transfer = result.map_err(|source| {
            self.has_failed = true;
            LinkError::Io { operation: operation.clone(), endpoint: self.endpoint.clone(), source }
        })?;
        self.session.sent(transfer.sent_bytes);
        self.has_heard |= transfer.received_bytes > 0;
        let received = self.input.get(..transfer.received_bytes).unwrap_or_default();
        let fed = self.session.feed(received);
        fed.map_err(|error| self.broken(operation, &error))?;
        if transfer.is_closed {
            return Err(self.closed(operation));
        }
        Ok(transfer.sent_bytes + transfer.received_bytes > 0)
    }

    /// Ends the connection.
    pub(crate) fn close(&mut self) {
        self.has_failed = true;
        self.transport.close();
    }
}
