//! Stopping: take nothing new, hand back what has not started, let what runs finish, stop what does not in time.

use std::sync::Arc;
use std::time::Duration;

use taskmaster_broker::{EventPublisher, TaskEvent};
use taskmaster_core::{TaskLease, TaskStatus};
use taskmaster_runtime::Shutdown;
use taskmaster_store::{PgPool, claim};
use tokio::time::timeout;

use crate::held::Held;
use crate::stop::StopReason;

/// How long Postgres may take to be told.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long after it was asked to stop at once a worker waits for Postgres to be told.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Waits until it is time to stop, then empties `held`. Returns when nothing runs here any more and everything that
/// ran is reported, or when it is asked to stop at once and Postgres does not answer.
pub(crate) async fn drain(
    shutdown: &Shutdown,
    held: &Arc<Held>,
    pool: &PgPool,
    events: &EventPublisher,
    grace: Duration,
) {
    shutdown.drain.cancelled().await;
    let pending = held.take_pending();
    if !pending.is_empty() {
        tracing::info!(
            tasks.count = pending.len(),
            "hands back what has not started"
        );
        match timeout(RELEASE_TIMEOUT, hand_back(pool, events, pending)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "not handed back, the coordinator will find it")
            }
            Err(_) => tracing::warn!("not handed back in time, the coordinator will find it"),
        }
    }
    tokio::select! {
        () = held.until_empty() => return,
        () = tokio::time::sleep(grace) => tracing::warn!("the grace period is over"),
        () = shutdown.now.cancelled() => {}
    }
    // What is being started just now is stopped as soon as it runs.
    let give_up = async {
        shutdown.now.cancelled().await;
        tokio::time::sleep(GIVE_UP).await;
    };
    tokio::select! {
        () = stop_everything(held, StopReason::HandBack) => {}
        () = give_up => tracing::error!("what became of some tasks could not be written down; the coordinator will find them"),
    }
}

/// Hands back what has not started, and says so: others may have room for it this very moment.
///
/// # Errors
/// When Postgres is away.
pub(crate) async fn hand_back(
    pool: &PgPool,
    events: &EventPublisher,
    tasks: Vec<TaskLease>,
) -> taskmaster_store::Result<()> {
    let released = claim::release(pool, tasks).await?;
    events.tasks(released.into_iter().map(|id| TaskEvent {
        id,
        status: TaskStatus::Scheduled,
        assigned_worker_name: None,
    }));
    Ok(())
}

/// Tells every run to stop, also those that are only about to begin, until nothing is held.
pub(crate) async fn stop_everything(held: &Held, reason: StopReason) {
    loop {
        let stopped = held.stop_all(reason);
        if stopped > 0 {
            tracing::info!(tasks.count = stopped, "stops what still runs");
        }
        held.take_pending();
        tokio::select! {
            () = held.until_empty() => return,
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
}
