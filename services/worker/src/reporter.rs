//! The reporter: the one writer of what runs print and of how they end. Ends are committed in batches, each with the
//! last of its output before it; while nothing ends, what was printed since is stored every so often.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskmaster_broker::{EventPublisher, TaskEvent};
use taskmaster_core::{RetryPolicy, TaskLease, TaskStatus, protocol, verdict};
use taskmaster_runtime::{Backoff, Pace};
use taskmaster_store::finish::{self, Ended, Finish};
use taskmaster_store::output::{self, Stream};
use taskmaster_store::start::{Holder, Started};
use taskmaster_store::{Kept, PgPool, bounded};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use crate::capture::{Taken, lost_remark};
use crate::execute::{Ending, SharedCapture};
use crate::held::Held;

/// How often output is stored while a command runs.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);
/// The most output that is written at once, in bytes.
const STORE_BYTES: usize = 8 << 20;
/// How often output is tried to be stored that Postgres has no room for: ends of runs wait behind it.
const FULL_ATTEMPTS: u32 = 3;
/// The most ends that are committed together.
const BATCH: usize = 500;

/// What became of a run.
pub(crate) enum Report {
    /// It ended.
    Ended(Started, Ending),
    /// It was stopped to be handed back.
    HandBack(Started),
    /// It is not this worker's any more.
    Stale(TaskLease),
}

/// The captures of the runs that are under way.
#[derive(Default)]
pub(crate) struct Captures(Mutex<HashMap<TaskLease, SharedCapture>>);

impl Captures {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TaskLease, SharedCapture>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, task: TaskLease, capture: SharedCapture) {
        self.lock().insert(task, capture);
    }
}

pub(crate) struct Reporter {
    pub(crate) pool: PgPool,
    /// For what is written all the time.
    pub(crate) connection: Kept,
    pub(crate) holder: Holder,
    pub(crate) worker_name: String,
    pub(crate) held: Arc<Held>,
    /// How many can run at a time.
    pub(crate) slot_count: usize,
    pub(crate) captures: Arc<Captures>,
    pub(crate) events: EventPublisher,
    /// How many runs were reported, for the rate that the window follows.
    pub(crate) finished: Arc<AtomicU64>,
}

