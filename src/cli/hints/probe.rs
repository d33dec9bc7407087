//! What to do about debug probes.

use covtap_debug_probe::{BY_SWO, ENDPOINT, NEEDS_HALT};
use covtap_link::{LinkError, Operation};

use crate::cli::probe::SwoError;

pub(super) fn for_swo(error: &SwoError) -> &'static str {
    match error {
        SwoError::NotAsked => "--method swo does",
        SwoError::NoClock => "--swo-clock HZ says it: most chips have it from the processor's clock",
        SwoError::CannotBe(_) => "--swo-baud says how fast the wire is; --method pcsr needs none",
    }
}

/// `None` for errors of other links.
pub(super) fn for_link(error: &LinkError) -> Option<&'static str> {
    match error {
        LinkError::Connect { endpoint, .. } if endpoint.contains(ENDPOINT) => Some(
            "`covtap probes` lists those that are there, and --probe chooses one; on Linux, a udev rule lets users open it",
        ),
        LinkError::Refused { operation: Operation::Attach, endpoint, .. } if endpoint.contains(ENDPOINT) => {
            Some(
                "is the chip powered and wired to the probe, is --chip the right one, and its debug access not locked? \
             a lower --speed helps with long wires",
            )
        }
        LinkError::Refused { reason, .. } if reason == NEEDS_HALT => Some(super::ALLOW_HALT),
        LinkError::Refused { operation: Operation::Command(what), endpoint, .. }
            if endpoint.contains(ENDPOINT) && what == BY_SWO =>
        {
            Some(
                "is --swo-clock the chip's, and does the pin carry the trace (--chip, or the firmware, routes it)? \
                 --method pcsr needs no wire",
            )
        }
        LinkError::Io { endpoint, .. } if endpoint.contains(ENDPOINT) => {
            Some("are cable and power there? --reconnect waits longer for them to come back")
        }
        LinkError::Protocol { endpoint, .. } if endpoint.contains(ENDPOINT) => Some(
            "--chip has it asked only for what that chip has; a lower --speed or another probe may get on with it, too",
        ),
        _ => None,
    }
}
