//! Lengths of time as people type them: `90`, `30s`, `1h 30m`.

use std::time::Duration;

/// Whole seconds, at least 0. A bare number counts seconds.
///
/// # Errors
/// When it is no length of time, or has a fraction of a second.
pub(crate) fn seconds(text: &str) -> Result<i64, String> {
    let hint = "expected seconds or a length of time such as 30s, 10m or 1h 30m";
    let text = text.trim();
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text).map_err(|error| format!("{error}; {hint}"))?,
    };
    if duration.subsec_nanos() != 0 {
        return Err(format!("must be whole seconds; {hint}"));
    }
    i64::try_from(duration.as_secs()).map_err(|_| format!("too long; {hint}"))
}

/// The same, at least 1.
///
/// # Errors
/// As [`seconds`], and for 0.
pub(crate) fn positive_seconds(text: &str) -> Result<i64, String> {
    match seconds(text)? {
        0 => Err("must be at least 1 second".to_owned()),
        seconds => Ok(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        for (text, expected) in [
            ("0", 0),
            ("90", 90),
            ("30s", 30),
            ("10m", 600),
            ("1h 30m", 5400),
            ("2days", 172_800),
            ("1000ms", 1),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "-5",
            "soon",
            "1500ms",
            "10 parsecs",
            "99999999999999999999",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert!(positive_seconds("0s").is_err());
        assert_eq!(positive_seconds("1"), Ok(1));
    }
}
