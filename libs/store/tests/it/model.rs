//! Random moves, of Postgres by the store's statements and of plain rows by `taskmaster_core::protocol`: every answer
//! agrees, and after each step every row does, and the counts are exact. What the checked model in `libs/model` builds
//! on is thereby what the SQL does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};
use sqlx::AssertSqlSafe;
use taskmaster_core::protocol::{self, Rescue, Row};
use taskmaster_core::{
    Lease, NewTask, Outcome, RetryPolicy, TaskLease, TaskStatus, Verdict, verdict,
};
use taskmaster_store::cancel::{Cancel, Retry, cancel, retry};
use taskmaster_store::finish::{Ended, Finish, finish, hand_back};
use taskmaster_store::rescue::{Of, rescue};
use taskmaster_store::start::{Holder, running, start};
use taskmaster_store::{PgPool, claim, workers};
use uuid::Uuid;

use crate::support::{
    assert_counts_are_exact, cancelled, completed, failed, heartbeat, submit_all, tasks, worker,
};

const STEPS: u64 = 400;
const NAMES: [&str; 2] = ["a", "b"];
/// What is to be tried again is due at once.
const AT_ONCE: RetryPolicy = RetryPolicy {
    base: Duration::ZERO,
    cap: Duration::ZERO,
};

/// A worker as the table has it.
struct Worker {
    holder: Holder,
    /// The process before, if there was one.
    superseded: Option<Holder>,
    completed: i64,
    failed: i64,
}

struct Replay {
    pool: PgPool,
    workers: Vec<Worker>,
    rows: BTreeMap<Uuid, Row>,
}

impl Replay {
    async fn new(pool: PgPool) -> Self {
        let mut workers = Vec::new();
        for name in NAMES {
            workers.push(Worker {
                holder: worker(&pool, name).await,
                superseded: None,
                completed: 0,
                failed: 0,
            });
        }
        Self {
            pool,
            workers,
            rows: BTreeMap::new(),
        }
    }

    async fn submit(&mut self, count: usize, max_attempts: i32) {
        let new: Vec<NewTask> = tasks(count, max_attempts);
        submit_all(&self.pool, &new).await;
        let submitted = Row::submitted(max_attempts);
        self.rows.extend(new.iter().map(|new| (new.id, submitted)));
    }

    /// A few tasks in any status, but mostly such that somebody holds, each with a lease that is now and then not its own.
    fn some(&self, random: &mut StdRng) -> Vec<TaskLease> {
        let count = random.random_range(1..=12);
        let which = random.random_range(0..10);
        let may_be_asked = |(_, row): &(&Uuid, &Row)| match which {
            0 => true,
            1..4 => !row.status.is_final(),
            _ => matches!(row.status, TaskStatus::Assigned | TaskStatus::Running),
        };
        let picked = self.rows.iter().filter(may_be_asked).sample(random, count);
        picked
            .into_iter()
            .map(|(id, row)| TaskLease {
                id: *id,
                lease: row.lease - i32::from(random.random_bool(0.1)),
            })
            .collect()
    }

    /// A process of some worker: mostly the one that is registered.
    fn process(&self, random: &mut StdRng) -> Holder {
        let worker = self.workers.choose(random).unwrap();
        match worker.superseded {
            Some(older) if random.random_bool(0.2) => older,
            _ => worker.holder,
        }
    }

    fn registered(&self, worker_id: i32) -> Uuid {
        let mut workers = self.workers.iter();
        let worker = workers.find(|worker| worker.holder.worker_id == worker_id);
        worker.unwrap().holder.incarnation
    }

    async fn step(&mut self, random: &mut StdRng) {
        let asked = self.some(random);
        match random.random_range(0..15) {
            0 => {
                let max_attempts = *[1, 1, 2, 100].choose(random).unwrap();
                self.submit(random.random_range(1..9), max_attempts).await;
            }
            1..=3 => self.claim(random).await,
            4..=6 => self.start(asked, self.process(random)).await,
            7 => {
                let released = claim::release(&self.pool, asked.clone()).await.unwrap();
                self.expect(&asked, released, Row::release);
            }
            8 => {
                let back = hand_back(&self.pool, asked.clone()).await.unwrap();
                self.expect(&asked, back, Row::hand_back);
            }
            9 | 10 => self.finish(asked, random).await,
            11 => {
                for task in asked {
                    self.by_hand(task.id, random.random_bool(0.5)).await;
                }
            }
            12 => self.rescue(&asked, random).await,
            13 => {
                let ended = self.rows.iter().filter(|(_, row)| row.status.is_final());
                for id in Vec::from_iter(ended.map(|(id, _)| *id)) {
                    self.by_hand(id, false).await;
                }
            }
            _ => self.restart(random).await,
        }
    }

