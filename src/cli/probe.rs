//! Debug probes: the flags that `probe-rs`'s tools have too, with their environment, and `covtap probes`.

use std::convert::Infallible;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use covtap_debug_probe::{self as debug_probe, Options, Protocol, Selector, Swo};

/// Has drivers of probes panic without a word on standard error: what they say becomes an error, which is one line.
pub(super) fn keep_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(debug_probe::THREAD) {
            usual(panic);
        }
    }));
}

/// A probe, or `auto`: the only one.
#[derive(Clone, Debug)]
pub(super) struct ProbeArg(Option<Selector>);

impl FromStr for ProbeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self((text != "auto").then(|| text.parse()).transpose()?))
    }
}

/// How a debug probe reaches its chip.
#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// With a debug probe: what is spoken on the wire, swd or jtag
    #[arg(long, value_name = "PROTOCOL", conflicts_with = "server")]
    protocol: Option<Protocol>,
    /// With a debug probe: the wire's clock
    #[arg(long, value_name = "KHZ", conflicts_with = "server")]
    speed: Option<u32>,
    /// With a debug probe: the number of the access port that leads to the memory [default: the chip's, or 0]
    #[arg(long, value_name = "N", conflicts_with = "server")]
    ap: Option<u8>,
    /// With a debug probe: which of the chip's processors, where it has several [default: 0]
    #[arg(long, value_name = "N", conflicts_with = "server")]
    chip_core: Option<usize>,
    /// With a debug probe: halt the processor for each snapshot where there is no other way to its memory; without, what that
    /// would take is measured and said, and nothing is read
    #[arg(long, conflicts_with = "server")]
    allow_halt: bool,
    /// With a debug probe: chips that probe-rs does not know, described as it has it (YAML)
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    chip_description_path: Option<PathBuf>,
    /// With a debug probe: hold the chip's reset while its debug port is begun with, for firmware that takes its pins away;
    /// the chip begins anew, once
    #[arg(long, conflicts_with = "server")]
    connect_under_reset: bool,
    /// A link that is sought again is no reason for another reset.
    #[arg(skip)]
    was_reset: AtomicBool,
    /// What one command alone has flags for.
    #[arg(skip)]
    swo: Option<Swo>,
}

impl ProbeArgs {
    /// Has the processor send where it is, or not.
    pub(super) fn receive(&mut self, swo: Option<Swo>) {
        self.swo = swo;
    }

    /// With what the environment says of what the command line does not: `PROBE_RS_PROBE` and the like.
    ///
    /// # Errors
    ///
    /// It says what cannot be.
    pub(super) fn options(
        &self,
        probe: Option<&ProbeArg>,
        chip: Option<&str>,
        reply_timeout: Duration,
    ) -> Result<Options> {
        let path = self.chip_description_path.clone();
        let path = path.map_or_else(|| environment("CHIP_DESCRIPTION_PATH"), |path| Ok(Some(path)))?;
        let described = path
            .map(|path| std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display())));
        let own = probe.and_then(|probe| probe.0.clone());
        let is_under_reset = match self.connect_under_reset {
            true => true,
            false => environment("CONNECT_UNDER_RESET")?.is_some_and(|Switch(is_on)| is_on),
        };
        Ok(Options {
            selector: own.map_or_else(|| environment("PROBE"), |own| Ok(Some(own)))?,
            chip: chip.map_or_else(|| environment("CHIP"), |chip| Ok(Some(chip.to_owned())))?,
            protocol: self.protocol.map_or_else(|| environment("PROTOCOL"), |own| Ok(Some(own)))?,
            speed_khz: self.speed.map_or_else(|| environment("SPEED"), |own| Ok(Some(own)))?,
            access_port: self.ap,
            core: self.chip_core,
            allow_halt: self.allow_halt,
            chip_description: described.transpose()?,
            connect_under_reset: is_under_reset && !self.was_reset.swap(true, Ordering::Relaxed),
            swo: self.swo,
            reply_timeout,
        })
    }
}

/// How a processor sends where it is.
#[derive(Debug, Args)]
pub(super) struct SwoArgs {
    /// With --method swo: the clock of the chip's trace (TRACECLKIN), which most have from that of the processor
    #[arg(long, value_name = "HZ")]
    swo_clock: Option<u32>,
    /// With --method swo: how fast the wire is [default: 1000000]
    #[arg(long, value_name = "BAUD")]
    swo_baud: Option<u32>,
}

impl SwoArgs {
    /// What was said, where samples are to be sent.
    ///
    /// # Errors
    ///
    /// It says what cannot be.
    pub(super) fn swo(&self, is_wanted: bool) -> Result<Option<Swo>, SwoError> {
        const DEFAULT_BAUD: u32 = 1_000_000;
        match (is_wanted, self.swo_clock) {
            (false, None) if self.swo_baud.is_none() => Ok(None),
            (false, _) => Err(SwoError::NotAsked),
            (true, None) => Err(SwoError::NoClock),
            (true, Some(clock_hz)) => {
                let swo = Swo::new(clock_hz, self.swo_baud.unwrap_or(DEFAULT_BAUD));
                swo.map(Some).map_err(SwoError::CannotBe)
            }
        }
    }
}

/// Flags of SWO that do not go together.
#[derive(Debug, thiserror::Error)]
pub(super) enum SwoError {
    /// There is no wire.
    #[error("--swo-clock and --swo-baud: samples are not asked for by SWO")]
    NotAsked,
    /// The divider is not known.
    #[error("--method swo: the clock of the chip's trace is not known")]
    NoClock,
    /// It does not go so fast.
    #[error("--method swo: {0}")]
    CannotBe(String),
}

/// What a variable says that stands for a flag, as `probe-rs`'s tools read it.
#[derive(Debug)]
struct Switch(bool);

impl FromStr for Switch {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const OFF: [&str; 6] = ["0", "false", "f", "no", "n", "off"];
        Ok(Self(!OFF.contains(&text.to_ascii_lowercase().as_str())))
    }
}

/// What `PROBE_RS_<NAME>` says, if it is there.
fn environment<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>> {
    let name = format!("PROBE_RS_{name}");
    let Some(text) = std::env::var(&name).ok().filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|error| anyhow!("read {name} of the environment: {text:?}: {error}"))
}

/// List the debug probes that are connected to this host.
#[derive(Debug, Args)]
pub(super) struct ProbesArgs {}

/// Lists.
pub(super) fn run(_: &ProbesArgs) {
    let all = debug_probe::list();
    for probe in &all {
        println!("{probe}");
    }
    if all.is_empty() {
        super::terminal::say("no debug probe is connected to this host, or this user may see none");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_switches_on_unless_it_says_no() {
        let is_on = |text: &str| text.parse::<Switch>().map(|Switch(is_on)| is_on);
        for (text, expected) in [("1", true), ("true", true), ("yes", true), ("0", false), ("No", false)] {
            assert_eq!(is_on(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_probe_is_named_or_the_only_one() {
        let parse = |text: &str| text.parse::<ProbeArg>().map(|arg| arg.0.map(|it| it.to_string()));
        assert_eq!(parse("auto"), Ok(None));
        assert_eq!(parse("1209:c0de:board"), Ok(Some("1209:c0de:board".to_owned())));
        assert!(parse("fw.elf").unwrap_err().starts_with("it is no VID:PID"));
    }
}
