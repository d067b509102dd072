//! What the tests share: tasks, workers, and the way to each status.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, ConnectOptions, SqlSafeStr};
use taskmaster_core::protocol::NOT_HANDED_BACK;
use taskmaster_core::{
    ExecutorKind, NewTask, Outcome, RetryPolicy, TaskLease, TaskStatus, Verdict, When,
};
use taskmaster_store::finish::{Finish, finish, hand_back};
use taskmaster_store::start::Holder;
use taskmaster_store::workers::{Known, Registration};
use taskmaster_store::{
    PgPool, StoreConfig, Task, acquire, claim, start, stats, submit, tasks, workers,
};
use taskmaster_testkit::until_waiting;
use uuid::Uuid;

/// The schema that each test's database begins with: without the partitions that the migration makes at once, which
/// take longer than most tests. Tests that need them call [`taskmaster_store::migrate`].
pub(crate) static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let whole = sqlx::migrate!("../../migrations");
    let shortened = whole.iter().map(|migration| {
        let sql = migration.sql.as_str();
        let end = sql.find(FIRST_PARTITIONS).unwrap_or(sql.len());
        let sql = AssertSqlSafe(sql[..end].to_owned()).into_sql_str();
        Migration::new(
            migration.version,
            migration.description.clone(),
            migration.migration_type,
            sql,
            migration.no_tx,
        )
    });
    Migrator::with_migrations(shortened.collect())
});

/// How the last statement of the first migration begins.
const FIRST_PARTITIONS: &str = "select taskmaster_ensure_partition(";

/// A task that is due now and has one attempt.
pub(crate) fn task(command: &str) -> NewTask {
    NewTask {
        id: Uuid::now_v7(),
        command: command.to_owned(),
        argv: None,
        when: When::Now,
        priority: 0,
        timeout_seconds: None,
        max_attempts: 1,
        env: None,
        stdin: None,
        executor: ExecutorKind::Process,
        simulate: None,
    }
}

/// `count` tasks with `max_attempts` attempts each.
pub(crate) fn tasks(count: usize, max_attempts: i32) -> Vec<NewTask> {
    (0..count)
        .map(|i| NewTask {
            max_attempts,
            ..task(&format!("echo {i}"))
        })
        .collect()
}

/// A worker that is online: 4 slots, a time-out of 10 s.
pub(crate) async fn worker(pool: &PgPool, name: &str) -> Holder {
    let incarnation = Uuid::now_v7();
    let registration = Registration {
        name,
        incarnation,
        slots: 4,
        host: "here",
        pid: 4711,
        version: "1.2.3",
        heartbeat_timeout_seconds: 10,
    };
    let worker_id = workers::register(pool, &registration).await.unwrap();
    Holder {
        worker_id,
        incarnation,
    }
}

/// A heartbeat by a connection of the pool.
pub(crate) async fn heartbeat(
    pool: &PgPool,
    holder: Holder,
    claim_window: i32,
    draining: bool,
) -> taskmaster_store::Result<Option<Known>> {
    let mut connection = acquire(pool).await?;
    workers::heartbeat(&mut connection, holder, claim_window, draining).await
}

/// Makes the last heartbeat of a worker `seconds` old.
pub(crate) async fn age_heartbeat(pool: &PgPool, holder: Holder, seconds: i32) {
    sqlx::query(
        "update workers set last_active_at = now() - make_interval(secs => $2) where id = $1",
    )
    .bind(holder.worker_id)
    .bind(f64::from(seconds))
    .execute(pool)
    .await
    .unwrap();
}

/// Submits `new`, all of which must be new.
pub(crate) async fn submit_all(pool: &PgPool, new: &[NewTask]) {
    let accepted = submit::submit(pool, new).await.unwrap();
    assert_eq!(accepted.len(), new.len());
}

/// Submits `new` and gives all of it to `holder`; nothing else may be due.
pub(crate) async fn assign(pool: &PgPool, holder: Holder, new: &[NewTask]) -> Vec<TaskLease> {
    submit_all(pool, new).await;
    claim_all(pool, holder, new.len()).await
}

/// Gives the `count` tasks that are due to `holder`.
pub(crate) async fn claim_all(pool: &PgPool, holder: Holder, count: usize) -> Vec<TaskLease> {
    let claimed = claim::claim(pool, &vec![holder.worker_id; count])
        .await
        .unwrap();
    assert_eq!(claimed.len(), count);
    claimed.into_iter().map(|claimed| claimed.task).collect()
}

/// Submits `new` and has `holder` start all of it.
pub(crate) async fn run(pool: &PgPool, holder: Holder, new: &[NewTask]) -> Vec<TaskLease> {
    let assigned = assign(pool, holder, new).await;
    let started = start::start(pool, holder, assigned.clone()).await.unwrap();
    assert_eq!(started.len(), new.len());
    assigned
}

