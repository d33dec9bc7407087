//! The probes that there are, and the one that is meant.

use std::fmt;
use std::io;

use covtap_link::LinkError;
use probe_rs::probe::list::{Accessibility, Lister};
use probe_rs::probe::{DebugProbeError, DebugProbeSelector, Probe, ProbeCreationError, WireProtocol};

use crate::Options;

/// A probe that is connected to this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeInfo {
    /// What it is, in its own words.
    pub name: String,
    /// What selects it: `VID:PID:SERIAL`.
    pub selector: String,
    /// Whether this user may open it.
    pub is_accessible: bool,
}

impl fmt::Display for ProbeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let denied = if self.is_accessible { "" } else { ", which this user may not open" };
        write!(f, "{} ({}{denied})", self.selector, self.name)
    }
}

/// The probes of this host.
#[must_use]
pub fn list() -> Vec<ProbeInfo> {
    let all = Lister::new().list_all_with_access().into_iter();
    let described = all.map(|item| ProbeInfo {
        selector: DebugProbeSelector::from(&item.info).to_string(),
        name: item.info.identifier,
        is_accessible: item.accessibility == Accessibility::Accessible,
    });
    described.collect()
}

/// What the endpoints of this link have in them.
pub const ENDPOINT: &str = "debug probe";

/// What messages call the place.
pub(crate) fn endpoint(options: &Options) -> String {
    options.selector.as_ref().map_or_else(|| format!("a {ENDPOINT}"), |it| format!("{ENDPOINT} {it}"))
}

/// Opens the probe that is meant, with the clock and the protocol that were asked for; without, the protocol that is usual.
pub(crate) fn open(options: &Options, usual: Option<WireProtocol>) -> Result<Probe, LinkError> {
    let failed =
        |text: String| LinkError::Connect { endpoint: endpoint(options), source: io::Error::other(text) };
    let mut probe = match &options.selector {
        Some(selector) => Lister::new().open(selector.0.clone()).map_err(|error| failed(said(&error)))?,
        None => only(&failed)?,
    };
    if let Some(protocol) = options.protocol.map(|protocol| protocol.0).or(usual) {
        probe.select_protocol(protocol).map_err(|error| failed(said(&error)))?;
    }
    if let Some(speed_khz) = options.speed_khz {
        probe.set_speed(speed_khz).map_err(|error| failed(said(&error)))?;
    }
    Ok(probe)
}

/// The only probe that there is.
fn only(failed: &impl Fn(String) -> LinkError) -> Result<Probe, LinkError> {
    let all = Lister::new().list_all();
    match all.as_slice() {
        [] => Err(failed("no debug probe is connected to this host".to_owned())),
        [one] => one.open().map_err(|error| failed(said(&error))),
        several => {
            let named: Vec<String> =
                several.iter().map(|info| DebugProbeSelector::from(info).to_string()).collect();
            Err(failed(format!("{} are connected: {}", several.len(), named.join(", "))))
        }
    }
}

/// An error of `probe-rs`'s in one line.
pub(crate) fn said(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(DebugProbeError::ProbeCouldNotBeCreated(ProbeCreationError::NotFound)) =
        error.downcast_ref::<DebugProbeError>()
    {
        return "it is not connected, or this user may not open it".to_owned();
    }
    let mut text = first_line(&error.to_string());
    let mut source = error.source();
    while let Some(error) = source {
        let more = first_line(&error.to_string());
        if !text.contains(&more) {
            text = format!("{}: {more}", text.trim_end_matches('.'));
        }
        source = error.source();
    }
    text
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back depends on the host: one without USB has no list of devices.
    #[test]
    fn a_probe_that_is_not_there_is_said_so_in_one_line() {
        let options = Options { selector: Some("1209:c0de:nobody".parse().unwrap()), ..Options::default() };
        let error = open(&options, None).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("connect to debug probe 1209:c0de:nobody: "), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn an_error_is_said_with_its_causes_each_once() {
        let error = DebugProbeError::Usb(io::Error::other("pipe"));
        assert_eq!(said(&error), "USB Communication Error: pipe");
        let error = DebugProbeError::ProbeCouldNotBeCreated(ProbeCreationError::NotFound);
        assert_eq!(said(&error), "it is not connected, or this user may not open it");
    }
}