    /// Makes the same move of each row, and compares which of them moved.
    fn expect(
        &mut self,
        asked: &[TaskLease],
        moved: impl IntoIterator<Item = Uuid>,
        mut apply: impl FnMut(&mut Row, Lease) -> bool,
    ) {
        let moved: BTreeSet<Uuid> = moved.into_iter().collect();
        for task in asked {
            let row = self.rows.get_mut(&task.id).unwrap();
            let before = *row;
            let applied = apply(row, task.lease);
            assert_eq!(applied, moved.contains(&task.id), "{task:?} {before:?}");
        }
    }

    async fn claim(&mut self, random: &mut StdRng) {
        let mut plan: Vec<i32> = Vec::new();
        for _ in 0..random.random_range(0..20) {
            plan.push(self.workers.choose(random).unwrap().holder.worker_id);
        }
        let claimed = claim::claim(&self.pool, &plan).await.unwrap();
        let waiting = |row: &&Row| row.status == TaskStatus::Scheduled;
        let waiting = self.rows.values().filter(waiting).count();
        assert_eq!(claimed.len(), plan.len().min(waiting));
        for claimed in claimed {
            let row = self.rows.get_mut(&claimed.task.id).unwrap();
            assert!(row.claim(claimed.worker_id));
            assert_eq!(claimed.task.lease, row.lease);
        }
    }

    async fn start(&mut self, asked: Vec<TaskLease>, by: Holder) {
        let registered = self.registered(by.worker_id);
        let started = start(&self.pool, by, asked.clone()).await.unwrap();
        let ids: Vec<Uuid> = started.iter().map(|started| started.task.id).collect();
        self.expect(&asked, ids, |row, lease| {
            row.start(lease, by.worker_id, by.incarnation, registered)
        });
        for started in started {
            let row = self.rows[&started.task.id];
            assert_eq!(
                (started.attempt, started.max_attempts),
                (row.attempt, row.max_attempts)
            );
        }
        // What a starter asks whose answer was lost.
        let runs = running(&self.pool, by, &asked).await.unwrap();
        let runs: BTreeSet<Uuid> = runs.iter().map(|started| started.task.id).collect();
        for task in asked {
            let row = self.rows[&task.id];
            let its_own = row.assigned_worker == Some(by.worker_id) && by.incarnation == registered;
            assert_eq!(runs.contains(&task.id), row.runs(task.lease) && its_own);
        }
    }

    async fn finish(&mut self, asked: Vec<TaskLease>, random: &mut StdRng) {
        let by = self.workers.choose(random).unwrap().holder.worker_id;
        let mut end = |task: &TaskLease| {
            let outcome = match random.random_range(0..6) {
                0 => return completed(*task),
                1 => return cancelled(*task),
                2 => Outcome::Lost,
                3 => Outcome::TimedOut,
                _ => Outcome::Failed,
            };
            let row = self.rows[&task.id];
            // An attempt counts from 1; a row that does not run is refused anyway.
            let attempt = row.attempt.max(1);
            Finish {
                outcome,
                verdict: verdict(outcome, attempt, row.max_attempts, AT_ONCE, 0.0),
                ..failed(*task)
            }
        };
        let finishes: Vec<Finish> = asked.iter().map(&mut end).collect();
        let ends: BTreeMap<TaskLease, (Outcome, Verdict)> = finishes
            .iter()
            .map(|finish| (finish.task, (finish.outcome, finish.verdict)))
            .collect();
        let ended = finish(&self.pool, by, finishes).await.unwrap();
        for task in &asked {
            let (outcome, verdict) = ends[task];
            let ids = ended.iter().map(|ended| ended.id);
            let finish = |row: &mut Row, lease| row.finish(lease, outcome, verdict);
            self.expect(&[*task], ids, finish);
        }
        self.check_ended(&ended);
        let worker = self
            .workers
            .iter_mut()
            .find(|worker| worker.holder.worker_id == by);
        let worker = worker.unwrap();
        for ended in ended {
            worker.completed += i64::from(ended.status == TaskStatus::Completed);
            worker.failed += i64::from(ended.status == TaskStatus::Failed);
        }
    }

    fn check_ended(&self, ended: &[Ended]) {
        for ended in ended {
            assert_eq!(ended.status, self.rows[&ended.id].status);
        }
    }

    async fn by_hand(&mut self, id: Uuid, stop: bool) {
        let row = self.rows.get_mut(&id).unwrap();
        if !stop {
            let before = row.status;
            let expected = match row.retry_by_hand() {
                true => Retry::Scheduled,
                false => Retry::Refused(before),
            };
            assert_eq!(retry(&self.pool, id).await.unwrap(), expected);
            return;
        }
        let answer = cancel(&self.pool, id).await.unwrap();
        match (row.cancel(), answer) {
            (protocol::Cancel::Requested, Cancel::Requested { task, .. }) => {
                assert_eq!(task.lease, row.lease);
            }
            (protocol::Cancel::Cancelled, Cancel::Cancelled) => {}
            (protocol::Cancel::Refused, answer) => {
                assert_eq!(answer, Cancel::AlreadyFinal(row.status));
            }
            (expected, answer) => panic!("{expected:?}, but {answer:?}"),
        }
    }

