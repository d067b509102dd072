//! Taking tasks in.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;
use taskmaster_core::{NewTask, When};
use uuid::Uuid;

use crate::{PgPool, Result};

/// A task that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: Uuid,
    /// When it was taken in.
    pub created_at: DateTime<Utc>,
    /// When it is due.
    pub scheduled_at: DateTime<Utc>,
    /// Whether it is due already.
    pub due: bool,
}

/// Stores tasks, all or none, in one statement. A task whose id is live already is left as it is and not returned.
/// The result is in no order.
///
/// # Errors
/// When Postgres is away: nothing was stored, or all of it; find out by [`submit_again`] with the same ids.
pub async fn submit(pool: &PgPool, tasks: &[NewTask]) -> Result<Vec<Accepted>> {
    insert(pool, tasks).await
}

/// The same for tasks whose last try may have been committed without our knowing: those that are there already are
/// left as they are, also those that have run and ended since.
///
/// # Errors
/// When Postgres is away: try again.
pub async fn submit_again(pool: &PgPool, tasks: &[NewTask]) -> Result<Vec<Accepted>> {
    let mut transaction = pool.begin().await?;
    let mut accepted = insert(&mut *transaction, tasks).await?;
    let ids: Vec<Uuid> = accepted.iter().map(|accepted| accepted.id).collect();
    // After the insert, and in a statement of its own: a task that ended while the insert waited for it is seen.
    let ended = sqlx::query_scalar!(
        r#"
        with ended as materialized (select id from finished_tasks where id = any ($1))
        delete from tasks where id = any (array(select id from ended)) returning id
        "#,
        &ids
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    accepted.retain(|accepted| !ended.contains(&accepted.id));
    Ok(accepted)
}

async fn insert(executor: impl PgExecutor<'_>, tasks: &[NewTask]) -> Result<Vec<Accepted>> {
    let mut columns = Columns::default();
    for task in tasks {
        columns.push(task);
    }
    let accepted = sqlx::query_as!(
        Accepted,
        r#"
        insert into tasks (id, command, argv, executor, simulate, env, stdin, priority, timeout_seconds, max_attempts,
            scheduled_at)
        select x.id, x.command, x.argv, x.executor, x.simulate, x.env, x.stdin, x.priority, x.timeout_seconds,
            x.max_attempts, coalesce(x.scheduled_at, now() + make_interval(secs => x.delay_seconds))
        from unnest($1::uuid[], $2::text[], $3::jsonb[], $4::text[], $5::jsonb[], $6::jsonb[], $7::text[],
            $8::smallint[], $9::integer[], $10::integer[], $11::timestamptz[], $12::bigint[])
            as x(id, command, argv, executor, simulate, env, stdin, priority, timeout_seconds, max_attempts,
                scheduled_at, delay_seconds)
        on conflict (id) do nothing
        returning id, created_at, scheduled_at, scheduled_at <= now() as "due!"
        "#,
        &columns.id,
        &columns.command as _,
        &columns.argv as _,
        &columns.executor as _,
        &columns.simulate as _,
        &columns.env as _,
        &columns.stdin as _,
        &columns.priority,
        &columns.timeout_seconds as _,
        &columns.max_attempts,
        &columns.scheduled_at as _,
        &columns.delay_seconds,
    )
    .fetch_all(executor)
    .await?;
    Ok(accepted)
}

#[derive(Default)]
struct Columns<'a> {
    id: Vec<Uuid>,
    command: Vec<&'a str>,
    argv: Vec<Option<Value>>,
    executor: Vec<&'a str>,
    simulate: Vec<Option<Value>>,
    env: Vec<Option<Value>>,
    stdin: Vec<Option<&'a str>>,
    priority: Vec<i16>,
    timeout_seconds: Vec<Option<i32>>,
    max_attempts: Vec<i32>,
    scheduled_at: Vec<Option<DateTime<Utc>>>,
    delay_seconds: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, task: &'a NewTask) {
        let (scheduled_at, delay_seconds) = match task.when {
            When::Now => (None, 0),
            When::At(at) => (Some(at), 0),
            When::AfterSeconds(seconds) => (None, seconds),
        };
        self.id.push(task.id);
        self.command.push(&task.command);
        self.argv
            .push(task.argv.as_ref().map(|argv| Value::from(argv.clone())));
        self.executor.push(task.executor.as_str());
        self.simulate
            .push(task.simulate.map(|options| serde_json::json!(options)));
        self.env
            .push(task.env.as_ref().map(|env| serde_json::json!(env)));
        self.stdin.push(task.stdin.as_deref());
        self.priority.push(task.priority);
        self.timeout_seconds.push(task.timeout_seconds);
        self.max_attempts.push(task.max_attempts);
        self.scheduled_at.push(scheduled_at);
        self.delay_seconds.push(delay_seconds);
    }
}
