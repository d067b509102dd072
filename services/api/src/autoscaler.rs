//! The autoscaler: looks at the work every few seconds and scales the fleet by what `core` makes of it. One API does that,
//! the one that leads; what it sees and decides is in Postgres.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use taskmaster_core::autoscale::{Autoscaler, Decision, Observation, Settings};
use taskmaster_fleet::{FleetKind, ScaleOutcome};
use taskmaster_runtime::{Backoff, Next, Periodic, run_periodically};
use taskmaster_store::autoscaler::{self, Outcome};
use taskmaster_store::leadership::{Candidate, Leadership, Office};
use taskmaster_store::{StoreConfig, bounded};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::ApiError;
use crate::operations::{Decided, Order};
use crate::{ApiState, operations};

#[cfg(test)]
mod tests;

/// How often an API that does not lead tries to, and one that leads makes sure that it still does.
const PULSE: Duration = Duration::from_millis(500);
/// How long the leader's connection may take to answer before it counts as lost.
const PULSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to leave alone a fleet that could not be scaled.
const FAILED_PAUSE: Duration = Duration::from_secs(30);

/// Decides whenever this API leads, until `shutdown`, if it controls a fleet. Postgres may come and go.
pub(crate) async fn run(
    state: ApiState,
    store: StoreConfig,
    interval: Duration,
    shutdown: CancellationToken,
) {
    if state.fleet.kind() == FleetKind::None {
        return;
    }
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        let elected = tokio::select! {
            () = shutdown.cancelled() => return,
            elected = elect(&store, &mut backoff) => elected,
        };
        match elected {
            Ok(leadership) => {
                tracing::debug!("decides the size of the fleet");
                lead(&state, leadership, interval, &shutdown).await;
            }
            Err(error) => {
                if backoff.is_fresh() {
                    tracing::warn!(%error, "cannot ask to decide the size of the fleet, will ask again");
                }
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = backoff.wait() => {}
                }
            }
        }
    }
}

/// Waits until this API leads.
async fn elect(store: &StoreConfig, backoff: &mut Backoff) -> taskmaster_store::Result<Leadership> {
    let mut candidate = bounded(Candidate::connect(store, Office::Autoscaler)).await?;
    backoff.reset();
    loop {
        candidate = match bounded(candidate.try_lead()).await? {
            Ok(leadership) => return Ok(leadership),
            Err(candidate) => candidate,
        };
        tokio::time::sleep(PULSE).await;
    }
}

/// Decides until the lead is lost or it is time to stop.
async fn lead(
    state: &ApiState,
    mut leadership: Leadership,
    interval: Duration,
    shutdown: &CancellationToken,
) {
    let term = shutdown.child_token();
    let leader = Leader::new(state, interval);
    let under_way = leader.under_way.clone();
    let deciding = tokio::spawn(run_periodically(leader, Arc::default(), term.clone()));
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
    if let Err(error) = deciding.await {
        tracing::error!(%error, "the autoscaler panicked");
    }
    // The next one to lead is to know of it.
    under_way.close();
    under_way.wait().await;
    if shutdown.is_cancelled()
        && let Err(error) = leadership.resign().await
    {
        tracing::debug!(%error, "the lead was gone already");
    }
}

/// The API that decides.
struct Leader {
    state: ApiState,
    interval: Duration,
    autoscaler: Autoscaler,
    /// What is carried out.
    under_way: TaskTracker,
}

impl Leader {
    fn new(state: &ApiState, interval: Duration) -> Self {
        Self {
            state: state.clone(),
            interval,
            autoscaler: Autoscaler::default(),
            under_way: TaskTracker::new(),
        }
    }
}

impl Periodic for Leader {
    const NAME: &'static str = "autoscaler";

