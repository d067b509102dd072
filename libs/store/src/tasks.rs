//! Reading tasks, live and finished, as people and programs see them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use taskmaster_core::{Lease, Outcome, TaskLease, TaskStatus};
use uuid::Uuid;

use crate::{Error, PgPool, Result, acquire, workers};

/// A task: its latest attempt, and all that was asked for.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Task {
    /// Its id.
    pub id: Uuid,
    /// The command; of an `argv` task, the same quoted for a shell.
    pub command: String,
    /// The program and its arguments, if it runs without a shell.
    pub argv: Option<Vec<String>>,
    /// `process` or `simulate`.
    #[cfg_attr(feature = "openapi", schema(value_type = taskmaster_core::ExecutorKind))]
    pub executor: String,
    /// Where it is in its life.
    pub status: TaskStatus,
    /// Higher goes first.
    pub priority: i16,
    /// When it was taken in.
    pub created_at: DateTime<Utc>,
    /// When it is due; of one that waits for its next attempt, when that is due.
    pub scheduled_at: DateTime<Utc>,
    /// When a worker was chosen.
    pub picked_at: Option<DateTime<Utc>>,
    /// When its start was committed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it reached its end.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it completed.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it failed.
    pub failed_at: Option<DateTime<Utc>>,
    /// When it was cancelled.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// When someone asked for it to be stopped.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// The id of the worker that has it or had it last.
    pub assigned_worker: Option<i32>,
    /// That worker's name.
    pub assigned_worker_name: Option<String>,
    /// How often it was started.
    pub attempt: i32,
    /// How often it is started at most.
    pub max_attempts: i32,
    /// The time limit of one run.
    pub timeout_seconds: Option<i32>,
    /// The exit code of the last run, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended the last run, if one did.
    pub signal: Option<i32>,
    /// What went wrong in the last attempt that failed.
    pub error_message: Option<String>,
    /// Environment variables that the task adds.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<std::collections::BTreeMap<String, String>>))]
    pub env: Option<Value>,
    /// Whether it is given something to read from standard input.
    pub stdin: bool,
    /// The number of its latest claim.
    #[serde(skip)]
    pub lease: Lease,
    /// How its last run ended; of one that was cancelled before its start, `Cancelled`.
    #[serde(skip)]
    pub outcome: Option<Outcome>,
}

impl Task {
    /// Its latest claim.
    #[must_use]
    pub fn task_lease(&self) -> TaskLease {
        TaskLease {
            id: self.id,
            lease: self.lease,
        }
    }
}

/// How many tasks a page looks through whose filter no index knows, a worker or a text: as many as take a few milliseconds,
/// however long the history is and however rare what is looked for.
pub const LOOKED_THROUGH: i64 = 2500;

/// Which tasks, newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these statuses; none: all.
    pub statuses: Vec<TaskStatus>,
    /// Only those of this worker.
    pub worker: Option<String>,
    /// Only those whose command has this in it, in any case of letters.
    pub text: Option<String>,
    /// Only those before this id: the last one of the page before.
    pub before: Option<Uuid>,
    /// The most that come back.
    pub limit: i64,
}

/// One page of tasks, newest first.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The tasks; those of a filter by worker or text may be fewer than the limit, or none, although there are more.
    pub tasks: Vec<Task>,
    /// What to give as [`Filter::before`] for the next page; nothing: this is the last one.
    pub next: Option<Uuid>,
}

struct Row {
    id: Uuid,
    command: String,
    argv: Option<Json<Vec<String>>>,
    executor: String,
    status: String,
    outcome: Option<String>,
    lease: Lease,
    priority: i16,
    created_at: DateTime<Utc>,
    scheduled_at: DateTime<Utc>,
    picked_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    cancel_requested_at: Option<DateTime<Utc>>,
    assigned_worker: Option<i32>,
    assigned_worker_name: Option<String>,
    attempt: i32,
    max_attempts: i32,
    timeout_seconds: Option<i32>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    error_message: Option<String>,
    env: Option<Value>,
    stdin: bool,
    /// Whether it is of the worker and has the text.
    matches: bool,
    /// Whether it is the last of as many as may be looked through.
    is_last: bool,
}

impl TryFrom<Row> for Task {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let status = status(&row.status)?;
        let finished_in = |wanted| row.finished_at.filter(|_| status == wanted);
        Ok(Self {
            id: row.id,
            command: row.command,
            argv: row.argv.map(|Json(argv)| argv),
            executor: row.executor,
            status,
            priority: row.priority,
            created_at: row.created_at,
            scheduled_at: row.scheduled_at,
            picked_at: row.picked_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            completed_at: finished_in(TaskStatus::Completed),
            failed_at: finished_in(TaskStatus::Failed),
            cancelled_at: finished_in(TaskStatus::Cancelled),
            cancel_requested_at: row.cancel_requested_at,
            assigned_worker: row.assigned_worker,
            assigned_worker_name: row.assigned_worker_name,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            timeout_seconds: row.timeout_seconds,
            exit_code: row.exit_code,
            signal: row.signal,
            error_message: row.error_message,
            env: row.env,
            stdin: row.stdin,
            lease: row.lease,
            outcome: row.outcome.as_deref().map(outcome).transpose()?,
        })
    }
}

