//! Leaving the target as it was found.
//!
//! What always holds: this happens once, it ends within a few timeouts, and nothing is asked afterwards.

use std::time::{Duration, Instant};

use covtap_link::{LinkError, Operation};

use crate::core::session::Execution;
use crate::core::{memory, resume};
use crate::link::{GdbRemote, Hold};

impl GdbRemote {
    /// Removes our breakpoints, lets the target run on if it ran, and ends the connection. Returns for how long
    /// the target was stopped for that.
    pub(crate) fn leave(&mut self) -> Result<Duration, LinkError> {
        if std::mem::replace(&mut self.is_left, true) {
            return Ok(Duration::ZERO);
        }
        let operation = Operation::Detach;
        let (started, ran) = (Instant::now(), self.hold == Hold::Nobody);
        let left = if self.has_ended {
            Ok(())
        } else if self.wire.has_failed() {
            // It failed before: whoever was told then is not told again.
            self.leave_blindly(&operation);
            Ok(())
        } else {
            self.leave_in_order(&operation)
        };
        if left.is_err() {
            self.leave_blindly(&operation);
        }
        let was_stopped = ran && self.hold != Hold::Nobody;
        let pause = if was_stopped { started.elapsed() } else { Duration::ZERO };
        self.wire.close();
        left.map(|()| pause)
    }

    fn leave_in_order(&mut self, operation: &Operation) -> Result<(), LinkError> {
        self.settle(operation)?;
        self.answer_file_io(operation)?;
        self.remove_breakpoints(operation)?;
        if !self.leaves_running || self.owns_program {
            return self.wire.flush(operation);
        }
        let needs_stop = !self.reads_while_running() || self.profile.stops_to_detach;
        if self.hold == Hold::Nobody && needs_stop {
            self.interrupt_for_good(operation)?;
        }
        if self.hold == Hold::Other && self.profile.keeps_stopped {
            return self.wire.flush(operation);
        }
        self.let_go(operation)
    }

    /// Removes what we set; the target is stopped for it where that is needed.
    fn remove_breakpoints(&mut self, operation: &Operation) -> Result<(), LinkError> {
        if self.breakpoints.is_empty() {
            return Ok(());
        }
        if self.hold == Hold::Nobody && !self.reads_while_running() {
            self.interrupt_for_good(operation)?;
        }
        for (addr, breakpoint) in std::mem::take(&mut self.breakpoints) {
            let reply = self.exchange(operation, &resume::breakpoint(false, addr, breakpoint))?;
            if reply != b"OK" {
                return Err(self.wire.refused(operation, format!("the breakpoint at {addr:#x} stays")));
            }
        }
        Ok(())
    }

    fn let_go(&mut self, operation: &Operation) -> Result<(), LinkError> {
        let process = self.thread.as_ref().and_then(crate::core::stop::ThreadId::process);
        let packet = resume::detach(process);
        self.wire.say(operation, |session| session.detach(&packet))?;
        let reply = match self.reply(operation) {
            // A server that ends at once has taken it.
            Err(LinkError::Closed { .. }) => return Ok(()),
            reply => reply?,
        };
        match reply.as_slice() {
            b"OK" => Ok(()),
            // A server without the packet may run the target on when the connection ends, or not.
            b"" => Err(self.wire.unsupported(operation, "the server has no such packet")),
            other => Err(self.wire.refused(operation, memory::printable(other))),
        }
    }

    /// Lets go of the target although the answers can no longer be told apart: what was sent half is sent
    /// whole, and a target that we hold is let go of.
    fn leave_blindly(&mut self, operation: &Operation) {
        let is_ours = self.leaves_running && !matches!(self.hold, Hold::Nobody | Hold::Other);
        if is_ours || self.wire.session.execution() == Execution::Stopped {
            let packet = self.parting();
            // Refused only where the target runs, and then there is nothing to let go of.
            let _ = self.wire.say(operation, |session| session.detach(&packet));
        }
        // The other side may be gone; nobody is left to be told.
        let _ = self.wire.flush(operation);
    }

    /// What lets go of a target whose server may read it when we are gone.
    ///
    /// A QEMU that serves another client leaves ours waiting, and takes it up when that one is done: it pauses
    /// its guest for a client that is gone, and does what that client had sent (measured on 10.0: `c` lets the
    /// guest run, `D` does not).
    fn parting(&self) -> Vec<u8> {
        if !self.wire.has_heard() {
            return self.actions.resume(&std::collections::BTreeMap::new());
        }
        resume::detach(self.thread.as_ref().and_then(crate::core::stop::ThreadId::process))
    }
}
