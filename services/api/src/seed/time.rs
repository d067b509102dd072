//! Times as the original endpoints write them: with three digits after the second.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serializer;

fn text(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// For `serialize_with`: `2024-01-23T10:00:00.000Z`.
pub(crate) fn millis<S: Serializer>(
    time: &DateTime<Utc>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(time))
}

/// The same for a time that may be missing.
pub(crate) fn maybe_millis<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_str(&text(time)),
        None => serializer.serialize_none(),
    }
}
