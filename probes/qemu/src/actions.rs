//! Holding a guest before a reset or its end, by what QEMU can be told to do then (`set-action`, QEMU 6.0 and later).
//!
//! What enters is a monitor; what leaves is a guest that QEMU stops instead of resetting it or ending, until it is
//! released. What always holds: the time for which the guest stands still is measured, and no less than it is claimed:
//! from the last look at which nothing had happened to the command that lets it run on; a guest that is left is reset, and ends, as QEMU does by default.
//!
//! ```text
//! set-action {reboot: shutdown, shutdown: pause}     a reset becomes a shutdown, and a shutdown a stop
//! SHUTDOWN {reason: guest-reset}, STOP               the guest stands still, its memory as it was
//! set-action {reboot: reset}, system_reset, RESET    the reset
//! set-action {reboot: shutdown}, cont                the guest runs again
//! ```

use std::time::{Duration, Instant};

use covtap_link::TargetEvent;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::qmp::{Client, Command};

/// Whether a guest is to be held, and what it is held before.
#[derive(Debug)]
pub(crate) struct Actions {
    is_armed: bool,
    /// The last time that nothing was told.
    looked: Instant,
    held: Option<(TargetEvent, Instant)>,
}

impl Default for Actions {
    fn default() -> Self {
        Self { is_armed: false, looked: Instant::now(), held: None }
    }
}

impl Actions {
    /// Has QEMU stop the guest before every reset and its end.
    pub(crate) fn arm(&mut self, client: &mut Client) -> Result<(), Failure> {
        client.execute(&set(json!({ "reboot": "shutdown", "shutdown": "pause" })))?;
        client.events.are_held = true;
        self.is_armed = true;
        Ok(())
    }

    /// Takes note of what is told, if anything is. It may have happened just after the last time that nothing was.
    pub(crate) fn see(&mut self, event: Option<&TargetEvent>) {
        match event {
            None => self.looked = Instant::now(),
            Some(event @ (TargetEvent::AboutToReset | TargetEvent::AboutToExit)) => {
                self.held = Some((event.clone(), self.looked));
            }
            Some(_) => {}
        }
    }

    /// Lets the reset or the end happen. Returns for how long the guest stood still.
    pub(crate) fn release(&mut self, client: &mut Client) -> Result<Duration, Failure> {
        let Some((event, since)) = self.held.take() else { return Ok(Duration::ZERO) };
        match event {
            TargetEvent::AboutToReset => {
                client.execute(&set(json!({ "reboot": "reset" })))?;
                reset(client)?;
                client.execute(&set(json!({ "reboot": "shutdown" })))?;
                client.execute(&Command::new("cont", json!({})))?;
            }
            _ => {
                // QEMU may be gone before it answers.
                let _ = client.execute(&set(json!({ "shutdown": "poweroff" })));
                let _ = client.execute(&Command::new("quit", json!({})));
            }
        }
        Ok(since.elapsed())
    }

    /// Leaves resets and ends to QEMU again.
    pub(crate) fn disarm(&mut self, client: &mut Client) -> Result<Duration, Failure> {
        if !std::mem::take(&mut self.is_armed) {
            return Ok(Duration::ZERO);
        }
        let pause = self.release(client)?;
        if !client.events.has_exited() {
            client.execute(&set(json!({ "reboot": "reset", "shutdown": "poweroff" })))?;
        }
        Ok(pause)
    }
}

/// Resets the guest, and waits until it was: `cont` is refused before.
fn reset(client: &mut Client) -> Result<(), Failure> {
    let before = client.events.resets();
    client.execute(&Command::new("system_reset", json!({})))?;
    client.wait_for(|events| events.resets() > before)
}

fn set(actions: Value) -> Command {
    Command::new("set-action", actions)
}
