//! The line that says how a session goes, on stderr.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use covtap_link::LinkInfo;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{hints, terminal, units};
use crate::collect::{Ended, Incoherent, Snapshot, Stop, Summary};
use crate::profile::Stats;
use crate::write::demangle::demangle;

/// Shows the state after each snapshot: one line that changes on a terminal, a line each elsewhere.
pub(super) struct Status {
    bar: Option<ProgressBar>,
}

impl Status {
    /// A status that shows nothing if `quiet`.
    #[must_use]
    pub(super) fn new(quiet: bool) -> Self {
        if quiet {
            return Self { bar: None };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar: Some(bar) }
    }

    /// Shows what is known of the target and of what reading does to it.
    pub(super) fn attached(&self, info: &LinkInfo) {
        let architecture = info.architecture.as_deref().map(|name| format!(", {name}")).unwrap_or_default();
        let pause = match info.attach_pause {
            Duration::ZERO => String::new(),
            pause => format!("; attaching paused it for {}", units::duration(pause)),
        };
        let LinkInfo { endpoint, server, effect, .. } = info;
        self.note(&format!("attached to {endpoint}: {server}{architecture}; {effect}{pause}"));
    }

    /// Shows a line that stays, also where nothing else is shown.
    pub(super) fn complain(&self, line: &str) {
        if self.bar.is_some() { self.note(line) } else { terminal::say(line) }
    }

    /// Shows a line that stays.
    pub(super) fn note(&self, line: &str) {
        let Some(bar) = &self.bar else { return };
        // Below a status line that stays, or where there is none: nothing to print around.
        if bar.is_hidden() || bar.is_finished() {
            terminal::say(line);
        } else {
            bar.println(format!("covtap: {}", terminal::one_line(line)));
        }
    }

    /// Shows a snapshot that was written.
    pub(super) fn show(&self, snapshot: &Snapshot, stats: &Stats) {
        let Some(bar) = &self.bar else { return };
        let line = line(snapshot, stats);
        if bar.is_hidden() {
            eprintln!("{line}");
        } else {
            bar.set_message(line);
            bar.tick();
        }
    }

    /// Shows what a session did that ended well.
    pub(super) fn done(&self, summary: &Summary, last: &LastFiles) {
        self.leave_last_line();
        self.note(&summary_line(summary));
        match last.count() {
            0 => self.note("no profile was written"),
            1 => self.note(&format!("the profile is {last}")),
            _ => self.note(&format!("the profiles are {last}")),
        }
    }

    /// Shows what an error leaves behind.
    pub(super) fn last_profile(&self, last: &LastFiles) {
        self.leave_last_line();
        match last.count() {
            0 => {}
            1 => self.note(&format!("the last profile written is {last}")),
            _ => self.note(&format!("the last profiles written are {last}")),
        }
    }

    fn leave_last_line(&self) {
        if let Some(bar) = self.bar.as_ref().filter(|bar| !bar.is_hidden()) {
            bar.abandon();
        }
    }
}

/// After this long without a change it is worth saying.
const STILL: Duration = Duration::from_secs(30);

/// Notices that no counter has changed for long, which a target that runs seldom does.
#[derive(Default)]
pub(super) struct Stillness {
    /// The last snapshot of a run without changes, and when it began.
    run: Option<(u64, Duration)>,
    is_said: bool,
}

impl Stillness {
    /// What there is to say after this snapshot; once for each time that the counters stand still. A snapshot that was
    /// overtaken may have changed, and begins anew.
    pub(super) fn see(&mut self, snapshot: &Snapshot) -> Option<String> {
        let since = match self.run {
            Some((last, since)) if snapshot.number == last + 1 && snapshot.delta.changed == 0 => since,
            _ => {
                self.is_said = false;
                snapshot.at
            }
        };
        self.run = Some((snapshot.number, since));
        let still = snapshot.at.saturating_sub(since);
        if still < STILL || std::mem::replace(&mut self.is_said, true) {
            return None;
        }
        Some(format!(
            "no counter has changed for {:.0} s: the target waits, is stopped, or counts in registers while a loop runs \
             (-mllvm -do-counter-promotion=false, GCC: -fno-tree-loop-im)",
            still.as_secs_f64()
        ))
    }
}

/// More functions than this are not named one by one; that there are more is said once.
const MAX_NAMED: usize = 20;

/// Names functions that were never read as they were at one moment.
#[derive(Default)]
pub(super) struct Restless {
    said: HashSet<Arc<[u8]>>,
}

