//! Group commit: what is submitted while a commit is under way is committed together, right after it. Who comes alone
//! waits for nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskmaster_core::{Fingerprint, IdempotencyKey, NewTask};
use taskmaster_store::keys::{Keyed, Known, Scope};
use taskmaster_store::submit::{self, Accepted, Batch, Submitted};
use taskmaster_store::{Connections, Error, Kept, PgPool, bounded};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// The most submissions of one commit.
const GROUP: usize = 200;
/// What has more tasks, or more [bytes](SMALL_BYTES), is committed by itself: it gains nothing, and the others would wait.
const SMALL_TASKS: usize = 50;
const SMALL_BYTES: usize = 32 << 10;
/// How many submissions may wait, beyond those that are being committed.
const QUEUED: usize = 4096;
/// How long a submission waits for its turn; after that it is certain that it was not stored. With as long again as a
/// connection is waited for, whoever submits hears within ten seconds that there is none.
const TURN_TIMEOUT: Duration = Duration::from_secs(4);

/// What is submitted in one request.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) tasks: Vec<NewTask>,
    pub(crate) key: Option<IdempotencyKey>,
}

/// What became of a [`Submission`].
#[derive(Debug)]
pub(crate) enum Committed {
    /// It was stored.
    New(Vec<(NewTask, Accepted)>),
    /// Its key was known, and nothing was.
    Known(Known),
}

/// Several submissions may share one reason why they were not stored, or are not known to be.
type Result<T> = std::result::Result<T, Arc<Error>>;

/// A submission that waits for its turn, until it is taken: by who commits it, or by who does not wait any longer.
type Waiting = Arc<Mutex<Option<Submission>>>;
type Queued = (Waiting, oneshot::Sender<Result<Committed>>);

/// A handle to submit with. Cloning it is cheap.
#[derive(Debug, Clone)]
pub(crate) struct GroupCommit {
    pool: PgPool,
    queue: mpsc::Sender<Queued>,
}

impl GroupCommit {
    /// Starts the task that commits, which ends when every handle is gone.
    pub(crate) fn spawn(pool: PgPool) -> Self {
        let (queue, queued) = mpsc::channel(QUEUED);
        tokio::spawn(run(Kept::new(pool.clone()), queued));
        Self { pool, queue }
    }

    /// Stores what is new, all or none.
    ///
    /// # Errors
    /// Postgres's. If it did not answer, it is not known whether it was stored.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<Committed> {
        if !submission.is_small() {
            let group = Group::of(vec![submission]);
            let submitted = group.store(&self.pool).await?;
            return group.divide(submitted).pop().ok_or_else(never_taken);
        }
        let waiting: Waiting = Arc::new(Mutex::new(Some(submission)));
        let (sender, mut answer) = oneshot::channel();
        let in_turn = async {
            let queued = self.queue.send((waiting.clone(), sender)).await;
            queued.ok()?;
            (&mut answer).await.ok()
        };
        if let Ok(answered) = tokio::time::timeout(TURN_TIMEOUT, in_turn).await {
            return answered.unwrap_or_else(|| Err(never_taken()));
        }
        if take(&waiting).is_some() {
            return Err(never_taken());
        }
        answer.await.unwrap_or_else(|_| Err(never_taken()))
    }
}

/// As when no connection came free in time.
fn never_taken() -> Arc<Error> {
    Arc::new(Error::no_connection())
}

fn take(waiting: &Waiting) -> Option<Submission> {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.take()
}

impl Submission {
    fn is_small(&self) -> bool {
        let bytes = self.tasks.iter().map(NewTask::bytes).sum::<usize>();
        self.tasks.len() <= SMALL_TASKS && bytes <= SMALL_BYTES
    }
}

