//! The first exchange: what the server is, what it can do, and what the target did before we came.
//!
//! What always holds: the target runs on afterwards, unless the server said that it was halted.

use std::time::{Duration, Instant};

use covtap_link::{LinkError, Operation, RunState};

use crate::core::console;
use crate::core::features::{self, Features};
use crate::core::memory::ReadPacket;
use crate::core::resume::{self, Actions};
use crate::core::session::{Acks, Expected, Incoming, Rules};
use crate::core::stop::{StopReply, ThreadId};
use crate::core::target_xml::Description;
use crate::core::xfer::{Progress, Transfer};
use crate::link::{GdbRemote, Hold};
use crate::profile::{CAUTIOUS, Confirm, PROFILES, Profile, Resume};

/// How long a server may take to say that it cannot let its target run on; those that can say nothing.
const REFUSAL_PATIENCE: Duration = Duration::from_millis(50);

/// Signals that GDB's numbering has; those of an interrupt and of a breakpoint are ours.
const SIGNALS: std::ops::RangeInclusive<u8> = 1..=150;
const OUR_SIGNALS: [u8; 2] = [2, 5];

impl GdbRemote {
    pub(crate) fn handshake(&mut self, connected: Instant) -> Result<(), LinkError> {
        let operation = Operation::Handshake;
        let reply = self.exchange(&operation, features::REQUEST.as_bytes())?;
        let features = Features::parse(&reply);
        self.profile = self.recognise(&features, &operation)?;
        self.about = self.profile.name.into();
        self.max_read_bytes = self.profile.max_read_bytes(&features);
        if features.has("binary-upload+") {
            self.read_packet = ReadPacket::Binary;
        }
        self.agree_on_acks(&features, &operation)?;
        self.wire.session.set_rules(Rules {
            sends_while_running: self.profile.reads_while_running,
            sends_while_stop_pending: self.profile.burst,
        });
        self.enter_non_stop(&features, &operation)?;
        self.learn_threads(&features, &operation)?;
        self.learn_owner(&operation)?;
        self.describe(&features, &operation)?;
        self.set_up(&operation)?;
        self.let_run(connected, &operation)
    }

