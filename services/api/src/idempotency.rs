//! The request header `Idempotency-Key`, and the answer's `Idempotent-Replayed`: a submission whose answer was lost is
//! sent again under the same key, and is carried out once.
//!
//! As in the IETF's draft-ietf-httpapi-idempotency-key-header, with the key taken as it is written.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use taskmaster_core::IdempotencyKey;
use utoipa::IntoParams;

use crate::error::ApiError;

const NAME: &str = "Idempotency-Key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Describes the header.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Key` reads")]
pub(crate) struct KeyHeader {
    /// A name of your own for this request, such as a UUID: 1 to 255 visible ASCII characters. Sent again under the same
    /// key within 24 hours, the same content is answered with the tasks of the first time, as they are by then, and
    /// other content is refused. Submit with a key, and you may try again whenever an answer does not come.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$",
        required = false
    )]
    key: String,
}

/// The request's key, if it has one.
pub(crate) struct Key(pub(crate) Option<IdempotencyKey>);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let mut values = parts.headers.get_all(NAME).iter();
        let (Some(value), more) = (values.next(), values.next()) else {
            return Ok(Self(None));
        };
        if more.is_some() {
            return Err(ApiError::field(NAME, "must be given once"));
        }
        // What is no text is none of the characters that are allowed.
        let key = value.to_str().unwrap_or_default().parse();
        key.map(|key| Self(Some(key)))
            .map_err(|error: taskmaster_core::InvalidIdempotencyKey| {
                ApiError::field(NAME, error.to_string())
            })
    }
}

/// Says in the answer's headers that nothing new was stored.
pub(crate) fn mark_replayed(headers: &mut HeaderMap) {
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
}
