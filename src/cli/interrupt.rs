//! Ctrl-C: once for a last snapshot, or an end in order, twice to stop at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::collect::Stop;

/// How long a session that was told to stop at once may take to leave the target as it was found.
const GRACE: Duration = Duration::from_secs(1);

/// The exit code of a process that was interrupted, as shells know it.
pub(super) const EXIT_INTERRUPTED: u8 = 130;

/// The interrupt handler's side of a session: dropped when the session is over.
#[derive(Debug)]
pub(super) struct Interrupts {
    /// What the user asks for.
    pub(super) stop: Receiver<Stop>,
    /// Asks for the same in the user's place.
    pub(super) ask: Sender<Stop>,
    pressed: Arc<AtomicU32>,
    _session_goes_on: Sender<()>,
}

impl Interrupts {
    /// Whether the user has asked for an end.
    pub(super) fn has_come(&self) -> bool {
        self.pressed.load(Ordering::Relaxed) > 0
    }
}

/// Listens to Ctrl-C and to the signals that ask a process to end, from now on.
///
/// # Errors
///
/// The handler could not be installed.
pub(super) fn listen() -> Result<Interrupts> {
    listen_saying("taking a last snapshot")
}

/// The same, with what is done when it comes.
///
/// # Errors
///
/// The handler could not be installed.
pub(super) fn listen_saying(answer: &'static str) -> Result<Interrupts> {
    // Two of the user's, and one in the user's place.
    let (ask, stop) = bounded(3);
    let (goes_on, over) = bounded(0);
    let pressed = Arc::new(AtomicU32::new(0));
    let (presses, asks) = (Arc::clone(&pressed), ask.clone());
    ctrlc::set_handler(move || match presses.fetch_add(1, Ordering::Relaxed) {
        0 => {
            eprintln!("covtap: {answer}; Ctrl-C again stops at once");
            let _ = asks.try_send(Stop::AfterLastSnapshot);
        }
        _ => {
            let _ = asks.try_send(Stop::AtOnce);
            stop_hard_unless_over(&over);
        }
    })
    .context("listen to Ctrl-C")?;
    Ok(Interrupts { stop, ask, pressed, _session_goes_on: goes_on })
}

/// A disk or a server that hangs must not keep the process alive against the user's word.
fn stop_hard_unless_over(over: &Receiver<()>) {
    if let Err(crossbeam_channel::RecvTimeoutError::Timeout) = over.recv_timeout(GRACE) {
        eprintln!("covtap: stopped without leaving the target in order: it may stand still");
        std::process::exit(EXIT_INTERRUPTED.into());
    }
}
