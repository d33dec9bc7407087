//! What a link knows of the end of a QEMU that this process has started.

use std::sync::Arc;
use std::time::Duration;

use covtap_link::TargetEvent;

use crate::host::exit_watch::{ExitWatch, Phase};
use crate::qmp::Events;

/// How long a process may take to be gone after its monitor is.
const GRACE: Duration = Duration::from_secs(1);

/// The end of a QEMU, and what of it was told.
#[derive(Debug)]
pub(crate) struct Watched {
    watch: Arc<ExitWatch>,
    /// Why the guest's memory cannot be read at QEMU's end.
    refusal: Option<String>,
    has_told_held: bool,
    has_told_ended: bool,
}

impl Watched {
    /// `reader` is the process that memory is read from, if it is read from one.
    pub(crate) fn new(watch: &Arc<ExitWatch>, reader: Option<i32>) -> Self {
        let started = watch.pid();
        let refusal = watch.refusal().map(str::to_owned).or_else(|| match reader {
            Some(pid) if pid == started => None,
            Some(pid) => Some(format!("the guest is in process {pid}, and {started} is what was started")),
            None => Some("its memory is not read out of its process".to_owned()),
        });
        if refusal.is_some() {
            watch.release();
        }
        Self { watch: Arc::clone(watch), refusal, has_told_held: false, has_told_ended: false }
    }

    /// Why the guest's memory cannot be read at QEMU's end, if it cannot.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Whether QEMU is at its end or past it.
    pub(crate) fn is_over(&self) -> bool {
        self.watch.phase() != Phase::Runs
    }

    /// Waits for the end of a process whose guest is gone, where it is not held: it is told by [`Self::next_event`].
    pub(crate) fn wait_for_end(&self) {
        if self.refusal.is_some() {
            self.watch.wait_for_end(GRACE);
        }
    }

    /// Lets QEMU end.
    pub(crate) fn release(&self) {
        self.watch.release();
    }

    /// The next event. That the guest has shut down is told when its memory can be read a last time: at QEMU's end.
    pub(crate) fn next_event(&mut self, events: &mut Events) -> Option<TargetEvent> {
        while let Some(event) = events.pop() {
            if event != TargetEvent::Exited {
                return Some(event);
            }
        }
        match self.watch.phase() {
            Phase::Held if self.refusal.is_none() && !self.has_told_held => {
                self.has_told_held = true;
                Some(TargetEvent::AboutToExit)
            }
            Phase::Ended(_) if !self.has_told_ended => {
                self.has_told_ended = true;
                Some(TargetEvent::Exited)
            }
            Phase::Runs | Phase::Held | Phase::Ended(_) => None,
        }
    }
}
