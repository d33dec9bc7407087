//! What somebody outside asks of a session that goes on, and what it answers.
//!
//! What always holds: a request is carried out between two snapshots and whole, or refused; a snapshot and the reset after
//! it are one step, between which nothing is counted that is in neither; an answer that speaks of a snapshot comes once
//! that is written.

use std::path::PathBuf;
use std::time::Duration;

use crossbeam_channel::Sender;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// How the session goes.
    Status,
    /// A snapshot, now; and, if so, counting begins anew with it.
    Snapshot {
        /// Whether counting begins anew.
        then_reset: bool,
    },
    /// Counting begins anew, now.
    Reset,
    /// A test begins.
    Begin {
        /// Its name.
        test: String,
    },
    /// The test that runs ends.
    End {
        /// Its name, for a caller that wants to be sure.
        test: Option<String>,
    },
    /// The session ends, after a last snapshot.
    Stop,
}

/// A request, and where its answer goes.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// Gets one answer; one that is gone hears nothing, and the session goes on.
    pub reply: Sender<Answer>,
}

/// What a session answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// How it goes.
    Status(Progress),
    /// What was asked for is done.
    Done,
    /// A snapshot was taken and written.
    Snapshot {
        /// Its number, from 1.
        number: u64,
        /// Where it is.
        files: Vec<PathBuf>,
    },
    /// It cannot be done, for this reason; the session goes on, unless the reason is its end.
    Refused(String),
}

/// How a session goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Where the target is.
    pub target: String,
    /// Since the session began.
    pub elapsed: Duration,
    /// How many snapshots were taken.
    pub snapshots: u64,
    /// How often the target was reset, as far as that was noticed.
    pub resets: u64,
    /// How often counting began anew.
    pub era: u64,
    /// Whether the target was reset and its new run has not begun to count.
    pub is_restarting: bool,
    /// For how long the workload was stopped so far.
    pub pause: Duration,
    /// The test that runs.
    pub test: Option<String>,
    /// How many tests have ended.
    pub tests_ended: usize,
}

/// An answer that waits for what was put before it into the queue to be written.
#[derive(Debug)]
pub struct Pending {
    pub(super) reply: Sender<Answer>,
    pub(super) answer: Answer,
}

impl Pending {
    /// Gives the answer; `files` are those of the last snapshot.
    pub fn written(&self, files: &[PathBuf]) {
        let answer = match &self.answer {
            Answer::Snapshot { number, .. } => Answer::Snapshot { number: *number, files: files.to_vec() },
            other => other.clone(),
        };
        // Nobody may be there any more to hear it.
        let _ = self.reply.try_send(answer);
    }
}
