//! Points in time as people type them.

use chrono::{DateTime, Local, MappedLocalTime, NaiveDateTime, SecondsFormat, TimeZone};

/// A time with a zone, or a local one, as RFC 3339 with a zone.
///
/// # Errors
/// When it is no time, or one that the local clock shows twice or never.
pub(crate) fn at(text: &str) -> Result<String, String> {
    at_in(text, &Local)
}

fn at_in<Tz: TimeZone>(text: &str, zone: &Tz) -> Result<String, String> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    }
    let naive = [
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
    ]
    .iter()
    .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
    .ok_or(
        "expected a time such as 2026-01-23 10:00 (here) or 2026-01-23T10:00:00Z (with its zone)",
    )?;
    match zone.from_local_datetime(&naive) {
        MappedLocalTime::Single(at) => Ok(at
            .fixed_offset()
            .to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        MappedLocalTime::Ambiguous(first, second) => Err(format!(
            "the clocks here show that time twice: write {} or {}",
            first
                .fixed_offset()
                .to_rfc3339_opts(SecondsFormat::AutoSi, true),
            second
                .fixed_offset()
                .to_rfc3339_opts(SecondsFormat::AutoSi, true),
        )),
        MappedLocalTime::None => Err(
            "the clocks here skip that time: choose another, or give it with its zone".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, NaiveDate};

    use super::*;

    /// Summer time ends on 2026-10-25 at 03:00 and begins on 2026-03-29 at 02:00, as in Berlin.
    #[derive(Clone)]
    struct Berlin;

    impl TimeZone for Berlin {
        type Offset = FixedOffset;

        fn from_offset(_: &FixedOffset) -> Self {
            Self
        }

        fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
            MappedLocalTime::None
        }

        fn offset_from_local_datetime(
            &self,
            local: &NaiveDateTime,
        ) -> MappedLocalTime<FixedOffset> {
            let (winter, summer) = (hours(1), hours(2));
            match local.format("%m-%d %H").to_string().as_str() {
                "10-25 02" => MappedLocalTime::Ambiguous(summer, winter),
                "03-29 02" => MappedLocalTime::None,
                _ => MappedLocalTime::Single(winter),
            }
        }

        fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
            hours(1)
        }

        fn offset_from_utc_datetime(&self, _: &NaiveDateTime) -> FixedOffset {
            hours(1)
        }
    }

    fn hours(hours: i32) -> FixedOffset {
        FixedOffset::east_opt(hours * 3600).unwrap()
    }

    #[test]
    fn a_local_time_gets_the_zone() {
        for text in [
            "2026-01-23 10:00",
            "2026-01-23T10:00",
            "2026-01-23 10:00:00",
            " 2026-01-23T10:00:00 ",
        ] {
            assert_eq!(
                at_in(text, &Berlin).unwrap(),
                "2026-01-23T10:00:00+01:00",
                "{text}"
            );
        }
    }

    #[test]
    fn a_time_with_a_zone_keeps_it() {
        for (text, expected) in [
            ("2026-01-23T10:00:00Z", "2026-01-23T10:00:00Z"),
            ("2026-01-23 10:00:00-05:00", "2026-01-23T10:00:00-05:00"),
            (
                "2026-01-23T10:00:00.250+01:00",
                "2026-01-23T10:00:00.250+01:00",
            ),
        ] {
            assert_eq!(at_in(text, &Berlin).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_time_that_is_not_one_is_refused() {
        let twice = at_in("2026-10-25 02:30", &Berlin).unwrap_err();
        assert!(
            twice.contains("2026-10-25T02:30:00+02:00")
                && twice.contains("2026-10-25T02:30:00+01:00"),
            "{twice}"
        );
        assert!(
            at_in("2026-03-29 02:30", &Berlin)
                .unwrap_err()
                .contains("skip")
        );
        for bad in ["", "tomorrow", "10:00", "2026-02-30 10:00", "2026-01-23"] {
            assert!(at_in(bad, &Berlin).is_err(), "{bad}");
        }
    }
}
