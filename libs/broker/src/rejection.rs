//! How a submission that is not valid looks in the queue of rejected ones: as it came, with the reason added.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

const PERSISTENT: u8 = 2;
const REASON: &str = "x-taskmaster-reason";
const SENDER: &str = "x-taskmaster-user-id";
const HEADERS_DROPPED: &str = "x-taskmaster-headers-dropped";

/// Headers that would make RabbitMQ put copies into further queues, perhaps into the one the message came from.
const ROUTING_HEADERS: [&str; 2] = ["CC", "BCC"];

/// All headers have to fit in one frame with the reason, or RabbitMQ ends the connection. Counted as JSON, which is
/// never shorter than what is sent.
const MAX_HEADERS_BYTES: usize = 64 * 1024;

const MAX_REASON_CHARS: usize = 1000;

/// The properties of the rejected copy.
///
/// Persistent and without an expiry, whatever the original said. The user id becomes a header: as a property
/// RabbitMQ accepts it only from that user.
pub(crate) fn properties(original: &BasicProperties, reason: &str) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers(original, reason));
    if let Some(value) = original.content_type() {
        properties = properties.with_content_type(value.clone());
    }
    if let Some(value) = original.content_encoding() {
        properties = properties.with_content_encoding(value.clone());
    }
    if let Some(value) = original.priority() {
        properties = properties.with_priority(*value);
    }
    if let Some(value) = original.correlation_id() {
        properties = properties.with_correlation_id(value.clone());
    }
    if let Some(value) = original.reply_to() {
        properties = properties.with_reply_to(value.clone());
    }
    if let Some(value) = original.message_id() {
        properties = properties.with_message_id(value.clone());
    }
    if let Some(value) = original.timestamp() {
        properties = properties.with_timestamp(*value);
    }
    if let Some(value) = original.kind() {
        properties = properties.with_type(value.clone());
    }
    if let Some(value) = original.app_id() {
        properties = properties.with_app_id(value.clone());
    }
    properties
}

fn headers(original: &BasicProperties, reason: &str) -> FieldTable {
    let mut headers = FieldTable::default();
    if let Some(table) = original.headers() {
        let size = serde_json::to_vec(table).map_or(usize::MAX, |json| json.len());
        if size > MAX_HEADERS_BYTES {
            headers.insert(HEADERS_DROPPED.into(), AMQPValue::Boolean(true));
        } else {
            for (key, value) in table {
                if !ROUTING_HEADERS.contains(&key.as_str()) {
                    headers.insert(key.clone(), value.clone());
                }
            }
        }
    }
    if let Some(user) = original.user_id() {
        headers.insert(SENDER.into(), AMQPValue::LongString(user.as_str().into()));
    }
    let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
    headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_headers(entries: &[(&str, &str)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (key, value) in entries {
            table.insert((*key).into(), AMQPValue::LongString((*value).into()));
        }
        BasicProperties::default().with_headers(table)
    }

    fn keys(properties: &BasicProperties) -> Vec<String> {
        let headers = properties.headers().clone().unwrap();
        headers
            .into_iter()
            .map(|(key, _)| key.to_string())
            .collect()
    }

    #[test]
    fn keeps_what_the_producer_said_and_nothing_that_could_harm() {
        let original = with_headers(&[("trace", "abc"), ("CC", "taskmaster.submissions")])
            .with_content_type("text/plain".into())
            .with_message_id("m1".into())
            .with_delivery_mode(1)
            .with_expiration("5".into())
            .with_user_id("bob".into());
        let rejected = properties(&original, "no");
        assert_eq!(keys(&rejected), ["trace", REASON, SENDER]);
        assert_eq!(rejected.delivery_mode(), &Some(PERSISTENT));
        assert_eq!(rejected.content_type(), original.content_type());
        assert_eq!(rejected.message_id(), original.message_id());
        assert_eq!((rejected.expiration(), rejected.user_id()), (&None, &None));
    }

    #[test]
    fn headers_that_fill_a_frame_are_left_out() {
        let original = with_headers(&[("big", &"x".repeat(120_000))]);
        assert_eq!(
            keys(&properties(&original, &"y".repeat(5000))),
            [HEADERS_DROPPED, REASON]
        );
    }
}
