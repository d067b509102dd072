//! The shape of an answer: what differs from run to run is replaced by what it is.

use chrono::DateTime;
use serde_json::Value;

/// With `[id]` for ids and `[time]` for times.
pub(crate) fn shape(value: Value) -> Value {
    map(value, &|_| "[time]".to_owned())
}

/// The same, with `[time with milliseconds]` for times as the original endpoints write them.
pub(crate) fn original_shape(value: Value) -> Value {
    map(value, &|text| {
        let digits = text.rsplit_once('.').map(|(_, digits)| digits);
        match digits.and_then(|digits| digits.strip_suffix('Z')) {
            Some(digits) if digits.len() == 3 => "[time with milliseconds]".to_owned(),
            _ => format!("a time of another form: {text}"),
        }
    })
}

fn map(value: Value, time: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, map(value, time)))
            .collect(),
        Value::Array(items) => items.into_iter().map(|item| map(item, time)).collect(),
        Value::String(text) if text.parse::<uuid::Uuid>().is_ok() => "[id]".into(),
        Value::String(text) if DateTime::parse_from_rfc3339(&text).is_ok() => time(&text).into(),
        other => other,
    }
}
