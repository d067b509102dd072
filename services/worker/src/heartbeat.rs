//! The heartbeat: says that this worker is alive, brings what it holds in line with what Postgres says it holds, and
//! hears from it whether somebody asked it to drain.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use taskmaster_broker::EventPublisher;
use taskmaster_core::{RetryPolicy, TaskLease, window};
use taskmaster_store::rescue::{self, Of};
use taskmaster_store::start::Holder;
use taskmaster_store::{PgPool, acquire, workers};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::drain::hand_back;
use crate::held::Held;
use crate::stop::StopReason;
use crate::tenure::Tenure;

pub(crate) struct Heartbeat {
    pub(crate) pool: PgPool,
    pub(crate) holder: Holder,
    pub(crate) events: EventPublisher,
    pub(crate) held: Arc<Held>,
    pub(crate) tenure: Arc<Tenure>,
    /// When it was registered, or a little before.
    pub(crate) registered: Instant,
    pub(crate) slots: u32,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) finished: Arc<AtomicU64>,
    /// Beats at once when it is notified.
    pub(crate) news: Arc<Notify>,
    /// Cancelled here when Postgres says that somebody asked for it.
    pub(crate) draining: CancellationToken,
}

/// A newer process has taken this worker's name.
#[derive(Debug, thiserror::Error)]
#[error("another worker process has started under the same name: give each worker its own --name")]
pub(crate) struct Superseded;