/// The same for one task.
pub(crate) async fn run_one(pool: &PgPool, holder: Holder, new: NewTask) -> TaskLease {
    run(pool, holder, &[new]).await[0]
}

/// A run that ended well.
pub(crate) fn completed(task: TaskLease) -> Finish {
    Finish {
        task,
        outcome: Outcome::Completed,
        verdict: Verdict::Final(TaskStatus::Completed),
        exit_code: Some(0),
        signal: None,
        error_message: None,
    }
}

/// A run that failed with exit code 3, for good.
pub(crate) fn failed(task: TaskLease) -> Finish {
    Finish {
        outcome: Outcome::Failed,
        verdict: Verdict::Final(TaskStatus::Failed),
        exit_code: Some(3),
        error_message: Some("exit code 3".to_owned()),
        ..completed(task)
    }
}

/// A run that failed with exit code 3 and is to be tried again.
pub(crate) fn failed_for_now(task: TaskLease, delay_seconds: u64) -> Finish {
    Finish {
        verdict: Verdict::RetryAfter(Duration::from_secs(delay_seconds)),
        ..failed(task)
    }
}

/// A run that was stopped on request.
pub(crate) fn cancelled(task: TaskLease) -> Finish {
    Finish {
        outcome: Outcome::Cancelled,
        verdict: Verdict::Final(TaskStatus::Cancelled),
        exit_code: None,
        signal: Some(15),
        ..completed(task)
    }
}

/// What is tried again has to wait for an hour or two.
pub(crate) const LATER: RetryPolicy = RetryPolicy {
    base: Duration::from_secs(7200),
    cap: Duration::from_secs(7200),
};

/// A run that was lost, by the verdict on an only attempt.
pub(crate) fn lost(task: TaskLease) -> Finish {
    let (outcome, verdict) = NOT_HANDED_BACK;
    Finish {
        outcome,
        verdict,
        exit_code: None,
        ..completed(task)
    }
}

/// What a worker that stops does with a run that it has ended. Returns what became of the task, unless it was somebody
/// else's by then.
pub(crate) async fn stop_and_hand_back(
    pool: &PgPool,
    holder: Holder,
    task: TaskLease,
) -> Option<TaskStatus> {
    let handed_back = hand_back(pool, vec![task]).await.unwrap();
    if !handed_back.is_empty() {
        return Some(TaskStatus::Scheduled);
    }
    let ended = finish(pool, holder.worker_id, vec![lost(task)]);
    ended.await.unwrap().first().map(|ended| ended.status)
}

/// The task, which must be there.
pub(crate) async fn get(pool: &PgPool, id: Uuid) -> Task {
    tasks::get(pool, id).await.unwrap().unwrap()
}

/// Its status.
pub(crate) async fn status(pool: &PgPool, id: Uuid) -> TaskStatus {
    get(pool, id).await.status
}

/// The same ids in the same order, without their leases.
pub(crate) fn ids(tasks: &[TaskLease]) -> Vec<Uuid> {
    tasks.iter().map(|task| task.id).collect()
}

/// Sorted, to compare what comes in no order.
pub(crate) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

/// Compares the counts with a plain count of every row.
pub(crate) async fn assert_counts_are_exact(pool: &PgPool) {
    let counted: Vec<(String, i64)> =
        sqlx::query_as("select status, count(*) from all_tasks group by status")
            .fetch_all(pool)
            .await
            .unwrap();
    let of = |status: TaskStatus| {
        counted
            .iter()
            .find(|(name, _)| name == status.as_str())
            .map_or(0, |(_, count)| *count)
    };
    let expected = stats::Counts {
        scheduled: of(TaskStatus::Scheduled),
        assigned: of(TaskStatus::Assigned),
        running: of(TaskStatus::Running),
        completed: of(TaskStatus::Completed),
        failed: of(TaskStatus::Failed),
        cancelled: of(TaskStatus::Cancelled),
    };
    assert_eq!(stats::counts(pool).await.unwrap(), expected);
}

/// Returns once some statement in this test's database waits for a lock.
pub(crate) async fn somebody_waits(pool: &PgPool) {
    until_waiting(pool, 1).await.unwrap();
}

/// This test's database as a service is told of it.
pub(crate) fn config(pool: &PgPool, connections: u32) -> StoreConfig {
    let url = pool.connect_options().to_url_lossy();
    StoreConfig::new(url.to_string().into(), connections)
}

/// Connections such as a service makes.
pub(crate) fn own_pool(pool: &PgPool, connections: u32) -> PgPool {
    config(pool, connections).pool().unwrap()
}