    /// Rescues some of what a worker runs, or all that it holds.
    async fn rescue(&mut self, asked: &[TaskLease], random: &mut StdRng) {
        let holder = self.workers.choose(random).unwrap().holder;
        let held_by = |row: &Row| row.assigned_worker == Some(holder.worker_id);
        if random.random_bool(0.5) {
            let of = Of::Forgotten(holder.worker_id, asked);
            self.rescued(of, |id, row| {
                let named = asked
                    .iter()
                    .any(|task| task.id == *id && row.runs(task.lease));
                named && held_by(row)
            })
            .await;
        } else {
            workers::sign_off(&self.pool, holder).await.unwrap();
            self.rescued(Of::OfflineWorkers, |_, row| held_by(row))
                .await;
            heartbeat(&self.pool, holder, 4, false).await.unwrap();
        }
    }

    async fn rescued(&mut self, of: Of<'_>, lost: impl Fn(&Uuid, &Row) -> bool) {
        let moved = rescue(&self.pool, of, AT_ONCE).await.unwrap();
        let mut expected = BTreeSet::new();
        for (id, row) in self.rows.iter_mut().filter(|(id, row)| lost(id, row)) {
            let applied = match row.rescue() {
                None => continue,
                Some(Rescue::Release) => row.release(row.lease),
                Some(Rescue::Finish) => {
                    let verdict = row.verdict(Outcome::Lost, AT_ONCE, 0.0);
                    row.finish(row.lease, Outcome::Lost, verdict)
                }
            };
            assert!(applied);
            expected.insert(*id);
        }
        let ids: BTreeSet<Uuid> = moved.iter().map(|ended| ended.id).collect();
        assert_eq!(ids, expected);
        self.check_ended(&moved);
    }

    /// A new process of a worker, which first gives back what the one before ran.
    async fn restart(&mut self, random: &mut StdRng) {
        let which = random.random_range(0..NAMES.len());
        let holder = worker(&self.pool, NAMES[which]).await;
        let older = std::mem::replace(&mut self.workers[which].holder, holder);
        assert_eq!(older.worker_id, holder.worker_id);
        self.workers[which].superseded = Some(older);
        let of = Of::EarlierIncarnation(holder.worker_id);
        self.rescued(of, |_, row| {
            row.assigned_worker == Some(holder.worker_id) && row.status == TaskStatus::Running
        })
        .await;
    }

    /// Compares every row with what Postgres has.
    async fn compare(&self) {
        type Columns = (Uuid, String, Lease, i32, i32, i32, Option<i32>, bool);
        let columns = "id, status, lease, attempt, max_attempts, coalesce(submitted_max_attempts, max_attempts),
            assigned_worker, cancel_requested_at is not null";
        let rows: Vec<Columns> = sqlx::query_as(AssertSqlSafe(format!(
            "select {columns} from tasks union all select {columns} from finished_tasks order by id"
        )))
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let rows: Vec<(Uuid, Row)> = rows
            .into_iter()
            .map(
                |(id, status, lease, attempt, max_attempts, submitted, assigned_worker, cancel)| {
                    let row = Row {
                        status: status.parse().unwrap(),
                        lease,
                        attempt,
                        max_attempts,
                        submitted_max_attempts: submitted,
                        assigned_worker,
                        cancel_requested: cancel,
                    };
                    (id, row)
                },
            )
            .collect();
        let expected: Vec<(Uuid, Row)> = self.rows.iter().map(|(id, row)| (*id, *row)).collect();
        assert_eq!(rows, expected);
        assert_counts_are_exact(&self.pool).await;
        for (worker, listed) in self
            .workers
            .iter()
            .zip(workers::list(&self.pool).await.unwrap())
        {
            assert_eq!(worker.holder.worker_id, listed.id);
            assert_eq!(worker.completed, listed.tasks_completed);
            assert_eq!(worker.failed, listed.tasks_failed);
        }
    }
}

async fn agrees_with_the_protocol(pool: PgPool, seed: u64) {
    let mut replay = Replay::new(pool).await;
    for max_attempts in [1, 2, 100] {
        replay.submit(10, max_attempts).await;
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut seen = BTreeSet::new();
    for _ in 0..STEPS {
        replay.step(&mut random).await;
        replay.compare().await;
        seen.extend(replay.rows.values().map(|row| row.status));
    }
    assert_eq!(Vec::from_iter(seen), TaskStatus::ALL, "too few steps");
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn postgres_agrees_with_the_protocol(pool: PgPool) {
    agrees_with_the_protocol(pool, 1).await;
}

/// The same with partitions made, and plans of the product's own connections.
#[sqlx::test(migrations = false)]
async fn postgres_agrees_with_the_protocol_on_its_own_connections(pool: PgPool) {
    let own = crate::support::own_pool(&pool, 2);
    taskmaster_store::migrate(&own).await.unwrap();
    agrees_with_the_protocol(own.clone(), 2).await;
    own.close().await;
}
