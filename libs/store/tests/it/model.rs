//! Random moves, each checked against the table of moves in `taskmaster_core`: a statement moves a task if and only if
//! the table has that move, and the counts are exact after each.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use taskmaster_core::{Event, Lease, NewTask, RetryPolicy, TaskLease, TaskStatus, next};
use taskmaster_store::cancel::{Cancel, Retry, cancel, retry};
use taskmaster_store::finish::{Finish, finish, hand_back};
use taskmaster_store::rescue::{Of, rescue};
use taskmaster_store::start::{Holder, start};
use taskmaster_store::{PgPool, claim, workers};
use uuid::Uuid;

use crate::support::{
    assert_counts_are_exact, cancelled, completed, failed, failed_for_now, submit_all, tasks,
    worker,
};

const STEPS: u64 = 250;

/// What a task should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expected {
    status: TaskStatus,
    lease: Lease,
    cancel_requested: bool,
}

/// Every task as it should be, and as it is.
struct Model {
    pool: PgPool,
    holder: Holder,
    tasks: BTreeMap<Uuid, Expected>,
    completed: i64,
    failed: i64,
}

impl Model {
    async fn submit(&mut self, new: Vec<NewTask>) {
        submit_all(&self.pool, &new).await;
        let expected = Expected {
            status: TaskStatus::Scheduled,
            lease: 0,
            cancel_requested: false,
        };
        self.tasks.extend(new.iter().map(|new| (new.id, expected)));
    }

    /// A few tasks in any status, each with a lease that is now and then not its own.
    fn some(&self, random: &mut StdRng) -> Vec<TaskLease> {
        let count = random.random_range(1..=12);
        let picked = self.tasks.iter().sample(random, count);
        picked
            .into_iter()
            .map(|(id, task)| TaskLease {
                id: *id,
                lease: task.lease - i32::from(random.random_bool(0.1)),
            })
            .collect()
    }

    /// Moves those of `asked` that may be moved by `event` under their lease; returns their ids.
    fn expect(&mut self, asked: &[TaskLease], event: Event, from: &[TaskStatus]) -> Vec<Uuid> {
        let mut moved = Vec::new();
        for task in asked {
            let expected = self.tasks.get_mut(&task.id).unwrap();
            let held = expected.lease == task.lease && from.contains(&expected.status);
            if let (true, Ok(to)) = (held, next(expected.status, event)) {
                expected.status = to;
                moved.push(task.id);
            }
        }
        moved.sort();
        moved
    }

    async fn step(&mut self, random: &mut StdRng) {
        let asked = self.some(random);
        match random.random_range(0..10) {
            0 => self.submit(tasks(random.random_range(1..9), 100)).await,
            1 | 2 => self.claim(random.random_range(0..20)).await,
            3 | 4 => {
                let started = start(&self.pool, self.holder, asked.clone()).await.unwrap();
                let started = started.into_iter().map(|started| started.task.id);
                self.check(started, &asked, Event::Start, &[TaskStatus::Assigned]);
            }
            5 => {
                let released = claim::release(&self.pool, asked.clone()).await.unwrap();
                self.check(released, &asked, Event::Release, &[TaskStatus::Assigned]);
            }
            6 => self.hand_back(asked).await,
            7 => self.finish(asked, random).await,
            8 => self.by_hand(asked[0].id, random.random_bool(0.5)).await,
            _ => self.rescue().await,
        }
    }

    fn check(
        &mut self,
        moved: impl IntoIterator<Item = Uuid>,
        asked: &[TaskLease],
        event: Event,
        from: &[TaskStatus],
    ) {
        let mut moved: Vec<Uuid> = moved.into_iter().collect();
        moved.sort();
        assert_eq!(moved, self.expect(asked, event, from), "{event:?}");
    }

    async fn claim(&mut self, count: usize) {
        let plan = vec![self.holder.worker_id; count];
        let claimed = claim::claim(&self.pool, &plan).await.unwrap();
        let waiting = |task: &&Expected| task.status == TaskStatus::Scheduled;
        let waiting = self.tasks.values().filter(waiting).count();
        assert_eq!(claimed.len(), count.min(waiting));
        for claimed in claimed {
            let task = self.tasks.get_mut(&claimed.task.id).unwrap();
            task.status = next(task.status, Event::Claim).unwrap();
            task.lease += 1;
            assert_eq!(claimed.task.lease, task.lease);
        }
    }

    async fn hand_back(&mut self, asked: Vec<TaskLease>) {
        let back = hand_back(&self.pool, asked.clone()).await.unwrap();
        let wanted: Vec<TaskLease> = asked
            .into_iter()
            .filter(|task| !self.tasks[&task.id].cancel_requested)
            .collect();
        self.check(back, &wanted, Event::Release, &[TaskStatus::Running]);
    }