    fn recognise(
        &mut self,
        features: &Features,
        operation: &Operation,
    ) -> Result<&'static Profile, LinkError> {
        for row in PROFILES.iter().filter(|row| row.fits(features)) {
            let is_it = match row.confirm {
                None => true,
                Some(Confirm::Packet(packet, text)) => {
                    contains(&self.exchange(operation, packet.as_bytes())?, text)
                }
                Some(Confirm::Monitor(command, text)) => {
                    self.monitor(command, operation)?.is_some_and(|answer| answer.contains(text))
                }
            };
            if is_it {
                return Ok(row);
            }
        }
        Ok(&CAUTIOUS)
    }

    /// Leaves acknowledgements out where the line loses nothing.
    fn agree_on_acks(&mut self, features: &Features, operation: &Operation) -> Result<(), LinkError> {
        if self.profile.acks_on_demand {
            self.wire.session.set_acks(Acks::OnDemand);
        } else if features.has("QStartNoAckMode+")
            && !self.is_lossy
            && self.exchange(operation, b"QStartNoAckMode")? == b"OK"
        {
            self.wire.session.set_acks(Acks::Off);
        }
        Ok(())
    }

    /// Has the server answer while the target runs, where it can.
    fn enter_non_stop(&mut self, features: &Features, operation: &Operation) -> Result<(), LinkError> {
        if features.has("QPassSignals+") {
            // The program gets its signals without a stop, as it would without us.
            let ours = |signal: &u8| !OUR_SIGNALS.contains(signal);
            let signals: Vec<String> = SIGNALS.filter(ours).map(|signal| format!("{signal:x}")).collect();
            self.exchange(operation, format!("QPassSignals:{}", signals.join(";")).as_bytes())?;
        }
        if self.profile.non_stop && self.options.non_stop && features.has("QNonStop+") {
            self.is_non_stop = self.exchange(operation, b"QNonStop:1")? == b"OK";
        }
        if self.is_non_stop {
            let rules = Rules { sends_while_running: true, sends_while_stop_pending: true };
            self.wire.session.set_rules(rules);
        }
        Ok(())
    }

    /// Learns whether the program ends with a server of ours. It does not if it ran before; a gdbserver that is left
    /// attached to such a program says without end that its input has ended (measured on 13).
    fn learn_owner(&mut self, operation: &Operation) -> Result<(), LinkError> {
        if self.profile.owns_programs && self.owns_server {
            let process = self.thread.as_ref().and_then(ThreadId::process);
            self.owns_program = self.exchange(operation, &resume::is_attached(process))? != b"1";
        }
        Ok(())
    }

    /// Learns which thread the server speaks of, and whether there is a target at all.
    fn learn_threads(&mut self, features: &Features, operation: &Operation) -> Result<(), LinkError> {
        if self.is_non_stop {
            self.wire.request(operation, b"?", Expected::Stops)?;
            let since = Instant::now();
            loop {
                match self.wire.next(operation, since)? {
                    Incoming::NoMoreStops => break,
                    Incoming::Stop(stop) => self.first_stop(&stop, operation)?,
                    other => self.absorb(other, operation)?,
                }
            }
        } else if self.profile.stop_query_is_safe {
            let reply = self.exchange_as(operation, b"?", Expected::StopQuery)?;
            if let Some(stop) = StopReply::parse(&reply) {
                self.first_stop(&stop, operation)?;
            }
        } else if self.profile.resume != Resume::Never {
            let reply = self.exchange(operation, b"qC")?;
            self.thread = reply.strip_prefix(b"QC").and_then(ThreadId::parse);
        }
        if features.has("vContSupported+") && self.profile.resume == Resume::VCont {
            self.actions = Actions::parse(&self.exchange(operation, b"vCont?")?);
        }
        if let Some(packet) = self.profile.select_thread {
            self.exchange(operation, packet.as_bytes())?;
        }
        Ok(())
    }

    fn first_stop(&mut self, stop: &StopReply, operation: &Operation) -> Result<(), LinkError> {
        if stop.is_end() {
            self.has_ended = true;
            return Err(self.wire.refused(operation, "the target has ended"));
        }
        self.note_thread(stop);
        Ok(())
    }

    fn describe(&mut self, features: &Features, operation: &Operation) -> Result<(), LinkError> {
        if features.has("qXfer:features:read+") {
            let part_bytes = features.packet_size_bytes().unwrap_or(0x100).clamp(0x40, 0x1000) - 0x20;
            self.description =
                Description::read(&mut |name| self.object("features", name, part_bytes, operation))?;
        }
        Ok(())
    }

    /// A text that the server sends in parts; nothing where it has none.
    fn object(
        &mut self,
        object: &'static str,
        name: &str,
        part_bytes: usize,
        operation: &Operation,
    ) -> Result<String, LinkError> {
        let Some(mut transfer) = Transfer::new(object, name, part_bytes) else { return Ok(String::new()) };
        loop {
            let reply = self.exchange(operation, &transfer.request())?;
            match transfer.take(&reply) {
                Progress::More => {}
                Progress::Done(text) => return Ok(String::from_utf8_lossy(&text).into_owned()),
                Progress::Failed(_) => return Ok(String::new()),
            }
        }
    }

    fn set_up(&mut self, operation: &Operation) -> Result<(), LinkError> {
        if let Some(command) = self.profile.version
            && let Some(answer) = self.monitor(command, operation)?
        {
            // `10.0.2Debian 1:10.0.2+ds-2`: distributions add their own.
            let version: String =
                answer.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            self.about = format!("{} {version}", self.about);
        }
        let mut is_taken = false;
        for command in self.profile.setup {
            // OpenOCD says nothing to a command that it took, and answers `OK` to one that it does not know.
            is_taken =
                is_taken || self.monitor(command, operation)?.is_some_and(|text| text.trim().is_empty());
        }
        self.makes_up_zeros = self.profile.zero_fills && !is_taken;
        if self.makes_up_zeros {
            self.about += ", zeros are read twice";
        }
        Ok(())
    }

    /// Lets the target run on if it ran.
    fn let_run(&mut self, connected: Instant, operation: &Operation) -> Result<(), LinkError> {
        let was_halted = match self.options.found {
            Some(state) => state == RunState::Stopped,
            None => self.was_halted(operation)?,
        };
        self.is_attached = true;
        if was_halted {
            self.hold = Hold::Found;
            self.leaves_running = false;
        } else {
            self.run_on(operation)?;
            self.hear_refusal(operation)?;
            if self.profile.resume != Resume::Never {
                self.attach_pause = connected.elapsed();
            }
        }
        if self.is_non_stop {
            self.about += ", non-stop";
        }
        Ok(())
    }

    fn was_halted(&mut self, operation: &Operation) -> Result<bool, LinkError> {
        let Some((command, running)) = self.profile.status else { return Ok(false) };
        let answer = self.monitor(command, operation)?;
        Ok(answer.is_some_and(|answer| !running.contains(&answer.trim())))
    }

    /// A server that is not known may be unable to stop and resume its target: then it answers at once.
    fn hear_refusal(&mut self, operation: &Operation) -> Result<(), LinkError> {
        if self.profile.name != CAUTIOUS.name {
            return Ok(());
        }
        match self.wire.next_within(operation, REFUSAL_PATIENCE)? {
            Some(Incoming::ResumeRefused(reason)) => {
                self.hold = Hold::Us;
                Err(self.wire.unsupported(operation, format!("let the target run on: {reason}")))
            }
            Some(other) => self.absorb(other, operation),
            None => Ok(()),
        }
    }

    /// Has the server run a command of its own; `None` where it knows no such command.
    pub(crate) fn monitor(
        &mut self,
        command: &str,
        operation: &Operation,
    ) -> Result<Option<String>, LinkError> {
        self.wire.request(operation, &console::monitor_command(command), Expected::Reply)?;
        let mut text = Vec::new();
        let since = Instant::now();
        let reply = loop {
            match self.wire.next(operation, since)? {
                Incoming::Console(more) => text.extend(more),
                Incoming::Reply(reply) => break reply,
                other => self.absorb(other, operation)?,
            }
        };
        self.wire.session.acknowledge();
        self.wire.flush(operation)?;
        if reply != b"OK" {
            match crate::core::hex::decode(&reply) {
                Some(more) if !more.is_empty() => text.extend(more),
                _ => return Ok(None),
            }
        }
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

fn contains(reply: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(reply).contains(text)
}
