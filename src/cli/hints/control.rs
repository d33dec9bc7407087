//! What helps where a session and who drives it do not come together.

use crate::control::{ClientError, ServerError};

pub(super) fn for_server(error: &ServerError) -> Option<&'static str> {
    match error {
        ServerError::InUse { .. } => {
            Some("choose another with --control, or end that session: covtap ctl SOCKET stop")
        }
        ServerError::NoSocket { .. } => Some("choose another name with --control"),
        _ => None,
    }
}

pub(super) fn for_client(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Connect { .. } => {
            Some("is the session still there, and was it started with --control SOCKET?")
        }
        _ => None,
    }
}
