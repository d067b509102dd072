//! Changes of the fleet: one at a time, written down in the audit, step by step, and carried out whether or not whoever
//! asked for them still listens.
//!
//! An operation has two parts. What decides, and starts workers and tells others to go, has the fleet to itself. How those
//! go is watched after that, for as long as they take; when this process ends meanwhile, the next API takes that over.

mod adopt;
mod decide;
mod name;
mod recorder;
mod turn;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use axum::http::StatusCode;
use serde_json::{Value, json};
use taskmaster_core::WorkerName;
use taskmaster_core::autoscale::Settings;
use taskmaster_fleet::{FleetError, FleetKind, ScaleOutcome, Step};
use taskmaster_store::audit::{self, Outcome};
use taskmaster_store::workers::Worker;
use taskmaster_store::{StoreConfig, bounded};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use recorder::{Over, Recorder};

pub(crate) use adopt::adopt;
pub(crate) use decide::{desired, draining};
pub(crate) use name::is_worker_of;

/// How long the API that stops waits for operations to decide.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How many may wait for their turn.
const MOST_WAITING: usize = 32;

/// What operations share. Clones are the same.
#[derive(Clone)]
pub(crate) struct Operations {
    /// For the lock, which is on a connection of its own.
    store: StoreConfig,
    /// How long an operation waits for its turn.
    patience: Duration,
    /// One of this process at a time asks for the lock, so that those that wait need no connections.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// One for each that has not decided yet.
    places: Arc<Semaphore>,
    /// Those that this process carries out: after an outage of Postgres they look like nobody's.
    ours: Arc<Mutex<HashSet<Uuid>>>,
    tracker: TaskTracker,
}

impl Operations {
    /// Those of an API that waits for `patience` until others have had their turn.
    pub(crate) fn new(store: StoreConfig, patience: Duration) -> Self {
        Self {
            store,
            patience,
            turn: Arc::default(),
            places: Arc::new(Semaphore::new(MOST_WAITING)),
            ours: Arc::default(),
            tracker: TaskTracker::new(),
        }
    }

    fn ours(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out the operation `id`, unless this process does so already.
    fn spawn(&self, id: Uuid, carrying_out: impl Future<Output = ()> + Send + 'static) {
        if !self.ours().insert(id) {
            return;
        }
        let ours = Ours {
            operations: self.clone(),
            id,
        };
        self.tracker.spawn(async move {
            let _ours = ours;
            carrying_out.await;
        });
    }

    /// A place among those that wait.
    fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = self.places.clone().try_acquire_owned();
        place.map_err(|_| {
            let detail = format!("{MOST_WAITING} changes of the fleet wait already; nothing was changed. Try again later");
            ApiError::Refused(StatusCode::SERVICE_UNAVAILABLE, detail)
        })
    }

    /// Waits until each operation has decided and what it left to do is left to the next API, once it is known that this
    /// one stops; for 30 s at most.
    pub(crate) async fn stopped(&self) {
        self.tracker.close();
        if tokio::time::timeout(STOP_PATIENCE, self.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("leaves operations on the fleet that did not end");
        }
    }
}

/// An operation that this process carries out, until it is dropped: by a panic as well.
struct Ours {
    operations: Operations,
    id: Uuid,
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.operations.ours().remove(&self.id);
    }
}

/// What is to be changed.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// The fleet is to have so many workers.
    Scale(u32),
    /// The same, as nobody but the autoscaler wants it, by these settings: not if they have changed since.
    Autoscale(u32, Settings),
    /// The worker of this name, its own or that of its container, is to stop.
    Kill(WorkerName),
    /// The same, when it has finished what it runs.
    Drain(WorkerName),
}

impl Change {
    /// What the audit calls it.
    fn action(&self) -> &'static str {
        match self {
            Self::Scale(_) => "fleet.scale",
            Self::Autoscale(..) => "fleet.autoscale",
            Self::Kill(_) => "fleet.kill",
            Self::Drain(_) => "fleet.drain",
        }
    }

    fn request(&self) -> Value {
        match self {
            Self::Scale(count) | Self::Autoscale(count, _) => json!({ "count": count }),
            Self::Kill(name) | Self::Drain(name) => json!({ "name": name }),
        }
    }
}

/// A change, and who wants it.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Who.
    pub(crate) caller: String,
    /// What the audit calls it.
    pub(crate) action: &'static str,
    /// What.
    pub(crate) change: Change,
    /// Why, if there is something to say.
    pub(crate) reason: Option<String>,
}

impl Order {
    /// What somebody asked for by hand.
    pub(crate) fn by_hand(caller: Caller, change: Change) -> Self {
        Self {
            caller: caller.to_string(),
            action: change.action(),
            change,
            reason: None,
        }
    }

    /// What the autoscaler decided with these settings, for this reason.
    pub(crate) fn by_autoscaler(count: u32, settings: Settings, reason: String) -> Self {
        let change = Change::Autoscale(count, settings);
        Self {
            caller: "autoscaler".to_owned(),
            action: change.action(),
            change,
            reason: Some(reason),
        }
    }
}

/// What was decided, and set in motion.
#[derive(Debug)]
pub(crate) enum Decided {
    /// The fleet was scaled, as far as that worked.
    Scaled(ScaleOutcome),
    /// This worker was told to stop.
    Killed,
    /// This worker drains.
    Drained(Box<Worker>),
}