    async fn run_once(&mut self) -> anyhow::Result<Next> {
        let pool = &self.state.pool;
        let settings = bounded(autoscaler::settings(pool)).await?;
        if !settings.enabled {
            self.autoscaler = Autoscaler::default();
            return Ok(Next::After(self.interval));
        }
        let Some(desired) = operations::desired(&self.state).await? else {
            return Ok(Next::After(self.interval));
        };
        let seen = observe(&self.state, desired, &settings).await?;
        let decision = self.autoscaler.decide(&settings, &seen);
        // On its own: a change that has begun is recorded, even if this API loses the lead or stops meanwhile.
        let carrying_out = carry_out(self.state.clone(), settings, decision.clone(), seen);
        let outcome = self.under_way.spawn(carrying_out).await??;
        if outcome == Outcome::Applied {
            self.autoscaler.carried_out(&decision);
        }
        // Each try is written down in the audit.
        let pause = match outcome {
            Outcome::Failed(_) => self.interval.max(FAILED_PAUSE),
            Outcome::Kept | Outcome::Applied => self.interval,
        };
        Ok(Next::After(pause))
    }
}

/// Looks at the work and at the workers, of whom there are to be `desired`.
pub(crate) async fn observe(
    state: &ApiState,
    desired: u32,
    settings: &Settings,
) -> taskmaster_store::Result<Observation> {
    let looking = autoscaler::observe(&state.pool, desired, settings.target_seconds);
    Ok(Observation {
        // Swarm chooses who goes.
        idle_first: state.fleet.kind() != FleetKind::Swarm,
        ..bounded(looking).await?
    })
}

/// Does what was decided, and records it.
async fn carry_out(
    state: ApiState,
    settings: Settings,
    decision: Decision,
    seen: Observation,
) -> anyhow::Result<Outcome> {
    let outcome = attempt(&state, &settings, &decision).await;
    if record(&state, &decision, &seen, settings.dry_run, &outcome).await? {
        let (from, to, reason) = (decision.from, decision.to, decision.reason);
        tracing::info!(workers.from = from, workers.to = to, %reason, ?outcome, "decided");
    }
    Ok(outcome)
}

async fn attempt(state: &ApiState, settings: &Settings, decision: &Decision) -> Outcome {
    if !decision.is_change() || settings.dry_run {
        return Outcome::Kept;
    }
    match scale(state, settings, decision).await {
        Ok(scaled) if operations::has_failed(&scaled) => {
            Outcome::Failed(operations::failures(&scaled))
        }
        // What was not done of it is done at one of the next looks.
        Ok(_) => Outcome::Applied,
        Err(error) => {
            // Whoever reads the decision is not told of our faults.
            tracing::warn!(%error, "the fleet was not scaled");
            Outcome::Failed(error.detail())
        }
    }
}

/// Records a decision, returns whether it did. The cool-downs begin at the changes that are recorded: these are tried until
/// Postgres is there again, or this API stops.
async fn record(
    state: &ApiState,
    decision: &Decision,
    seen: &Observation,
    dry_run: bool,
    outcome: &Outcome,
) -> taskmaster_store::Result<bool> {
    let mut backoff = Backoff::default();
    loop {
        let recording = autoscaler::record(&state.pool, decision, seen, dry_run, outcome);
        match bounded(recording).await {
            Err(error) if *outcome == Outcome::Applied && !state.shutdown.is_cancelled() => {
                if backoff.is_fresh() {
                    tracing::warn!(%error, "cannot record how the fleet was scaled, will try again");
                }
                state.shutdown.run_until_cancelled(backoff.wait()).await;
            }
            recorded => return recorded,
        }
    }
}

/// Scales through the same door as people do.
async fn scale(
    state: &ApiState,
    settings: &Settings,
    decision: &Decision,
) -> Result<ScaleOutcome, ApiError> {
    let order = Order::by_autoscaler(decision.to, *settings, decision.reason.to_string());
    let mut operation = operations::begin(state, order).await?;
    match operation.decided().await? {
        Decided::Scaled(scaled) => Ok(scaled),
        Decided::Killed | Decided::Drained(_) => {
            Err(anyhow!("a scaling was decided as something else").into())
        }
    }
}

/// Somebody scales, kills or drains: the autoscaler leaves the fleet as it is until that is released.
///
/// # Errors
/// When Postgres is away: the autoscaler does not know then.
pub(crate) async fn pin(state: &ApiState) -> taskmaster_store::Result<()> {
    if bounded(autoscaler::pin(&state.pool)).await? {
        tracing::info!("the fleet is changed by hand: the autoscaler is pinned");
    }
    Ok(())
}
