//! The line that says how a session goes, on stderr.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::units;
use crate::collect::Snapshot;
use crate::profile::llvm::Stats;

/// Shows the state after each snapshot: one line that changes on a terminal, a line each elsewhere.
pub struct Status {
    bar: Option<ProgressBar>,
}

impl Status {
    /// A status that shows nothing if `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        if quiet {
            return Self { bar: None };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar: Some(bar) }
    }

    /// Shows a snapshot that was written.
    pub fn show(&self, snapshot: &Snapshot, stats: &Stats) {
        let Some(bar) = &self.bar else { return };
        let line = line(snapshot, stats);
        if bar.is_hidden() {
            eprintln!("{line}");
        } else {
            bar.set_message(line);
            bar.tick();
        }
    }

    /// Leaves the last line standing.
    pub fn finish(&self) {
        if let Some(bar) = self.bar.as_ref().filter(|bar| !bar.is_hidden()) {
            bar.abandon();
        }
    }
}

/// `snapshot 3 at 2.0 s: counters 120/256, functions 14/19, 12 changed, read in 10.1 us, pause 0`
fn line(snapshot: &Snapshot, stats: &Stats) -> String {
    let mut line = format!(
        "snapshot {} at {}: counters {}/{}, functions {}/{}, {} changed, read in {}, pause {}",
        snapshot.number,
        units::duration(snapshot.at),
        stats.counters_nonzero,
        stats.counters,
        stats.functions_entered,
        stats.functions,
        snapshot.delta.changed,
        units::duration(snapshot.report.elapsed),
        units::duration(snapshot.report.pause),
    );
    if snapshot.rereads > 0 {
        line.push_str(&format!(", read again {} times", snapshot.rereads));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::{Counters, Delta};
    use covtap_link::ReadReport;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_line_says_all_that_is_asked_for() {
        let mut snapshot = Snapshot {
            number: 3,
            at: Duration::from_secs(2),
            counters: Arc::new(Counters::default()),
            delta: Delta { changed: 12, backwards: 0 },
            report: ReadReport { elapsed: Duration::from_nanos(10_100), pause: Duration::ZERO },
            rereads: 0,
        };
        let stats = Stats { counters_nonzero: 120, counters: 256, functions_entered: 14, functions: 19 };
        let text = "snapshot 3 at 2.0 s: counters 120/256, functions 14/19, 12 changed, read in 10.1 us, pause 0";
        assert_eq!(line(&snapshot, &stats), text);
        snapshot.rereads = 2;
        assert_eq!(line(&snapshot, &stats), format!("{text}, read again 2 times"));
    }
}
