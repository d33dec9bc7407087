//! What to do about debug probes.

use covtap_debug_probe::{ENDPOINT, NEEDS_HALT};
use covtap_link::{LinkError, Operation};

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
        LinkError::Io { endpoint, .. } if endpoint.contains(ENDPOINT) => {
            Some("are cable and power there? --reconnect waits longer for them to come back")
        }
        _ => None,
    }
}
