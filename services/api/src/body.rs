//! A request's body as JSON.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::error::ApiError;

/// The largest body, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// A body that is JSON; what it says is for the resource to judge.
pub(crate) struct JsonBody(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        // Also keeps forms of foreign pages out, which can send anything but this type without asking first.
        if !is_json(&request) {
            return Err(ApiError::Refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type: the body must be JSON and say so, with application/json".to_owned(),
            ));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| unread(&rejection))?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| ApiError::field("body", format!("must be valid JSON: {error}")))
    }
}

fn is_json(request: &Request) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    let essence = content_type
        .and_then(|content_type| content_type.to_str().ok())
        .and_then(|content_type| content_type.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn unread(rejection: &BytesRejection) -> ApiError {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            let detail = format!("the body may have at most {MAX_BODY_BYTES} bytes");
            ApiError::Refused(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        _ => ApiError::field("body", "could not be read to its end"),
    }
}