async fn run(kept: Kept, mut queued: mpsc::Receiver<Queued>) {
    let mut received = Vec::with_capacity(GROUP);
    while queued.recv_many(&mut received, GROUP).await > 0 {
        // Who has gone by now was told nothing, and nothing of theirs is stored.
        let present = received.drain(..).filter(|(_, sender)| !sender.is_closed());
        let (submissions, senders): (Vec<_>, Vec<_>) = present
            .filter_map(|(waiting, sender)| Some((take(&waiting)?, sender)))
            .unzip();
        let group = Group::of(submissions);
        if group.parts.is_empty() {
            continue;
        }
        for (committed, sender) in commit(&kept, group).await.into_iter().zip(senders) {
            // Who has gone since does not hear of it, as when their connection breaks on the way back.
            drop(sender.send(committed));
        }
    }
}

/// Commits a group. If Postgres refuses what is in one of its submissions, each by itself.
async fn commit(kept: &Kept, group: Group) -> Vec<Result<Committed>> {
    let parts = group.parts.len();
    match group.store(kept).await {
        Ok(submitted) => group.divide(submitted).into_iter().map(Ok).collect(),
        Err(error) if error.is_bad_data() && parts > 1 => {
            let mut committed = Vec::with_capacity(parts);
            for group in group.split() {
                let submitted = group.store(kept).await;
                committed.extend(match submitted {
                    Ok(submitted) => group.divide(submitted).into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                });
            }
            committed
        }
        Err(error) => (0..parts).map(|_| Err(error.clone())).collect(),
    }
}

/// Submissions that are committed together, put together.
#[derive(Debug, Default)]
struct Group {
    tasks: Vec<NewTask>,
    keyed: Vec<Keyed>,
    parts: Vec<Part>,
}

/// One of them.
#[derive(Debug)]
struct Part {
    /// How many of the tasks are its own.
    tasks: usize,
    /// Where its key is, if it has one.
    keyed: Option<usize>,
}

impl Group {
    fn of(submissions: Vec<Submission>) -> Self {
        let mut group = Self::default();
        for Submission { tasks, key } in submissions {
            let (begin, end) = (group.tasks.len(), group.tasks.len() + tasks.len());
            group.parts.push(Part {
                tasks: tasks.len(),
                keyed: key.as_ref().map(|_| group.keyed.len()),
            });
            group.keyed.extend(key.map(|key| Keyed {
                key,
                fingerprint: Fingerprint::of(&tasks),
                tasks: begin..end,
            }));
            group.tasks.extend(tasks);
        }
        group
    }

    async fn store(&self, connections: &impl Connections) -> Result<Submitted> {
        let batch = Batch {
            tasks: &self.tasks,
            keyed: &self.keyed,
            scope: Scope::Http,
        };
        Ok(bounded(submit::submit_keyed(connections, batch)).await?)
    }

    /// What became of each, in order.
    fn divide(self, submitted: Submitted) -> Vec<Committed> {
        let accepted = submitted.accepted.into_iter();
        let mut accepted: HashMap<Uuid, Accepted> =
            accepted.map(|accepted| (accepted.id, accepted)).collect();
        let known = submitted.known.into_iter();
        let mut known: HashMap<usize, Known> = known.map(|known| (known.index, known)).collect();
        let mut tasks = self.tasks.into_iter();
        let parts = self.parts.into_iter().map(|part| {
            let own: Vec<NewTask> = tasks.by_ref().take(part.tasks).collect();
            if let Some(known) = part.keyed.and_then(|keyed| known.remove(&keyed)) {
                return Committed::Known(known);
            }
            let stored = own.into_iter().filter_map(|task| {
                let accepted = accepted.remove(&task.id)?;
                Some((task, accepted))
            });
            Committed::New(stored.collect())
        });
        parts.collect()
    }

    /// A group for each.
    fn split(self) -> impl Iterator<Item = Self> {
        let (mut tasks, mut keyed) = (self.tasks.into_iter(), self.keyed.into_iter());
        self.parts.into_iter().map(move |part| {
            let key = part.keyed.and_then(|_| keyed.next());
            Self::of(vec![Submission {
                tasks: tasks.by_ref().take(part.tasks).collect(),
                key: key.map(|keyed| keyed.key),
            }])
        })
    }
}

#[cfg(test)]
mod tests;
