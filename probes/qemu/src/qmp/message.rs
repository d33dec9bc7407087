//! What a monitor says: a greeting, an answer, or an event.
//!
//! Source: `docs/interop/qmp-spec.rst` of QEMU 10.0.
//!
//! ```text
//! {"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": "..."}, "capabilities": [...]}}
//! {"return": VALUE, "id": ID}
//! {"error": {"class": "GenericError", "desc": "..."}, "id": ID}
//! {"event": "RESET", "data": {...}, "timestamp": {...}}
//! ```

use std::fmt;

use serde_json::Value;

/// QEMU's version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Version {
    major: u64,
    minor: u64,
    micro: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// The server's refusal of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    /// `GenericError`, `CommandNotFound`, ...
    pub(crate) class: String,
    /// Its words.
    pub(crate) desc: String,
}

/// Something that happened to the guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    /// QEMU's name for it.
    pub(crate) name: String,
    /// Why, where QEMU says: `guest-reset`, `host-qmp-quit`, ...
    pub(crate) reason: Option<String>,
}

/// One message of a monitor.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Message {
    /// The first message.
    Greeting(Version),
    /// The answer to the command of that id; an error may come without one.
    Answer {
        /// The id that the command had.
        id: Option<u64>,
        /// What came back.
        outcome: Result<Value, Refusal>,
    },
    /// Something that happened.
    Event(Event),
}

/// The message in one object's text, or what is wrong with it.
pub(crate) fn parse(text: &[u8]) -> Result<Message, String> {
    let mut value: Value = serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))?;
    let id = value.get("id").and_then(Value::as_u64);
    if let Some(outcome) = value.get_mut("return") {
        return Ok(Message::Answer { id, outcome: Ok(outcome.take()) });
    }
    if let Some(error) = value.get("error") {
        let word = |key| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let refusal = Refusal { class: word("class"), desc: word("desc") };
        return Ok(Message::Answer { id, outcome: Err(refusal) });
    }
    if let Some(event) = value.get("event") {
        let name = event.as_str().ok_or("an event's name is not a string")?.to_owned();
        let reason = value.get("data").and_then(|data| data.get("reason")?.as_str());
        return Ok(Message::Event(Event { name, reason: reason.map(str::to_owned) }));
    }
    let version = value.get("QMP").ok_or("neither greeting, answer nor event")?.get("version");
    let part = |key| version?.get("qemu")?.get(key)?.as_u64();
    match (part("major"), part("minor"), part("micro")) {
        (Some(major), Some(minor), Some(micro)) => Ok(Message::Greeting(Version { major, minor, micro })),
        _ => Err("a greeting without QEMU's version".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_greeting_tells_the_version() {
        let text = br#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10},
            "package": "Debian"}, "capabilities": ["oob"]}}"#;
        let Ok(Message::Greeting(version)) = parse(text) else { panic!("no greeting") };
        assert_eq!(version.to_string(), "10.0.2");
    }

    #[test]
    fn answers_and_events_are_told_apart() {
        assert_eq!(
            parse(br#"{"return": {}, "id": 7}"#),
            Ok(Message::Answer { id: Some(7), outcome: Ok(Value::Object(serde_json::Map::new())) })
        );
        let refusal = Refusal { class: "CommandNotFound".into(), desc: "no".into() };
        assert_eq!(
            parse(br#"{"error": {"class": "CommandNotFound", "desc": "no"}}"#),
            Ok(Message::Answer { id: None, outcome: Err(refusal) })
        );
        assert_eq!(
            parse(br#"{"event": "RESET", "data": {"guest": true, "reason": "guest-reset"}}"#),
            Ok(Message::Event(Event { name: "RESET".into(), reason: Some("guest-reset".into()) }))
        );
    }

    #[test]
    fn other_objects_are_refused() {
        for text in ["{}", "[]", "{\"event\": 1}", "{\"QMP\": 1}", "{\"QMP\": {\"version\": {}}}", "{\"a\"}"]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        let nested = format!("{{\"return\": {}1{}}}", "[".repeat(4000), "]".repeat(4000));
        assert!(parse(nested.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse(&text);
        }
    }
}
