//! Who leads, and what only the leader runs.

use std::sync::Arc;
use std::time::Duration;

use taskmaster_broker::{AssignmentPublisher, wakeups};
use taskmaster_core::RetryPolicy;
use taskmaster_runtime::{Backoff, run_periodically};
use taskmaster_store::leadership::{Candidate, Leadership, Office};
use taskmaster_store::{StoreConfig, bounded};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Shared;
use crate::cleaner::Cleaner;
use crate::dispatcher::Dispatcher;
use crate::rescuer::Rescuer;

/// How often a coordinator that does not lead tries to, and one that leads makes sure that it still does.
const PULSE: Duration = Duration::from_millis(250);
/// How long the leader's connection may take to answer before it counts as lost.
const PULSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What gives the dispatcher something to do: a task that became due, a slot that became free, a worker that came.
const WAKE_ON: [&str; 5] = [
    "task.*.scheduled",
    "task.*.completed",
    "task.*.failed",
    "task.*.cancelled",
    "worker.#",
];

pub(crate) async fn run(shared: Shared, shutdown: CancellationToken) {
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        let elected = tokio::select! {
            () = shutdown.cancelled() => return,
            elected = elect(&shared.config.store, &mut backoff) => elected,
        };
        match elected {
            Ok(leadership) => {
                tracing::info!("leads");
                lead(&shared, leadership, &shutdown).await;
                tracing::info!("no longer leads");
            }
            Err(error) => {
                if backoff.is_fresh() {
                    tracing::warn!(%error, "cannot ask to lead, will ask again");
                }
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = backoff.wait() => {}
                }
            }
        }
    }
}

/// Waits until this coordinator leads.
async fn elect(store: &StoreConfig, backoff: &mut Backoff) -> taskmaster_store::Result<Leadership> {
    let mut candidate = bounded(Candidate::connect(store, Office::Coordinator)).await?;
    backoff.reset();
    loop {
        candidate = match bounded(candidate.try_lead()).await? {
            Ok(leadership) => return Ok(leadership),
            Err(candidate) => candidate,
        };
        tokio::time::sleep(PULSE).await;
    }
}

/// Runs the leader's services until the lead is lost or it is time to stop.
async fn lead(shared: &Shared, mut leadership: Leadership, shutdown: &CancellationToken) {
    let term = shutdown.child_token();
    let services = spawn_services(shared, &term);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(PULSE) => {}
        }
        match tokio::time::timeout(PULSE_TIMEOUT, leadership.check()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "lost the connection that holds the lead");
                break;
            }
            Err(_) => {
                tracing::warn!("the connection that holds the lead does not answer");
                break;
            }
        }
    }
    term.cancel();
    services.join_all().await;
    if shutdown.is_cancelled()
        && let Err(error) = leadership.resign().await
    {
        tracing::debug!(%error, "the lead was gone already");
    }
}

fn spawn_services(shared: &Shared, term: &CancellationToken) -> JoinSet<()> {
    let mut services = JoinSet::new();
    let broker = &shared.config.broker;

    let wake = wakeups(broker.clone(), &WAKE_ON, term.clone());
    let publisher = AssignmentPublisher::new(broker);
    let dispatcher = Dispatcher::new(shared.pool.clone(), publisher, shared.events.clone());
    services.spawn(run_periodically(dispatcher, wake.clone(), term.clone()));

    let rescuer = Rescuer::new(
        shared.pool.clone(),
        shared.events.clone(),
        RetryPolicy::default(),
        Duration::from_secs(shared.config.overdue_grace.into()),
        wake,
    );
    services.spawn(run_periodically(rescuer, Arc::default(), term.clone()));

    let cleaner = Cleaner::new(shared.pool.clone(), shared.config.retention_days);
    services.spawn(run_periodically(cleaner, Arc::default(), term.clone()));
    services
}
