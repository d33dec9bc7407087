//! The lines of the control socket, version 1.
//!
//! ```text
//! {"covtap":1,"id":"7","do":"snapshot","reset":true}       a request
//! {"covtap":1,"id":"7","ok":true,"snapshot":12,"files":["valve.profraw"]}
//! {"covtap":1,"id":"7","ok":false,"error":"end a test: none has begun"}
//! ```

use serde::{Deserialize, Serialize};

use crate::collect::{Answer, Ask};

/// The version of the protocol.
pub(super) const VERSION: u32 = 1;

/// The longest line, its end included.
pub(super) const MAX_LINE_BYTES: usize = 4096;

/// The longest id.
const MAX_ID_BYTES: usize = 64;

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// How the session goes.
    Status,
    /// A snapshot, now.
    Snapshot,
    /// Counting begins anew.
    Reset,
    /// A test begins.
    Begin,
    /// The test that runs ends.
    End,
    /// The session ends.
    Stop,
}

/// One line of a client's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) covtap: u32,
    /// Chosen by the client: the same id is the same request, carried out once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(rename = "do")]
    pub(super) verb: Verb,
    /// Of a snapshot: whether counting begins anew with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) reset: bool,
    /// Of begin and end: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) test: Option<String>,
}

impl Line {
    /// What the line asks for, or what is wrong with it.
    pub(super) fn ask(&self) -> Result<Ask, String> {
        if self.covtap != VERSION {
            return Err(format!("version {} is not spoken here, {VERSION} is", self.covtap));
        }
        if self.id.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
            return Err(format!("an id has at most {MAX_ID_BYTES} bytes"));
        }
        if self.reset && self.verb != Verb::Snapshot {
            return Err("only a snapshot has a reset".to_owned());
        }
        match (self.verb, self.test.clone()) {
            (Verb::Begin, Some(test)) => Ok(Ask::Begin { test }),
            (Verb::Begin, None) => Err("begin needs a test".to_owned()),
            (Verb::End, test) => Ok(Ask::End { test }),
            (_, Some(_)) => Err("only begin and end have a test".to_owned()),
            (Verb::Status, None) => Ok(Ask::Status),
            (Verb::Snapshot, None) => Ok(Ask::Snapshot { then_reset: self.reset }),
            (Verb::Reset, None) => Ok(Ask::Reset),
            (Verb::Stop, None) => Ok(Ask::Stop),
        }
    }
}

/// Reads a line.
pub(super) fn parse(line: &[u8]) -> Result<Line, String> {
    serde_json::from_slice(line).map_err(|error| format!("no request: {error}"))
}

/// One line of the server's.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The version of the protocol.
    pub covtap: u32,
    /// The request's id, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether it was done.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// A snapshot's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<String>>,
    /// How the session goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// How the session goes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Where the target is.
    pub target: String,
    /// Seconds since the session began.
    pub elapsed_s: f64,
    /// How many snapshots were taken.
    pub snapshots: u64,
    /// How often the target was reset.
    pub resets: u64,
    /// How often counting began anew.
    pub era: u64,
    /// Whether the target was reset and does not count yet.
    pub restarting: bool,
    /// Milliseconds for which the workload was stopped.
    pub pause_ms: f64,
    /// The test that runs.
    pub test: Option<String>,
    /// How many tests have ended.
    pub tests: usize,
}

impl Reply {
    /// Says that it was done.
    pub(super) fn done(id: Option<String>) -> Self {
        Self { covtap: VERSION, id, ok: true, error: None, snapshot: None, files: None, status: None }
    }

    /// Says why it was not.
    pub(super) fn refused(id: Option<String>, error: impl Into<String>) -> Self {
        Self { ok: false, error: Some(error.into()), ..Self::done(id) }
    }

    pub(super) fn of(id: Option<String>, answer: Answer) -> Self {
        match answer {
            Answer::Done => Self::done(id),
            Answer::Refused(reason) => Self::refused(id, reason),
            Answer::Snapshot { number, files } => {
                let files = files.iter().map(|file| file.display().to_string()).collect();
                Self { snapshot: Some(number), files: Some(files), ..Self::done(id) }
            }
            Answer::Status(progress) => {
                let status = Status {
                    target: progress.target,
                    elapsed_s: progress.elapsed.as_secs_f64(),
                    snapshots: progress.snapshots,
                    resets: progress.resets,
                    era: progress.era,
                    restarting: progress.is_restarting,
                    pause_ms: progress.pause.as_secs_f64() * 1e3,
                    test: progress.test,
                    tests: progress.tests_ended,
                };
                Self { status: Some(status), ..Self::done(id) }
            }
        }
    }

    /// The line, with its end.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Result<Ask, String> {
        parse(line.as_bytes())?.ask()
    }

    #[test]
    fn lines_are_requests() {
        assert_eq!(ask(r#"{"covtap":1,"do":"status"}"#), Ok(Ask::Status));
        let both = ask(r#"{"covtap":1,"id":"x","do":"snapshot","reset":true}"#);
        assert_eq!(both, Ok(Ask::Snapshot { then_reset: true }));
        let begin = ask(r#"{"covtap":1,"do":"begin","test":"boot"}"#);
        assert_eq!(begin, Ok(Ask::Begin { test: "boot".to_owned() }));
        assert_eq!(ask(r#"{"covtap":1,"do":"end"}"#), Ok(Ask::End { test: None }));
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        let long = "x".repeat(MAX_ID_BYTES + 1);
        for (line, reason) in [
            (r#"{"covtap":2,"do":"status"}"#, "version 2 is not spoken here, 1 is"),
            (r#"{"covtap":1,"do":"status","reset":true}"#, "only a snapshot has a reset"),
            (r#"{"covtap":1,"do":"begin"}"#, "begin needs a test"),
            (r#"{"covtap":1,"do":"stop","test":"a"}"#, "only begin and end have a test"),
            (&format!(r#"{{"covtap":1,"id":"{long}","do":"stop"}}"#), "an id has at most 64 bytes"),
        ] {
            assert_eq!(ask(line), Err(reason.to_owned()), "{line}");
        }
        for line in
            ["", "{}", "[]", "nonsense", r#"{"covtap":1,"do":"fly"}"#, r#"{"covtap":1,"do":"stop","x":1}"#]
        {
            assert!(ask(line).expect_err(line).starts_with("no request: "), "{line}");
        }
    }
}
