//! `/api/v1/fleet/forecast`: what so many workers would make of the backlog.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use taskmaster_core::autoscale::{self, Demand, Forecast, Observation, RunTime, Settings};
use taskmaster_fleet::{MAX_WORKERS, MIN_WORKERS};
use taskmaster_store::{autoscaler, bounded};
use utoipa::{IntoParams, ToSchema};

use crate::autoscaler::observe;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::{Parameters, number};
use crate::{ApiState, operations};

/// The parameters of a forecast.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `forecast` takes")]
struct ForecastQuery {
    /// Up to how many workers; the autoscaler's `max`, or how many there are, unless told.
    #[param(minimum = 1, maximum = 50)]
    workers: Option<i32>,
}

/// How the time of a run is known.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RunTimeKind {
    /// The mean of those that ended lately.
    Measured,
    /// What runs now has run for so long already.
    SoFar,
    /// A guess: nothing has run yet.
    Assumed,
}

/// What 1 to n workers would make of the backlog, if tasks go on coming in and running as they did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FleetForecast {
    /// The same in words.
    summary: String,
    /// How many seconds one run takes.
    run_seconds: f64,
    /// How that is known.
    run_time: RunTimeKind,
    /// How many workers clear the backlog within the target, whatever `min` and `max` say.
    needed: u32,
    /// The target, in seconds.
    target_seconds: u32,
    /// What was seen.
    seen: Observation,
    /// What 1, 2, … workers would do.
    forecasts: Vec<Forecast>,
}

/// Says how soon 1 to n workers would clear the backlog.
#[utoipa::path(
    get, path = "/api/v1/fleet/forecast", tag = "workers", operation_id = "forecast",
    params(ForecastQuery),
    responses((status = 200, body = FleetForecast)),
)]
pub(crate) async fn forecast(
    _caller: Caller,
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<FleetForecast>, ApiError> {
    let workers = parameters.take("workers", number(MIN_WORKERS.into(), MAX_WORKERS.into()));
    parameters.finish()?;
    let settings = bounded(autoscaler::settings(&state.pool)).await?;
    let seen = observed(&state, &settings).await?;
    let most = workers.and_then(|workers| u32::try_from(workers).ok());
    let most = most.unwrap_or(settings.max.max(seen.desired));
    let forecasts = autoscale::forecast(&seen, most);
    let demand = Demand::of(&settings, &seen);
    let target_seconds = settings.target_seconds;
    Ok(Json(FleetForecast {
        summary: autoscale::summary(&seen, &forecasts, seen.desired, target_seconds),
        run_seconds: demand.run.seconds(),
        run_time: match demand.run {
            RunTime::Measured(_) => RunTimeKind::Measured,
            RunTime::SoFar(_) => RunTimeKind::SoFar,
            RunTime::Assumed(_) => RunTimeKind::Assumed,
        },
        needed: demand.workers,
        target_seconds,
        seen,
        forecasts,
    }))
}

/// What there is to see. Where this API does not decide how many workers there are to be, those that are there are meant.
async fn observed(state: &ApiState, settings: &Settings) -> Result<Observation, ApiError> {
    let desired = operations::desired(state).await?;
    let seen = observe(state, desired.unwrap_or_default(), settings).await?;
    Ok(Observation {
        desired: desired.unwrap_or(seen.online),
        ..seen
    })
}