/// What is told of an operation while it is carried out: steps, then what was decided, then more steps, then its end. One
/// that is refused ends with what was decided.
#[derive(Debug)]
pub(crate) enum Told {
    /// Something was done.
    Step(Step),
    /// What was decided, or why nothing was.
    Decided(Result<Decided, ApiError>),
    /// All that it set in motion is over.
    Done {
        /// How it ended.
        outcome: Outcome,
        /// What went wrong.
        error: Option<String>,
    },
}

/// An operation under way. Dropping it stops nothing.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Its id in the audit.
    pub(crate) id: Uuid,
    told: mpsc::UnboundedReceiver<Told>,
}

impl Operation {
    /// What is told next; nothing once all was told, or when this process stops.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// Waits until it is decided.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub(crate) async fn decided(&mut self) -> Result<Decided, ApiError> {
        loop {
            match self.next().await {
                Some(Told::Decided(decided)) => return decided,
                Some(_) => {}
                None => {
                    return Err(anyhow!("an operation on the fleet ended without a word").into());
                }
            }
        }
    }
}

/// Begins an operation.
///
/// # Errors
/// When there is no fleet to change, too many wait, or Postgres is away: nothing is begun then.
pub(crate) async fn begin(state: &ApiState, order: Order) -> Result<Operation, ApiError> {
    let kind = state.fleet.kind();
    if kind == FleetKind::None && !matches!(order.change, Change::Drain(_)) {
        return Err(FleetError::NotAvailable.into());
    }
    let place = state.operations.place()?;
    let id = Uuid::now_v7();
    let new = audit::New {
        id,
        caller: &order.caller,
        action: order.action,
        fleet: kind.as_str(),
        request: &order.change.request(),
        reason: order.reason.as_deref(),
    };
    bounded(audit::begin(&state.pool, &new)).await?;
    tracing::info!(
        operation.id = %id,
        operation.action = order.action,
        request = %new.request,
        caller = order.caller,
        "changes the fleet"
    );
    let (tell, told) = mpsc::unbounded_channel();
    let carrying_out = carry_out(state.clone(), id, order.change, place, tell);
    state.operations.spawn(id, carrying_out);
    Ok(Operation { id, told })
}

async fn carry_out(
    state: ApiState,
    id: Uuid,
    change: Change,
    place: OwnedSemaphorePermit,
    tell: mpsc::UnboundedSender<Told>,
) {
    let (steps, arriving) = mpsc::unbounded_channel();
    let mut recorder = Recorder::new(state.pool.clone(), id, 0, arriving, Some(tell));
    // On its own: it does not stop while a step is written down.
    let deciding = tokio::spawn(decide::decide(state.clone(), change, steps));
    let decided = recorder
        .until(deciding)
        .await
        .unwrap_or_else(|error| Err(anyhow!(error).into()));
    drop(place);
    let (outcome, error) = verdict(&decided);
    recorder.tell(Told::Decided(decided));
    end(&state, recorder, outcome, error).await;
}

/// Watches those that go, and writes down the end; `outcome` if all goes well from here on.
async fn end(state: &ApiState, mut recorder: Recorder, outcome: Outcome, error: Option<String>) {
    let (outcome, error) = match recorder.until_over(&state.shutdown).await {
        Over::Well => (outcome, error),
        Over::Badly(failure) if outcome == Outcome::Done => (Outcome::Partial, Some(failure)),
        Over::Badly(failure) => (outcome, error.or(Some(failure))),
        Over::Stopped => return recorder.release().await,
    };
    recorder.finish(outcome, error, &state.shutdown).await;
}

/// How an operation ends if nothing goes wrong any more, and what has gone wrong.
fn verdict(decided: &Result<Decided, ApiError>) -> (Outcome, Option<String>) {
    match decided {
        Ok(Decided::Scaled(scaled)) if scaled.failed.is_empty() => (Outcome::Done, None),
        Ok(Decided::Scaled(scaled)) => {
            let outcome = if has_failed(scaled) {
                Outcome::Failed
            } else {
                Outcome::Partial
            };
            (outcome, Some(failures(scaled)))
        }
        Ok(Decided::Killed | Decided::Drained(_)) => (Outcome::Done, None),
        Err(error) => {
            let outcome = if error.is_refusal() {
                Outcome::Refused
            } else {
                Outcome::Failed
            };
            (outcome, Some(error.detail()))
        }
    }
}

/// Whether nothing of a scaling worked.
pub(crate) fn has_failed(scaled: &ScaleOutcome) -> bool {
    !scaled.failed.is_empty() && scaled.started.is_empty() && scaled.draining.is_empty()
}

/// What failed of a scaling, in words.
pub(crate) fn failures(scaled: &ScaleOutcome) -> String {
    let failures: Vec<String> = scaled
        .failed
        .iter()
        .map(|failure| {
            let kind = name_of(&failure.step);
            format!("{} ({kind}): {}", failure.name, failure.reason)
        })
        .collect();
    failures.join("; ")
}

/// As it is written in JSON.
pub(crate) fn name_of(kind: &impl serde::Serialize) -> String {
    let name = serde_json::to_value(kind).ok();
    let name = name.as_ref().and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}
