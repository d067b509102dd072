//! `/api/v1/audit`: who changed the fleet, how, and what came of it.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use taskmaster_store::audit::{self, Entry};
use taskmaster_store::bounded;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::page::{cursor, read_cursor};
use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::{Parameters, number};

/// How many entries a page has unless told.
const DEFAULT_LIMIT: i64 = 50;
/// How many entries a page has at most.
const MAX_LIMIT: i64 = 200;

/// The parameters of a list of operations.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` takes")]
pub(crate) struct AuditFilter {
    /// How many at most; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One page of operations, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditPage {
    /// The operations.
    entries: Vec<Entry>,
    /// What to give as `cursor` for the next page; nothing: this is the last one.
    next_cursor: Option<String>,
}

/// Lists what was done to the fleet, newest first: every scaling, kill and drain, what was refused as well, and each change
/// of the autoscaler. A request that cannot be read (400) is no operation.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "workers", operation_id = "list_audit",
    params(AuditFilter),
    responses((status = 200, body = AuditPage)),
)]
pub(crate) async fn list(
    _caller: Caller,
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<AuditPage>, ApiError> {
    let before = parameters.take("cursor", read_cursor);
    let limit = parameters.take("limit", number(1, MAX_LIMIT));
    parameters.finish()?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    // One more than asked for: whether there is a next page.
    let mut entries = bounded(audit::list(&state.pool, before, limit + 1)).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let last = entries.last().filter(|_| more);
    Ok(Json(AuditPage {
        next_cursor: last.map(|entry| cursor(entry.id)),
        entries,
    }))
}

/// Shows one operation: how far it is, or how it ended.
#[utoipa::path(
    get, path = "/api/v1/audit/{id}", tag = "workers", operation_id = "get_audit",
    params(("id" = Uuid, Path, description = "The operation.")),
    responses((status = 200, body = Entry)),
)]
pub(crate) async fn get(
    _caller: Caller,
    State(state): State<ApiState>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Json<Entry>, ApiError> {
    parameters.finish()?;
    let id: Uuid = id
        .parse()
        .map_err(|_| ApiError::field("id", "must be an operation's id, a UUID"))?;
    let entry = bounded(audit::get(&state.pool, id)).await?;
    let missing = || ApiError::NotFound(format!("there is no operation with the id {id}"));
    entry.map(Json).ok_or_else(missing)
}