impl Restless {
    /// What there is to say after this snapshot; once for each function.
    pub(super) fn see(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let incoherent = snapshot.checked.iter().flat_map(|checked| &checked.incoherent);
        let mut lines = Vec::new();
        for Incoherent { name, detail, .. } in incoherent {
            if self.said.len() > MAX_NAMED || !self.said.insert(Arc::clone(name)) {
                continue;
            }
            let number = snapshot.number;
            lines.push(if self.said.len() > MAX_NAMED {
                format!("snapshot {number} keeps older counts of more functions, which are not named")
            } else {
                let name = demangle(name);
                format!(
                    "snapshot {number} keeps older counts of {name}: each reading caught it half done ({detail})"
                )
            });
        }
        lines
    }
}

/// Says that the target loses counts; once.
#[derive(Default)]
pub(super) struct Losing {
    is_said: bool,
}

impl Losing {
    /// What there is to say after this snapshot.
    pub(super) fn see(&mut self, snapshot: &Snapshot) -> Option<String> {
        let has_lost = snapshot.lost > 0;
        let is_new = has_lost && !std::mem::replace(&mut self.is_said, true);
        is_new.then(|| {
            format!(
                "{} lost by the target: it counts with several processors or in interrupts, and not atomically; {}",
                counts(snapshot.lost),
                hints::FOR_LOST_COUNTS
            )
        })
    }
}

fn counts(num: u64) -> String {
    if num == 1 { "1 count".to_owned() } else { format!("{num} counts") }
}

/// The files of the last snapshot that was written.
#[derive(Clone, Default, Debug)]
pub(super) struct LastFiles {
    /// LLVM's profiles.
    pub(super) profiles: Vec<PathBuf>,
    /// How many `.gcda` files there are, and below which directory.
    pub(super) data: Option<(usize, PathBuf)>,
}

impl LastFiles {
    /// Whether there are none.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    fn count(&self) -> usize {
        let data = self.data.as_ref().map_or(0, |(count, _)| *count);
        self.profiles.len().saturating_add(data)
    }

    /// The profiles, and the directory that the `.gcda` files are below.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.profiles.iter().chain(self.data.as_ref().map(|(_, dir)| dir)).cloned().collect()
    }
}

impl fmt::Display for LastFiles {
    /// `a.profraw, b.profraw and 3 .gcda files below gcda`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.profiles.iter().map(|path| path.display().to_string()).collect();
        f.write_str(&paths.join(", "))?;
        let Some((count, dir)) = &self.data else { return Ok(()) };
        let (and, plural) = (if paths.is_empty() { "" } else { " and " }, if *count == 1 { "" } else { "s" });
        write!(f, "{and}{count} .gcda file{plural} below {}", dir.display())
    }
}

/// `11 snapshots, the workload was paused for 0 in all; ended as scheduled`
fn summary_line(summary: &Summary) -> String {
    let ended = match summary.ended {
        Ended::Scheduled => "as scheduled",
        Ended::Stopped(Stop::AfterLastSnapshot) => "as asked, after a last snapshot",
        Ended::Stopped(Stop::AtOnce) => "as asked, at once",
        Ended::TargetEnded => "with the target",
    };
    let overtaken = match summary.overtaken {
        0 => String::new(),
        n => format!(" ({n} overtaken by newer ones before they could be written)"),
    };
    let taken = match summary.taken {
        1 => "1 snapshot".to_owned(),
        n => format!("{n} snapshots"),
    };
    let pause = units::duration(summary.pause);
    let resets = match summary.resets {
        0 => String::new(),
        1 => " over 1 reset".to_owned(),
        n => format!(" over {n} resets"),
    };
    format!("{taken}{overtaken}{resets}, the workload was paused for {pause} in all; ended {ended}")
}

