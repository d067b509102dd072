//! Writes down what an operation does while it does it, and passes it on to whoever listens.

use std::pin::pin;
use std::time::Duration;

use taskmaster_fleet::{Step, StepKind};
use taskmaster_store::audit::{self, NewStep, Outcome};
use taskmaster_store::{PgPool, bounded};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Told, name_of};

/// How often the audit hears that the operation is still carried out; well within `audit::SILENCE_SECONDS`.
const BEAT: Duration = Duration::from_secs(5);
/// The most steps that are written down at once.
const AT_ONCE: usize = 100;

/// How what an operation has set in motion is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// As it should be.
    Well,
    /// Something failed on the way: what, and why.
    Badly(String),
    /// It is not, but this process stops.
    Stopped,
}

/// Of one operation.
pub(super) struct Recorder {
    pool: PgPool,
    id: Uuid,
    arriving: mpsc::UnboundedReceiver<Step>,
    tell: Option<mpsc::UnboundedSender<Told>>,
    /// How many steps are written down.
    written: i32,
    unwritten: Vec<NewStep>,
    /// All is decided, and that is not written down yet.
    decided: bool,
    /// What failed last, and why.
    failure: Option<String>,
    /// Nobody does anything any more.
    over: bool,
    beat: Interval,
}

impl Recorder {
    /// Of the operation `id`, of which `written` steps are written down. Those that follow are `arriving`; they end when
    /// nobody can send any more.
    pub(super) fn new(
        pool: PgPool,
        id: Uuid,
        written: i32,
        arriving: mpsc::UnboundedReceiver<Step>,
        tell: Option<mpsc::UnboundedSender<Told>>,
    ) -> Self {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once.
        beat.reset();
        Self {
            pool,
            id,
            arriving,
            tell,
            written,
            unwritten: Vec::new(),
            decided: false,
            failure: None,
            over: false,
            beat,
        }
    }

    /// Tells whoever listens. That nobody does is no reason to stop.
    pub(super) fn tell(&self, told: Told) {
        let Some(tell) = &self.tell else { return };
        // Whoever asked would have logged it.
        if let Err(SendError(Told::Decided(Err(error)))) = tell.send(told) {
            tracing::warn!(operation.id = %self.id, %error, "the fleet was not changed");
        }
    }

    /// Records until `deciding` has ended, with all that it has done, and that it has ended.
    pub(super) async fn until<T>(&mut self, deciding: JoinHandle<T>) -> Result<T, JoinError> {
        let mut deciding = pin!(deciding);
        loop {
            let mut steps = Vec::new();
            let decided = tokio::select! {
                biased;
                decided = &mut deciding => Some(decided),
                count = self.arriving.recv_many(&mut steps, AT_ONCE), if !self.over => {
                    self.over = count == 0;
                    None
                }
                _ = self.beat.tick() => None,
            };
            self.take(steps);
            if let Some(decided) = decided {
                let mut last = Vec::new();
                while let Ok(step) = self.arriving.try_recv() {
                    last.push(step);
                }
                self.take(last);
                self.decided = decided.is_ok();
                self.write().await;
                return decided;
            }
            self.write().await;
        }
    }

    /// Records until nothing is done any more, or this process stops.
    pub(super) async fn until_over(&mut self, shutdown: &CancellationToken) -> Over {
        while !self.over {
            let mut steps = Vec::new();
            tokio::select! {
                biased;
                count = self.arriving.recv_many(&mut steps, AT_ONCE) => self.over = count == 0,
                () = shutdown.cancelled() => return Over::Stopped,
                _ = self.beat.tick() => {}
            }
            self.take(steps);
            self.write().await;
        }
        self.failure.take().map_or(Over::Well, Over::Badly)
    }

    fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            if matches!(step.kind, StepKind::Failed) {
                let reason = step.reason.as_deref().unwrap_or("failed");
                self.failure = Some(format!("{}: {reason}", step.name));
            }
            self.unwritten.push(NewStep {
                name: step.name.clone(),
                kind: name_of(&step.kind),
                reason: step.reason.clone(),
            });
            self.tell(Told::Step(step));
        }
    }

    /// Whether all that was done is written down. What could not be is tried again with the next step or beat.
    async fn write(&mut self) -> bool {
        let appending = audit::append(&self.pool, self.id, self.written, &self.unwritten);
        if let Err(error) = bounded(appending).await {
            tracing::debug!(operation.id = %self.id, %error, "steps are written down later");
            return false;
        }
        self.written += i32::try_from(self.unwritten.len()).unwrap_or(i32::MAX);
        self.unwritten.clear();
        // Never before the last step of it is.
        if self.decided {
            if let Err(error) = bounded(audit::decided(&self.pool, self.id)).await {
                tracing::debug!(operation.id = %self.id, %error, "that it is decided is written down later");
                return false;
            }
            self.decided = false;
        }
        true
    }

    /// Writes the end down, and tells it. While Postgres is away it is tried again; if this process stops meanwhile, the
    /// next one finds the operation unfinished.
    pub(super) async fn finish(
        mut self,
        outcome: Outcome,
        error: Option<String>,
        shutdown: &CancellationToken,
    ) {
        loop {
            let written = self.unwritten.is_empty() && !self.decided;
            if written || self.write().await {
                let finishing = audit::finish(&self.pool, self.id, outcome, error.as_deref());
                if bounded(finishing).await.is_ok() {
                    break;
                }
            }
            let beat = shutdown.run_until_cancelled(self.beat.tick());
            if beat.await.is_none() {
                tracing::warn!(operation.id = %self.id, "the end of an operation is not written down");
                return;
            }
        }
        tracing::info!(operation.id = %self.id, outcome = outcome.as_str(), "the operation is over");
        self.tell(Told::Done { outcome, error });
    }

    /// Leaves the rest to the next API.
    pub(super) async fn release(mut self) {
        self.write().await;
        if let Err(error) = bounded(audit::release(&self.pool, self.id)).await {
            tracing::debug!(operation.id = %self.id, %error, "the operation is taken over later");
        }
    }
}