/// The task with this id.
///
/// # Errors
/// When Postgres is away.
pub async fn get(pool: &PgPool, id: Uuid) -> Result<Option<Task>> {
    Ok(get_many(pool, &[id]).await?.pop())
}

/// The tasks with these ids, newest first; those that are not there are left out.
///
/// # Errors
/// When Postgres is away.
pub async fn get_many(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<Task>> {
    let looked = Looked {
        ids: Some(ids),
        through: ids.len() as i64,
        ..Looked::default()
    };
    Ok(looked.read(pool, ids.len() as i64).await?.0)
}

/// A page of the tasks that pass `filter`. It costs the same however long the history is: where no index knows the filter, it
/// looks through no more than [`LOOKED_THROUGH`] tasks, and the next page goes on from there.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool, filter: &Filter) -> Result<Page> {
    let mut statuses: Vec<&str> = filter
        .statuses
        .iter()
        .map(|status| status.as_str())
        .collect();
    // Each once: the statement looks for each by itself.
    statuses.sort_unstable();
    statuses.dedup();
    let mut looked = Looked {
        statuses: (!statuses.is_empty()).then_some(statuses.as_slice()),
        before: filter.before,
        pattern: filter.text.as_deref().map(pattern),
        // One more than asked for: whether there is a next page.
        through: filter.limit + 1,
        ..Looked::default()
    };
    if let Some(name) = &filter.worker {
        let Some(worker) = workers::when_active(pool, name).await? else {
            return Ok(Page::default());
        };
        looked.worker = Some(worker.id);
        if let Some(last) = worker.gone_since {
            // Nothing newer was ever its own: no need to look through that.
            let newest = newest_id(last);
            looked.before = Some(looked.before.map_or(newest, |before| before.min(newest)));
        }
    }
    let sifts = looked.worker.is_some() || looked.pattern.is_some();
    if sifts {
        looked.through = LOOKED_THROUGH;
    }
    let (mut tasks, last) = looked.read(pool, filter.limit + 1).await?;
    let more = tasks.len() as i64 > filter.limit;
    tasks.truncate(usize::try_from(filter.limit).unwrap_or(0));
    let next = if more {
        tasks.last().map(|task| task.id)
    } else {
        last.filter(|_| sifts)
    };
    Ok(Page { tasks, next })
}

/// What is looked through: the newest `through` of these ids and statuses, before an id.
#[derive(Default)]
struct Looked<'a> {
    ids: Option<&'a [Uuid]>,
    statuses: Option<&'a [&'a str]>,
    before: Option<Uuid>,
    through: i64,
    worker: Option<i32>,
    pattern: Option<String>,
}

impl Looked<'_> {
    /// Up to `limit` of them that are of the worker and have the pattern; and the last one that was looked at, if there may be
    /// more behind it.
    async fn read(&self, pool: &PgPool, limit: i64) -> Result<(Vec<Task>, Option<Uuid>)> {
        let rows = sqlx::query_file_as!(
            Row,
            "src/tasks.sql",
            self.ids,
            self.statuses as _,
            self.before,
            self.through,
            self.worker,
            self.pattern,
            limit,
        )
        .fetch_all(&mut *acquire(pool).await?)
        .await?;
        let last = rows.last().filter(|row| row.is_last).map(|row| row.id);
        let matching = rows.into_iter().filter(|row| row.matches);
        let tasks: Result<_> = matching.map(Task::try_from).collect();
        Ok((tasks?, last))
    }
}

/// What `ilike` takes for any text with this one in it.
fn pattern(text: &str) -> String {
    let escaped = text
        .replace('\\', r"\\")
        .replace('%', r"\%")
        .replace('_', r"\_");
    format!("%{escaped}%")
}

/// No task that was taken in before `moment` has an id above this, even if the clock of whoever made the id was an hour ahead.
fn newest_id(moment: DateTime<Utc>) -> Uuid {
    let milliseconds = (moment + TimeDelta::hours(1)).timestamp_millis();
    let high = u128::try_from(milliseconds).unwrap_or(0) << 80;
    Uuid::from_u128(high | ((1 << 80) - 1))
}

/// Reads a stored status.
pub(crate) fn status(text: &str) -> Result<TaskStatus> {
    text.parse()
        .map_err(|_| Error::UnknownValue(format!("status {text:?}")))
}

/// Reads a stored outcome.
pub(crate) fn outcome(text: &str) -> Result<Outcome> {
    [
        Outcome::Completed,
        Outcome::Failed,
        Outcome::Cancelled,
        Outcome::TimedOut,
        Outcome::Lost,
    ]
    .into_iter()
    .find(|outcome| outcome.as_str() == text)
    .ok_or_else(|| Error::UnknownValue(format!("outcome {text:?}")))
}