/// `snapshot 3 at 2.0 s: counters 120/256, functions 14/19, 12 changed, read in 10.1 us, pause 0`
fn line(snapshot: &Snapshot, stats: &Stats) -> String {
    let mut line = format!(
        "snapshot {} at {:.1} s: counters {}/{}, functions {}/{}, {} changed, read in {}, pause {}",
        snapshot.number,
        snapshot.at.as_secs_f64(),
        stats.counters_hit,
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
    if snapshot.unsettled > 0 {
        line.push_str(&format!(", {} left as they were", snapshot.unsettled));
    }
    if snapshot.resets > 0 {
        line.push_str(&format!(", run {} of the target", snapshot.resets + 1));
    }
    if snapshot.lost > 0 {
        line.push_str(&format!(", {} lost by the target", counts(snapshot.lost)));
    }
    if snapshot.moved {
        line.push_str(", counters moved");
    }
    if let Some(checked) = snapshot.checked.as_ref().filter(|checked| checked.read_again > 0) {
        line.push_str(&format!(", {} functions read again", checked.read_again));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::{Checked, Delta};
    use covtap_link::ReadReport;

    fn snapshot(number: u64, at_s: u64, changed: u64) -> Snapshot {
        Snapshot {
            number,
            at: Duration::from_secs(at_s),
            delta: Delta { changed, backwards: 0 },
            report: ReadReport { elapsed: Duration::from_nanos(10_100), pause: Duration::ZERO },
            ..Snapshot::default()
        }
    }

    #[test]
    fn counters_that_stand_still_are_said_once() {
        let mut stillness = Stillness::default();
        let mut said = |number, at_s, changed| stillness.see(&snapshot(number, at_s, changed)).is_some();
        // Each of them: number, seconds, changed counters, whether it is said.
        let cases = [
            (1, 0, 0, false),
            (2, 29, 0, false),
            (3, 31, 0, true),
            (4, 90, 0, false),
            (5, 91, 1, false),
            (6, 120, 0, false),
            (7, 121, 0, true),
            // Snapshot 8 was overtaken.
            (9, 160, 0, false),
            (10, 189, 0, false),
            (11, 190, 0, true),
        ];
        for (number, at_s, changed, expected) in cases {
            assert_eq!(said(number, at_s, changed), expected, "snapshot {number}");
        }
    }

    #[test]
    fn files_of_both_kinds_are_told_apart() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect();
        let cases = [
            (LastFiles::default(), 0, ""),
            (
                LastFiles { profiles: paths(&["a.profraw", "b.profraw"]), data: None },
                2,
                "a.profraw, b.profraw",
            ),
            (
                LastFiles { profiles: paths(&[]), data: Some((1, "gcda".into())) },
                1,
                "1 .gcda file below gcda",
            ),
            (
                LastFiles { profiles: paths(&["a.profraw"]), data: Some((3, "gcda".into())) },
                4,
                "a.profraw and 3 .gcda files below gcda",
            ),
        ];
        for (files, count, text) in cases {
            assert_eq!((files.count(), &*files.to_string()), (count, text));
        }
    }

    #[test]
    fn a_line_says_all_that_is_asked_for() {
        let mut snapshot = snapshot(3, 2, 12);
        let stats = Stats { counters_hit: 120, counters: 256, functions_entered: 14, functions: 19 };
        let text =
            "snapshot 3 at 2.0 s: counters 120/256, functions 14/19, 12 changed, read in 10.1 us, pause 0";
        assert_eq!(line(&snapshot, &stats), text);
        snapshot.rereads = 2;
        snapshot.moved = true;
        assert_eq!(line(&snapshot, &stats), format!("{text}, read again 2 times, counters moved"));
        snapshot.checked = Some(Checked { read_again: 3, ..Checked::default() });
        (snapshot.unsettled, snapshot.resets) = (1, 4);
        let expected = format!(
            "{text}, read again 2 times, 1 left as they were, run 5 of the target, counters moved, 3 functions read again"
        );
        assert_eq!(line(&snapshot, &stats), expected);
    }

    #[test]
    fn lost_counts_are_in_every_line_and_explained_once() {
        let mut losing = Losing::default();
        let mut snapshot = snapshot(1, 0, 2);
        assert_eq!(losing.see(&snapshot), None);
        snapshot.lost = 1;
        let said = losing.see(&snapshot).expect("it is new");
        assert!(said.starts_with("1 count lost by the target: it counts with"), "{said}");
        assert!(said.contains("-fprofile-update=atomic"), "{said}");
        snapshot.lost = 12;
        assert_eq!(losing.see(&snapshot), None);
        assert!(line(&snapshot, &Stats::default()).ends_with(", pause 0, 12 counts lost by the target"));
    }

    #[test]
    fn a_function_that_never_settles_is_named_once() {
        let mut restless = Restless::default();
        let mut snapshot = snapshot(7, 1, 1);
        let incoherent = |name: &str| Incoherent {
            group: 0,
            name: name.as_bytes().into(),
            detail: "block 2: -1".to_owned(),
        };
        let checked = |incoherent| Some(Checked { incoherent, ..Checked::default() });
        snapshot.checked = checked(vec![incoherent("spin")]);
        let line = "snapshot 7 keeps older counts of spin: each reading caught it half done (block 2: -1)";
        assert_eq!(restless.see(&snapshot), [line]);
        assert!(restless.see(&snapshot).is_empty());
        snapshot.checked = checked((0..MAX_NAMED + 9).map(|n| incoherent(&n.to_string())).collect());
        let lines = restless.see(&snapshot);
        assert_eq!(lines.len(), MAX_NAMED);
        let last = "snapshot 7 keeps older counts of more functions, which are not named";
        assert_eq!(lines.last().map(String::as_str), Some(last));
        assert!(restless.see(&snapshot).is_empty());
    }
}