impl Heartbeat {
    /// Beats until `shutdown`. `assign` takes what Postgres says is assigned here and no message told of.
    pub(crate) async fn run(
        self,
        shutdown: CancellationToken,
        assign: impl Fn(Vec<(TaskLease, u32)>),
    ) -> Result<(), Superseded> {
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A slow Postgres is no reason to stop what runs: several answers have to be missed before that.
        let patience = (self.timeout / 3).max(Duration::from_secs(1));
        // By then the coordinator may be about to give the tasks away; its clock began when it last heard of us.
        let margin = (self.timeout / 10).min(Duration::from_secs(1));
        let lasts = self.timeout - margin;
        let mut last_heard = self.registered;
        self.tenure.renew(last_heard + lasts);
        let mut rate = Rate::default();
        let mut draining_told = false;
        let mut fenced = false;
        // Kept from beat to beat while it is made: given up, it would be made again from the start, and a Postgres that
        // is slow to let anybody in would get slower by that.
        let mut connecting = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = tick.tick() => {}
                () = tokio::time::sleep_until((last_heard + lasts).into()), if !fenced => {
                    fenced = true;
                    self.fence();
                }
                () = self.draining.cancelled(), if !draining_told => draining_told = true,
                () = self.news.notified() => {}
            }
            let connect = connecting.get_or_insert_with(|| {
                let pool = self.pool.clone();
                tokio::spawn(async move { acquire(&pool).await })
            });
            let patient = Instant::now() + patience;
            let limit = if fenced { patient } else { last_heard + lasts };
            let Ok(connected) = tokio::time::timeout_at(limit.into(), connect).await else {
                tracing::debug!("still no connection for a heartbeat");
                continue;
            };
            connecting = None;
            let connected = connected.map_err(anyhow::Error::from);
            let mut connection = match connected.and_then(|connected| Ok(connected?)) {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::debug!(%error, "no connection for a heartbeat");
                    continue;
                }
            };
            let sent = Instant::now();
            let window = window(
                self.slots,
                rate.measure(self.finished.load(Ordering::Relaxed), sent),
            );
            let window = i32::try_from(window).unwrap_or(i32::MAX);
            let draining = self.draining.is_cancelled();
            let patient = sent + patience;
            let limit = if fenced {
                patient
            } else {
                patient.min(last_heard + lasts)
            };
            let beat = workers::heartbeat(&mut connection, self.holder, window, draining);
            let answer = tokio::time::timeout_at(limit.into(), beat).await;
            drop(connection);
            match answer {
                Ok(Ok(Some(known))) => {
                    if fenced {
                        tracing::info!("Postgres answers again");
                    }
                    (last_heard, fenced) = (sent, false);
                    self.tenure.renew(sent + lasts);
                    if known.drain_requested && !self.draining.is_cancelled() {
                        tracing::info!("asked to drain");
                        self.draining.cancel();
                    }
                    // Bounded: whoever waits here for Postgres cannot fence.
                    let reconciling = self.reconcile(&known.held, sent, &assign);
                    if tokio::time::timeout(patience, reconciling).await.is_err() {
                        tracing::debug!("not brought in line, will be at the next heartbeat");
                    }
                }
                Ok(Ok(None)) => {
                    self.held.stop_all(StopReason::LeaseLost);
                    self.held.take_pending();
                    return Err(Superseded);
                }
                Ok(Err(error)) => tracing::debug!(%error, "heartbeat failed"),
                Err(_) => tracing::debug!("heartbeat took too long"),
            }
        }
    }

    /// Nobody has heard of this worker for so long that what it runs must be assumed to be given to others.
    fn fence(&self) {
        let stopped = self.held.stop_all(StopReason::LeaseLost);
        let dropped = self.held.take_pending().len();
        tracing::error!(
            tasks.stopped = stopped,
            tasks.dropped = dropped,
            "Postgres was out of reach for longer than the heartbeat time-out: stopped what ran"
        );
    }

    async fn reconcile(
        &self,
        known: &[workers::Held],
        sent: Instant,
        assign: &impl Fn(Vec<(TaskLease, u32)>),
    ) {
        let running: HashSet<TaskLease> = known
            .iter()
            .filter(|known| known.running)
            .map(|known| known.task)
            .collect();
        // What began to run before the question was sent and is not in the answer belongs to someone else by now.
        for task in self.held.running_since(sent) {
            if !running.contains(&task) {
                self.held.stop(task, StopReason::LeaseLost);
            }
        }
        for known in known
            .iter()
            .filter(|known| known.running && known.cancel_requested)
        {
            self.held.stop(known.task, StopReason::Cancelled);
        }
        self.held.forget_given_up(&running, sent);
        let unheard = |known: &&workers::Held| !self.held.contains(known.task);
        let forgotten: Vec<TaskLease> = known
            .iter()
            .filter(|known| known.running)
            .filter(unheard)
            .map(|known| known.task)
            .collect();
        if !forgotten.is_empty() {
            // Before it is written: a message that comes late must not start them meanwhile.
            for task in &forgotten {
                self.held.give_up(*task);
            }
            let of = Of::Forgotten(self.holder.worker_id, &forgotten);
            match rescue::rescue(&self.pool, of, RetryPolicy::default()).await {
                // They ended by themselves while the answer was on its way.
                Ok(moved) if moved.is_empty() => {}
                Ok(moved) => tracing::warn!(
                    tasks.count = moved.len(),
                    "reported as lost what no longer runs here"
                ),
                Err(error) => {
                    tracing::debug!(%error, "not reported as lost, will be at the next heartbeat")
                }
            }
        }
        let assigned: Vec<_> = known
            .iter()
            .filter(|known| !known.running)
            .filter(unheard)
            .map(|known| (known.task, known.wait_ms))
            .collect();
        // Asked now: it may have begun while the answer was on its way.
        if self.draining.is_cancelled() {
            let tasks = assigned.into_iter().map(|(task, _)| task).collect();
            if let Err(error) = hand_back(&self.pool, &self.events, tasks).await {
                tracing::debug!(%error, "not released, will be by the coordinator");
            }
        } else if !assigned.is_empty() {
            assign(assigned);
        }
    }
}

/// How many tasks finish in a second, by the last few heartbeats: up at once, down by halves.
#[derive(Default)]
struct Rate {
    last: Option<(u64, Instant)>,
    per_second: f64,
}

impl Rate {
    fn measure(&mut self, finished: u64, now: Instant) -> f64 {
        if let Some((before, at)) = self.last {
            let seconds = now.duration_since(at).as_secs_f64();
            if seconds > 0.0 {
                // Far fewer than 2^52 tasks finish between two heartbeats.
                let measured = (finished - before) as f64 / seconds;
                self.per_second = measured.max(self.per_second / 2.0);
            }
        }
        self.last = Some((finished, now));
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_at_once_and_falls_by_halves() {
        let start = Instant::now();
        let mut rate = Rate::default();
        let mut at = |second: u64, finished: u64| {
            rate.measure(finished, start + Duration::from_secs(second))
        };
        assert_eq!(at(0, 7), 0.0);
        assert_eq!(at(1, 107), 100.0);
        assert_eq!(at(2, 107), 50.0);
        assert_eq!(at(3, 187), 80.0);
    }
}
