//! Times as people read them.

use std::time::SystemTime;

use chrono::{DateTime, Local, TimeDelta, Utc};

/// This machine's clock, for "3m ago" only: no time that is sent or stored comes from here.
pub(crate) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// `in 5m`, `3s ago`, `now`; the date where that says more.
pub(crate) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let distance = at - now;
    if distance.num_days().abs() >= 30 {
        return at.with_timezone(&Local).format("%Y-%m-%d").to_string();
    }
    let seconds = distance.num_seconds();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", coarse(seconds)),
        _ => format!("{} ago", coarse(-seconds)),
    }
}

/// How long something took: `0.35s`, `12.3s`, `4m 10s`, `2h 5m`.
pub(crate) fn took(time: TimeDelta) -> String {
    let milliseconds = time.num_milliseconds().max(0);
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{}.{:02}s", seconds, milliseconds % 1000 / 10),
        10..60 => format!("{}.{}s", seconds, milliseconds % 1000 / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// The whole time, by the local clock.
pub(crate) fn local(at: DateTime<Utc>) -> String {
    at.with_timezone(&Local)
        .format("%Y-%m-%d %H:%M:%S%.3f %:z")
        .to_string()
}

fn coarse(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_one_unit() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (seconds, expected) in [
            (0, "now"),
            (5, "in 5s"),
            (-59, "59s ago"),
            (-61, "1m ago"),
            (7200, "in 2h"),
            (-3 * 86_400, "3d ago"),
        ] {
            assert_eq!(relative(now + TimeDelta::seconds(seconds), now), expected);
        }
        assert_eq!(
            relative(now + TimeDelta::days(400), now).len(),
            "2028-01-01".len()
        );
    }

    #[test]
    fn a_length_gets_coarser_as_it_grows() {
        for (milliseconds, expected) in [
            (-5, "0.00s"),
            (350, "0.35s"),
            (9_999, "9.99s"),
            (12_345, "12.3s"),
            (250_000, "4m 10s"),
            (7_500_000, "2h 5m"),
            (180_000_000, "2d 2h"),
        ] {
            assert_eq!(took(TimeDelta::milliseconds(milliseconds)), expected);
        }
    }
}