impl Reporter {
    /// Reports until every sender of `reports` is gone and everything is written.
    pub(crate) async fn run(self, mut reports: mpsc::UnboundedReceiver<Report>) {
        let mut flush = tokio::time::interval(FLUSH_INTERVAL);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pace = Pace::new(self.slot_count);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // Fair, so that a stream of short tasks does not keep the output of a long one from being seen.
            tokio::select! {
                received = reports.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    pace.rest(more(&mut reports, &mut batch, pace.enough())).await;
                    let (count, began) = (batch.len(), Instant::now());
                    self.report(std::mem::take(&mut batch)).await;
                    pace.done(count, began);
                }
                _ = flush.tick() => self.flush().await,
            }
        }
    }

    /// Stores what was printed since the last time.
    async fn flush(&self) {
        let captures: Vec<SharedCapture> = self.captures.lock().values().cloned().collect();
        let mut all = Taken::default();
        let mut bytes = 0;
        for capture in captures {
            let taken = capture
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            bytes += taken
                .pieces
                .iter()
                .map(|piece| piece.data.len())
                .sum::<usize>();
            all.pieces.extend(taken.pieces);
            all.dropped.extend(taken.dropped);
            // Else, with many runs that print a lot, all that the captures hold would be held twice.
            if bytes >= STORE_BYTES {
                self.store_of_running(&std::mem::take(&mut all)).await;
                bytes = 0;
            }
        }
        self.store_of_running(&all).await;
    }

    async fn store_of_running(&self, output: &Taken) {
        for (task, bytes) in self.store(output).await {
            if let Some(capture) = self.captures.lock().get(&task) {
                capture
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .lost(bytes);
            }
        }
    }

    async fn report(&self, reports: Vec<Report>) {
        let mut output = Taken::default();
        let mut ended: Vec<(Started, Ending)> = Vec::new();
        let mut handed_back = Vec::new();
        let mut captures = HashMap::new();
        for report in reports {
            let task = match &report {
                Report::Ended(started, _) | Report::HandBack(started) => started.task,
                Report::Stale(task) => *task,
            };
            let capture = self.captures.lock().remove(&task);
            match report {
                Report::Stale(task) => {
                    tracing::warn!(task.id = %task.id, task.lease = task.lease, "lost its lease: stopped, result dropped");
                    self.held.give_up(task);
                    continue;
                }
                Report::HandBack(started) => handed_back.push(started),
                Report::Ended(started, ending) => ended.push((started, ending)),
            }
            if let Some(capture) = capture {
                let taken = capture
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .finish();
                output.pieces.extend(taken.pieces);
                output.dropped.extend(taken.dropped);
                captures.insert(task, capture);
            }
        }
        let mut lost = self.store(&output).await;
        for (started, ending) in &mut ended {
            // The remark among the output was lost with it.
            if let Some(bytes) = lost.remove(&started.task)
                && let Some(capture) = captures.get(&started.task)
            {
                let mut capture = capture.lock().unwrap_or_else(PoisonError::into_inner);
                let bytes = capture.lost(bytes);
                if bytes > 0 {
                    ending.remark(&lost_remark(bytes));
                }
            }
        }
        if !handed_back.is_empty() {
            self.hand_back(handed_back).await;
        }
        if !ended.is_empty() {
            self.finish(ended).await;
        }
    }

    /// Stores output; returns how many bytes of which runs could not be: zero, if it was only a remark.
    async fn store(&self, output: &Taken) -> HashMap<TaskLease, u64> {
        let mut lost = HashMap::new();
        let mut rest = output.pieces.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|piece| {
                bytes += piece.data.len();
                bytes <= STORE_BYTES
            });
            // One piece is never larger than what may be written at once.
            let (pieces, later) = rest.split_at(fits.count().max(1));
            if !while_there_is_room(|| output::append(&self.connection, pieces, &[])).await {
                for piece in pieces {
                    let printed = piece.stream != Stream::Note;
                    *lost.entry(piece.task).or_default() +=
                        if printed { piece.data.len() as u64 } else { 0 };
                }
            }
            rest = later;
        }
        if !output.dropped.is_empty() {
            while_there_is_room(|| output::append(&self.connection, &[], &output.dropped)).await;
        }
        lost
    }

    async fn finish(&self, ended: Vec<(Started, Ending)>) {
        let finishes: Vec<Finish> = ended
            .iter()
            .map(|(started, ending)| self.decide(started, ending))
            .collect();
        let written = self.write(finishes).await;
        self.finished
            .fetch_add(written.len() as u64, Ordering::Relaxed);
        let ids: HashSet<Uuid> = written.iter().map(|ended| ended.id).collect();
        for (started, _) in &ended {
            if ids.contains(&started.task.id) {
                self.held.remove(started.task);
            } else {
                tracing::warn!(task.id = %started.task.id, task.lease = started.task.lease, "stale result, dropped");
                self.held.give_up(started.task);
            }
        }
        self.announce(&written);
    }

    /// Hands back what was stopped because the worker stops. What may start only once ends here, and so does what was
    /// to be cancelled.
    async fn hand_back(&self, stopped: Vec<Started>) {
        let tasks: Vec<TaskLease> = stopped.iter().map(|started| started.task).collect();
        let released = until_done("tasks handed back", || {
            finish::hand_back(&self.pool, tasks.clone())
        })
        .await
        .unwrap_or_default();
        let ended: Vec<Finish> = stopped
            .iter()
            .filter(|started| !released.contains(&started.task.id))
            .map(|started| self.not_handed_back(started))
            .collect();
        let mut written: Vec<Ended> = released
            .into_iter()
            .map(|id| Ended {
                id,
                status: TaskStatus::Scheduled,
            })
            .collect();
        if !ended.is_empty() {
            written.extend(self.write(ended).await);
        }
        for task in tasks {
            if written.iter().any(|ended| ended.id == task.id) {
                self.held.remove(task);
            } else {
                self.held.give_up(task);
            }
        }
        self.announce(&written);
    }

    fn not_handed_back(&self, started: &Started) -> Finish {
        let (outcome, verdict) = protocol::NOT_HANDED_BACK;
        Finish {
            task: started.task,
            outcome,
            verdict,
            exit_code: None,
            signal: None,
            error_message: Some(format!(
                "worker {} stopped before the command had ended, and the task is not started again",
                self.worker_name
            )),
        }
    }

    async fn write(&self, finishes: Vec<Finish>) -> Vec<Ended> {
        let by = self.holder.worker_id;
        until_done("ends of runs", || {
            finish::finish(&self.connection, by, finishes.clone())
        })
        .await
        .unwrap_or_default()
    }

    fn announce(&self, written: &[Ended]) {
        self.events.tasks(written.iter().map(|ended| TaskEvent {
            id: ended.id,
            status: ended.status,
            assigned_worker_name: Some(self.worker_name.clone()),
        }));
    }

    fn decide(&self, started: &Started, ending: &Ending) -> Finish {
        let policy = RetryPolicy::default();
        let jitter = rand::random();
        Finish {
            task: started.task,
            outcome: ending.outcome,
            verdict: verdict(
                ending.outcome,
                started.attempt,
                started.max_attempts,
                policy,
                jitter,
            ),
            exit_code: ending.exit.code,
            signal: ending.exit.signal,
            error_message: ending.error_message.clone(),
        }
    }
}

/// Receives until it is enough to be written together, or nobody reports any more.
async fn more(
    reports: &mut mpsc::UnboundedReceiver<Report>,
    batch: &mut Vec<Report>,
    enough: usize,
) {
    while batch.len() < enough {
        let room = BATCH - batch.len();
        if reports.recv_many(batch, room).await == 0 {
            return;
        }
    }
}

/// Stores output, waiting while Postgres is away. False if Postgres has no room for it, or refuses it.
async fn while_there_is_room<F>(write: impl Fn() -> F) -> bool
where
    F: Future<Output = taskmaster_store::Result<()>>,
{
    let refused = AtomicU32::new(0);
    let stored = until_done("output", || async {
        match write().await {
            Ok(()) => Ok(true),
            Err(error)
                if error.is_full()
                    && refused.fetch_add(1, Ordering::Relaxed) + 1 >= FULL_ATTEMPTS =>
            {
                tracing::error!(%error, "output is dropped: Postgres has no room for it");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    });
    stored.await.unwrap_or(false)
}

/// Tries until it is done: what has been run must be recorded, however long Postgres is away. `None` when Postgres
/// refuses the data for good: the runs it was about are then not held any more, and the heartbeat reports them as lost.
async fn until_done<T, F>(what: &str, write: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = taskmaster_store::Result<T>>,
{
    let mut backoff = Backoff::default();
    loop {
        match bounded(write()).await {
            Ok(done) => return Some(done),
            Err(error) if error.is_bad_data() => {
                tracing::error!(%error, "{what} were refused");
                return None;
            }
            Err(error) => {
                if backoff.is_fresh() {
                    tracing::warn!(%error, "{what} could not be written, will be tried again");
                }
                backoff.wait().await;
            }
        }
    }
}
