//! Durations and sizes as people write and read them.

use std::time::Duration;

/// A duration in the unit that suits it: `0`, `12.3 us`, `1.3 ms`, `2.0 s`.
#[must_use]
pub(super) fn duration(value: Duration) -> String {
    let seconds = value.as_secs_f64();
    if value.is_zero() {
        "0".to_owned()
    } else if seconds < 1e-3 {
        format!("{:.1} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

/// Reads a duration with its unit, such as `500ms`, `5s` or `1m 30s`.
///
/// # Errors
///
/// The text is not a duration, or is zero.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    match parse_patience(text) {
        Ok(Duration::ZERO) => Err("must be more than zero".to_owned()),
        parsed => parsed,
    }
}

/// Reads a duration with its unit, which may be zero.
///
/// # Errors
///
/// The text is not a duration.
pub(super) fn parse_patience(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text);
    parsed.map_err(|error| format!("{error}; write it with a unit, such as 500ms, 5s or 1m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_has_its_unit() {
        for (nanos, text) in [
            (0, "0"),
            (12_340, "12.3 us"),
            (1_340_000, "1.3 ms"),
            (2_000_000_000, "2.0 s"),
            (61_000_000_000, "61.0 s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn a_duration_wants_a_unit_and_a_value() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("0s"), Err("must be more than zero".to_owned()));
        assert_eq!(parse_patience("0s"), Ok(Duration::ZERO));
        assert!(parse_duration("5").expect_err("no unit").contains("such as 500ms"));
    }
}
