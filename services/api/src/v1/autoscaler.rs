//! `PUT /api/v1/fleet` and `/api/v1/fleet/decisions`: how the autoscaler is set, and what it decided.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use taskmaster_core::FieldError;
use taskmaster_core::autoscale::{Settings, SettingsPatch};
use taskmaster_fleet::{FleetKind, MAX_WORKERS, MIN_WORKERS};
use taskmaster_store::autoscaler::{self, Recorded};
use taskmaster_store::{audit, bounded};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::fleet::{self, Fleet};
use crate::ApiState;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::{Parameters, number};

/// How many decisions a page has unless told.
const DEFAULT_LIMIT: i64 = 50;
/// How many a page has at most.
const MAX_LIMIT: i64 = 1000;

/// How the autoscaler is set, and what it decided last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Autoscaler {
    #[serde(flatten)]
    settings: Settings,
    /// The last decision that was recorded; nothing if there was none yet.
    last_decision: Option<Recorded>,
}

/// The autoscaler, as the fleet shows it.
pub(crate) async fn shown(state: &ApiState) -> Result<Autoscaler, ApiError> {
    let settings = bounded(autoscaler::settings(&state.pool)).await?;
    let last_decision = bounded(autoscaler::decisions(&state.pool, None, 1)).await?;
    Ok(Autoscaler {
        settings,
        last_decision: last_decision.into_iter().next(),
    })
}

/// What of the fleet is to be set.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `change` takes")]
struct FleetChange {
    /// The autoscaler: what is not given stays as it is.
    autoscaler: SettingsPatch,
}

/// Sets the autoscaler. What is not given stays; `{"autoscaler": {"pinned": false}}` releases a fleet that was scaled by
/// hand. The audit has who did it, as `fleet.autoscaler`.
#[utoipa::path(
    put, path = "/api/v1/fleet", tag = "workers", operation_id = "change_fleet",
    request_body = FleetChange,
    responses((status = 200, body = Fleet)),
)]
pub(crate) async fn change(
    caller: Caller,
    State(state): State<ApiState>,
    parameters: Parameters,
    JsonBody(body): JsonBody,
) -> Result<Json<Fleet>, ApiError> {
    parameters.finish()?;
    let (patch, request) = read(body)?;
    if patch.enabled == Some(true) && state.fleet.kind() == FleetKind::None {
        let detail = "this API does not control a fleet, so it cannot scale one by itself: use what starts the workers";
        return Err(ApiError::Refused(
            StatusCode::NOT_IMPLEMENTED,
            detail.to_owned(),
        ));
    }
    let caller = caller.to_string();
    let new = audit::New {
        id: Uuid::now_v7(),
        caller: &caller,
        action: "fleet.autoscaler",
        fleet: state.fleet.kind().as_str(),
        request: &request,
        reason: None,
    };
    tracing::info!(operation.id = %new.id, request = %new.request, caller, "sets the autoscaler");
    let changed = bounded(autoscaler::change(&state.pool, &new, |settings| {
        let settings = patch.apply(settings);
        let errors = settings.check(MIN_WORKERS, MAX_WORKERS);
        if errors.is_empty() {
            Ok(settings)
        } else {
            Err(errors)
        }
    }));
    changed
        .await?
        .map_err(|errors| ApiError::BadInput(errors.into_iter().map(inside).collect()))?;
    fleet::shown(&state).await.map(Json)
}

/// What is to be set, and the same as it was given.
fn read(body: Value) -> Result<(SettingsPatch, Value), ApiError> {
    let Value::Object(mut fields) = body else {
        let message = "must be a JSON object with the field autoscaler";
        return Err(ApiError::field("body", message));
    };
    let settings = fields.remove("autoscaler");
    if let Some((unknown, _)) = fields.iter().next() {
        return Err(ApiError::field(
            unknown,
            "unknown field: there is only autoscaler",
        ));
    }
    let settings = settings.ok_or_else(|| ApiError::field("autoscaler", "required"))?;
    let patch = SettingsPatch::from_json(settings.clone())
        .map_err(|error| ApiError::BadInput(vec![inside(error)]))?;
    Ok((patch, settings))
}

/// The error of a field of `autoscaler`, by its whole path.
fn inside(error: FieldError) -> FieldError {
    let field = match error.field.as_str() {
        "" => "autoscaler".to_owned(),
        field => format!("autoscaler.{field}"),
    };
    FieldError { field, ..error }
}

/// The parameters of a list of decisions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `decisions` takes")]
struct DecisionFilter {
    /// How many at most; 50 unless told.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One page of decisions, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecisionPage {
    /// The decisions.
    decisions: Vec<Recorded>,
    /// What to give as `cursor` for the next page; nothing: this is the last one.
    next_cursor: Option<String>,
}

/// Lists what the autoscaler decided: each change of the fleet, and each new reason for leaving it as it is.
#[utoipa::path(
    get, path = "/api/v1/fleet/decisions", tag = "workers", operation_id = "list_decisions",
    params(DecisionFilter),
    responses((status = 200, body = DecisionPage)),
)]
pub(crate) async fn decisions(
    _caller: Caller,
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<DecisionPage>, ApiError> {
    let limit = parameters.take("limit", number(1, MAX_LIMIT));
    let before = parameters.take("cursor", |text| {
        let id = text.parse().ok().filter(|id: &i64| id.to_string() == text);
        id.ok_or_else(|| "must be the next_cursor of another page".to_owned())
    });
    parameters.finish()?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    // One more than asked for: whether there is a next page.
    let mut decisions = bounded(autoscaler::decisions(&state.pool, before, limit + 1)).await?;
    let more = decisions.len() > limit as usize;
    decisions.truncate(limit as usize);
    let last = decisions.last().filter(|_| more);
    Ok(Json(DecisionPage {
        next_cursor: last.map(|last| last.id.to_string()),
        decisions,
    }))
}
