//! The id of a task in the path of a request.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use uuid::Uuid;

use crate::error::ApiError;
use crate::query;

/// `{id}` of the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskId(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for TaskId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let text = text.map(|Path(text)| text).unwrap_or_default();
        query::id(&text)
            .map(Self)
            .map_err(|fault| ApiError::field("id", fault))
    }
}
