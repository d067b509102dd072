//! The part of an operation that has the fleet to itself.

use std::collections::{HashMap, HashSet};

use taskmaster_broker::{WorkerEvent, WorkerMessage};
use taskmaster_core::WorkerName;
use taskmaster_core::autoscale::Settings;
use taskmaster_fleet::{FleetError, FleetKind, Step, StepKind, Steps, Workload};
use taskmaster_store::bounded;
use taskmaster_store::workers::{self, Drain, Worker};

use super::name::look_up;
use super::turn::Turn;
use super::{Change, Decided};
use crate::error::ApiError;
use crate::{ApiState, autoscaler};

/// Waits for its turn, and does it.
///
/// # Errors
/// Why nothing was changed.
pub(super) async fn decide(
    state: ApiState,
    change: Change,
    steps: Steps,
) -> Result<Decided, ApiError> {
    let turn = Turn::take(&state).await?;
    let decided = match change {
        Change::Scale(count) => scale(&state, count, steps).await,
        Change::Autoscale(count, decided_with) => {
            autoscale(&state, count, &decided_with, steps).await
        }
        Change::Kill(name) => kill(&state, &name, steps).await,
        Change::Drain(name) => drain(&state, &name, steps).await,
    };
    turn.give_up().await;
    decided
}

/// Pins it before anything is done: an autoscaler that was not told would undo what a person has asked for.
async fn scale(state: &ApiState, count: u32, steps: Steps) -> Result<Decided, ApiError> {
    autoscaler::pin(state).await?;
    scale_to(state, count, steps).await
}

/// Only if nobody has changed the fleet by hand since the autoscaler looked, nor what it may do.
async fn autoscale(
    state: &ApiState,
    count: u32,
    decided_with: &Settings,
    steps: Steps,
) -> Result<Decided, ApiError> {
    let settings = bounded(taskmaster_store::autoscaler::settings(&state.pool)).await?;
    if settings != *decided_with {
        let detail = "the autoscaler was pinned or set otherwise meanwhile";
        return Err(ApiError::Conflict(detail.to_owned()));
    }
    scale_to(state, count, steps).await
}

async fn scale_to(state: &ApiState, count: u32, steps: Steps) -> Result<Decided, ApiError> {
    let workers = bounded(workers::list(&state.pool)).await?;
    let workload = Workload {
        draining: draining(&workers),
        loads: loads(workers),
    };
    let scaled = state.fleet.scale(count, &workload, steps).await?;
    Ok(Decided::Scaled(scaled))
}

/// How many tasks each worker runs and holds, so that those with least to do go first: by its name, and by its host,
/// which a container is.
fn loads(workers: Vec<Worker>) -> HashMap<String, u32> {
    let loads = workers.into_iter().flat_map(|worker| {
        let load = u32::try_from(worker.running + worker.assigned).unwrap_or(u32::MAX);
        [(worker.host, load), (worker.name, load)]
    });
    loads.collect()
}

/// The hosts of the workers that drain: perhaps by the order of an API that has ended since, or of another one.
pub(crate) fn draining(workers: &[Worker]) -> HashSet<String> {
    let drain = workers.iter().filter(|worker| worker.status == "draining");
    drain.map(|worker| worker.host.clone()).collect()
}

/// How many workers there are to be; nothing where this API does not decide it. Those that drain do not count, whoever has
/// told them to.
///
/// # Errors
/// When Postgres is away, or what [`Fleet::desired_without`](taskmaster_fleet::Fleet::desired_without) says.
pub(crate) async fn desired(state: &ApiState) -> Result<Option<u32>, ApiError> {
    let workers = bounded(workers::list(&state.pool)).await?;
    Ok(state.fleet.desired_without(&draining(&workers)).await?)
}

async fn kill(state: &ApiState, name: &WorkerName, steps: Steps) -> Result<Decided, ApiError> {
    let unknown = || FleetError::UnknownWorker(name.to_string());
    let named = look_up(state, name.as_str()).await?;
    let member = named.member.ok_or_else(unknown)?;
    match state.fleet.kill(&member, steps).await {
        Err(FleetError::UnknownWorker(_)) => Err(unknown().into()),
        Err(error) => Err(error.into()),
        Ok(()) => {
            pin_after(state).await;
            Ok(Decided::Killed)
        }
    }
}

async fn drain(state: &ApiState, name: &WorkerName, steps: Steps) -> Result<Decided, ApiError> {
    let named = look_up(state, name.as_str()).await?;
    let before = draining(&bounded(workers::list(&state.pool)).await?);
    let worker = match bounded(workers::request_drain(&state.pool, &named.worker)).await? {
        Drain::Requested(worker) => worker,
        Drain::Offline => {
            let detail = format!("worker {name} is offline: there is nothing to drain");
            return Err(ApiError::Conflict(detail));
        }
        Drain::NotFound => {
            let detail = format!("there is no worker named {name}");
            return Err(ApiError::NotFound(detail));
        }
    };
    // Swarm cannot be told: it starts another one in its place.
    if let Some(member) = named.member
        && state.fleet.kind() != FleetKind::Swarm
    {
        // Its end must not be taken for a crash. It may have gone just now, of its own accord.
        match state.fleet.drain(&member, &before, steps.clone()).await {
            Ok(()) => pin_after(state).await,
            Err(FleetError::UnknownWorker(_)) => {}
            Err(error) => {
                tracing::warn!(worker.name = member, %error, "the fleet was not told of a drain");
                let reason = format!("the fleet was not told that it drains: {error}");
                let step = Step {
                    name: member,
                    kind: StepKind::Failed,
                    reason: Some(reason),
                };
                // Nobody has to listen.
                steps.send(step).ok();
            }
        }
    }
    tell(state, &worker);
    Ok(Decided::Drained(Box::new(worker)))
}

/// What was done is done, whether or not the autoscaler hears of it.
async fn pin_after(state: &ApiState) {
    if let Err(error) = autoscaler::pin(state).await {
        tracing::warn!(%error, "the fleet was changed by hand, and the autoscaler was not told");
    }
}

/// Nobody waits for it: a worker that is not reached now learns of the request with its next heartbeat.
fn tell(state: &ApiState, worker: &Worker) {
    state.events.worker(WorkerEvent {
        name: worker.name.clone(),
        status: worker.status.clone(),
    });
    let (control, name) = (state.control.clone(), worker.name.clone());
    tokio::spawn(async move {
        if let Err(error) = control.send(&name, &WorkerMessage::Drain).await {
            tracing::debug!(worker.name = name, %error, "the worker was not told to drain");
        }
    });
}
