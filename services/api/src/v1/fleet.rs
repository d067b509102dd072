//! `/api/v1/fleet`: how many workers there are to be, and who decides that.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use taskmaster_fleet::{FleetKind, MAX_WORKERS, MIN_WORKERS};
use utoipa::ToSchema;

use super::autoscaler::{self, Autoscaler};
use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::Parameters;
use crate::seed::fleet::refusal;

/// Who starts and stops workers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FleetKind)]
enum Kind {
    /// This process: they are its children.
    Processes,
    /// This API, as the containers of a Compose service.
    Docker,
    /// This API, as the tasks of a Swarm service.
    Swarm,
    /// Not this API.
    None,
}

/// How many workers there are to be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fleet {
    /// Who starts and stops them.
    kind: Kind,
    /// How many there are to be; nothing where this API does not decide it.
    desired: Option<u32>,
    /// The fewest that can be asked for.
    min: u32,
    /// The most that can be asked for.
    max: u32,
    /// What scales it by itself.
    autoscaler: Autoscaler,
}

/// Shows how many workers there are to be.
#[utoipa::path(
    get, path = "/api/v1/fleet", tag = "workers", operation_id = "fleet",
    responses((status = 200, body = Fleet)),
)]
pub(crate) async fn get(
    _caller: Caller,
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<Fleet>, ApiError> {
    parameters.finish()?;
    shown(&state).await.map(Json)
}

pub(super) async fn shown(state: &ApiState) -> Result<Fleet, ApiError> {
    let kind = match state.fleet.kind() {
        FleetKind::Processes => Kind::Processes,
        FleetKind::Docker => Kind::Docker,
        FleetKind::Swarm => Kind::Swarm,
        FleetKind::None => Kind::None,
    };
    Ok(Fleet {
        kind,
        desired: state.fleet.desired().await.map_err(refusal)?,
        min: MIN_WORKERS,
        max: MAX_WORKERS,
        autoscaler: autoscaler::shown(state).await?,
    })
}