    async fn finish(&mut self, asked: Vec<TaskLease>, random: &mut StdRng) {
        let ends: Vec<(Finish, Event)> = asked
            .iter()
            .map(|task| match random.random_range(0..4) {
                0 => (completed(*task), Event::Complete),
                1 => (failed(*task), Event::Fail),
                2 => (cancelled(*task), Event::Cancel),
                _ if self.tasks[&task.id].cancel_requested => {
                    (failed_for_now(*task, 0), Event::Cancel)
                }
                _ => (failed_for_now(*task, 0), Event::RetryLater),
            })
            .collect();
        let finishes = ends.iter().map(|(finish, _)| finish.clone()).collect();
        let by = self.holder.worker_id;
        let mut ended = finish(&self.pool, by, finishes).await.unwrap();
        ended.sort_by_key(|ended| ended.id);
        let mut expected = Vec::new();
        for (finish, event) in ends {
            expected.extend(self.expect(&[finish.task], event, &[TaskStatus::Running]));
        }
        expected.sort();
        assert_eq!(
            ended.iter().map(|ended| ended.id).collect::<Vec<_>>(),
            expected
        );
        for ended in ended {
            assert_eq!(ended.status, self.tasks[&ended.id].status);
            self.completed += i64::from(ended.status == TaskStatus::Completed);
            self.failed += i64::from(ended.status == TaskStatus::Failed);
        }
    }

    async fn by_hand(&mut self, id: Uuid, stop: bool) {
        let task = self.tasks.get_mut(&id).unwrap();
        if !stop {
            let expected = match next(task.status, Event::RetryByHand) {
                Ok(_) => Retry::Scheduled,
                Err(_) => Retry::Refused(task.status),
            };
            assert_eq!(retry(&self.pool, id).await.unwrap(), expected);
            if let Ok(status) = next(task.status, Event::RetryByHand) {
                task.status = status;
                task.cancel_requested = false;
            }
            return;
        }
        let answer = cancel(&self.pool, id).await.unwrap();
        match (task.status, answer) {
            (TaskStatus::Running, Cancel::Requested { task: asked, .. }) => {
                assert_eq!(asked.lease, task.lease);
                task.cancel_requested = true;
            }
            (TaskStatus::Scheduled | TaskStatus::Assigned, Cancel::Cancelled) => {
                task.status = TaskStatus::Cancelled;
            }
            (status, answer) => assert_eq!(answer, Cancel::AlreadyFinal(status)),
        }
    }

    async fn rescue(&mut self) {
        let of = Of::EarlierIncarnation(self.holder.worker_id);
        let policy = RetryPolicy {
            base: std::time::Duration::ZERO,
            cap: std::time::Duration::ZERO,
        };
        let moved = rescue(&self.pool, of, policy).await.unwrap();
        let running = |(_, task): &(&Uuid, &Expected)| task.status == TaskStatus::Running;
        assert_eq!(moved.len(), self.tasks.iter().filter(running).count());
        for ended in moved {
            let task = self.tasks.get_mut(&ended.id).unwrap();
            let event = match ended.status {
                TaskStatus::Scheduled => Event::RetryLater,
                TaskStatus::Cancelled => Event::Cancel,
                _ => Event::Fail,
            };
            assert_eq!(event == Event::Cancel, task.cancel_requested);
            task.status = next(task.status, event).unwrap();
            assert_eq!(task.status, ended.status);
        }
    }

    /// Compares every task with what Postgres has.
    async fn compare(&self) {
        let rows: Vec<(Uuid, String, i32)> =
            sqlx::query_as("select id, status, lease from all_tasks order by id")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        let rows: Vec<(Uuid, TaskStatus, i32)> = rows
            .into_iter()
            .map(|(id, status, lease)| (id, status.parse().unwrap(), lease))
            .collect();
        let expected: Vec<(Uuid, TaskStatus, i32)> = self
            .tasks
            .iter()
            .map(|(id, task)| (*id, task.status, task.lease))
            .collect();
        assert_eq!(rows, expected);
        assert_counts_are_exact(&self.pool).await;
        let worker = workers::list(&self.pool).await.unwrap().remove(0);
        assert_eq!(worker.tasks_completed, self.completed);
        assert_eq!(worker.tasks_failed, self.failed);
    }
}

async fn follows_the_table(pool: PgPool, seed: u64) {
    let holder = worker(&pool, "w").await;
    let mut model = Model {
        pool,
        holder,
        tasks: BTreeMap::new(),
        completed: 0,
        failed: 0,
    };
    model.submit(tasks(30, 100)).await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut seen = BTreeSet::new();
    for _ in 0..STEPS {
        model.step(&mut random).await;
        model.compare().await;
        seen.extend(model.tasks.values().map(|task| task.status));
    }
    assert_eq!(Vec::from_iter(seen), TaskStatus::ALL, "too few steps");
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn follows_the_table_of_moves(pool: PgPool) {
    follows_the_table(pool, 1).await;
}

/// The same with partitions made, and plans of the product's own connections.
#[sqlx::test(migrations = false)]
async fn follows_the_table_of_moves_on_its_own_connections(pool: PgPool) {
    let own = crate::support::own_pool(&pool, 2);
    taskmaster_store::migrate(&own).await.unwrap();
    follows_the_table(own.clone(), 2).await;
    own.close().await;
}
