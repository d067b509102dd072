//! Taking tasks in.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Connection, PgConnection, PgExecutor};
use taskmaster_core::{NewTask, When};
use uuid::Uuid;

use crate::keys::{self, Keyed, Known, Scope};
use crate::{Connections, Result};

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

/// Submissions that are stored together, all or none of what is new, in one statement.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The tasks of all of them.
    pub tasks: &'a [NewTask],
    /// Those that came under a key. Tasks that belong to none of them came without one.
    pub keyed: &'a [Keyed],
    /// Whose keys these are.
    pub scope: Scope,
}

/// What became of a [`Batch`].
#[derive(Debug, Clone, Default)]
pub struct Submitted {
    /// The tasks that were stored, in no order.
    pub accepted: Vec<Accepted>,
    /// The submissions whose key was known, in no order.
    pub known: Vec<Known>,
}

/// Stores tasks, all or none, in one statement. A task whose id is live already is left as it is and not returned.
/// The result is in no order.
///
/// # Errors
/// When Postgres is away: nothing was stored, or all of it; find out by [`submit_again`] with the same ids.
pub async fn submit(connections: &impl Connections, tasks: &[NewTask]) -> Result<Vec<Accepted>> {
    let mut connection = connections.lend().await?;
    let accepted = insert(&mut *connection, tasks).await?;
    connection.done();
    Ok(accepted)
}

/// The same for tasks whose last try may have been committed without our knowing: those that are there already are
/// left as they are, also those that have run and ended since.
///
/// # Errors
/// When Postgres is away: try again.
pub async fn submit_again(
    connections: &impl Connections,
    tasks: &[NewTask],
) -> Result<Vec<Accepted>> {
    let mut connection = connections.lend().await?;
    let mut transaction = connection.begin().await?;
    let mut accepted = insert(&mut *transaction, tasks).await?;
    drop_ended(&mut transaction, &mut accepted).await?;
    transaction.commit().await?;
    connection.done();
    Ok(accepted)
}

/// Stores what is new in a batch. Of two submissions with the same key, here or anywhere, one is stored, and the other
/// waits for it and is told of it.
///
/// # Errors
/// As [`submit`]; find out by [`submit_keyed_again`] with the same ids.
pub async fn submit_keyed(connections: &impl Connections, batch: Batch<'_>) -> Result<Submitted> {
    if batch.keyed.is_empty() {
        return Ok(Submitted {
            accepted: submit(connections, batch.tasks).await?,
            known: Vec::new(),
        });
    }
    take(connections, batch, false).await
}

/// The same for a batch whose last try may have been committed without our knowing. A submission that was is then
/// known, with the ids that it has in the batch.
///
/// # Errors
/// When Postgres is away: try again.
pub async fn submit_keyed_again(
    connections: &impl Connections,
    batch: Batch<'_>,
) -> Result<Submitted> {
    take(connections, batch, true).await
}

async fn take(connections: &impl Connections, batch: Batch<'_>, again: bool) -> Result<Submitted> {
    let mut submitted = Submitted::default();
    let mut open: Vec<(usize, &Keyed)> = batch.keyed.iter().enumerate().collect();
    let mut unkeyed = without_key(batch);
    loop {
        let mut connection = connections.lend().await?;
        let accepted = if again {
            let mut transaction = connection.begin().await?;
            let mut accepted = insert_keyed(&mut *transaction, batch, &open, &unkeyed).await?;
            drop_ended(&mut transaction, &mut accepted).await?;
            transaction.commit().await?;
            accepted
        } else {
            insert_keyed(&mut *connection, batch, &open, &unkeyed).await?
        };
        connection.done();
        let new: HashSet<Uuid> = accepted.iter().map(|accepted| accepted.id).collect();
        open.retain(|(_, keyed)| !new.contains(&batch.tasks[keyed.tasks.start].id));
        submitted.accepted.extend(accepted);
        if open.is_empty() {
            return Ok(submitted);
        }
        // After the insert, and in a statement of its own: what the insert waited for is seen.
        let keys: Vec<&str> = open.iter().map(|(_, keyed)| keyed.key.as_str()).collect();
        let stored = keys::find(connections, batch.scope, &keys).await?;
        open.retain(|(index, keyed)| {
            let Some(first) = stored.get(keyed.key.as_str()) else {
                return true;
            };
            submitted.known.push(Known {
                index: *index,
                is_same: first.fingerprint == keyed.fingerprint.as_bytes(),
                task_ids: first.task_ids.clone(),
            });
            false
        });
        if open.is_empty() {
            return Ok(submitted);
        }
        // A key was forgotten in between, a day after its submission: it is new now.
        unkeyed.clear();
    }
}

/// The ids of the tasks that came without a key.
fn without_key(batch: Batch<'_>) -> Vec<Uuid> {
    let mut has_key = vec![false; batch.tasks.len()];
    for keyed in batch.keyed {
        has_key[keyed.tasks.clone()].fill(true);
    }
    let tasks = batch.tasks.iter().zip(has_key);
    tasks
        .filter(|(_, has_key)| !has_key)
        .map(|(task, _)| task.id)
        .collect()
}

/// Takes back what was just inserted and had run and ended before.
async fn drop_ended(connection: &mut PgConnection, accepted: &mut Vec<Accepted>) -> Result<()> {
    let ids: Vec<Uuid> = accepted.iter().map(|accepted| accepted.id).collect();
    // After the insert, and in a statement of its own: a task that ended while the insert waited for it is seen.
    let ended = sqlx::query_scalar!(
        r#"
        with ended as materialized (select id from finished_tasks where id = any ($1))
        delete from tasks where id = any (array(select id from ended)) returning id
        "#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    accepted.retain(|accepted| !ended.contains(&accepted.id));
    Ok(())
}

/// The statement that stores tasks, with what goes before it, and which of the tasks it stores.
macro_rules! insert_tasks {
    ($columns:ident, $before:literal, $which:literal $(, $more:expr)*) => {
        sqlx::query_as!(
            Accepted,
            $before + r#"
        insert into tasks (id, command, argv, executor, simulate, env, stdin, priority, timeout_seconds, max_attempts,
            scheduled_at)
        select x.id, x.command, x.argv, x.executor, x.simulate, x.env, x.stdin, x.priority, x.timeout_seconds,
            x.max_attempts, coalesce(x.scheduled_at, now() + make_interval(secs => x.delay_seconds))
        from unnest($1::uuid[], $2::text[], $3::jsonb[], $4::text[], $5::jsonb[], $6::jsonb[], $7::text[],
            $8::smallint[], $9::integer[], $10::integer[], $11::timestamptz[], $12::bigint[])
            as x(id, command, argv, executor, simulate, env, stdin, priority, timeout_seconds, max_attempts,
                scheduled_at, delay_seconds)
        "# + $which + r#"
        on conflict (id) do nothing
        returning id, created_at, scheduled_at, scheduled_at <= now() as "due!"
        "#,
            &$columns.id,
            &$columns.command as _,
            &$columns.argv as _,
            &$columns.executor as _,
            &$columns.simulate as _,
            &$columns.env as _,
            &$columns.stdin as _,
            &$columns.priority,
            &$columns.timeout_seconds as _,
            &$columns.max_attempts,
            &$columns.scheduled_at as _,
            &$columns.delay_seconds
            $(, $more)*
        )
    };
}

async fn insert(executor: impl PgExecutor<'_>, tasks: &[NewTask]) -> Result<Vec<Accepted>> {
    let columns = Columns::of(tasks);
    let accepted = insert_tasks!(columns, "", "").fetch_all(executor).await?;
    Ok(accepted)
}

/// Stores the tasks of `unkeyed`, and those of the submissions of `open` whose key is new, with their keys.
async fn insert_keyed(
    executor: impl PgExecutor<'_>,
    batch: Batch<'_>,
    open: &[(usize, &Keyed)],
    unkeyed: &[Uuid],
) -> Result<Vec<Accepted>> {
    let columns = Columns::of(batch.tasks);
    let mut keys = KeyColumns::default();
    for (_, keyed) in open {
        keys.push(keyed);
    }
    // In the order of the keys, so that two batches with the same ones never wait for each other in a circle.
    let accepted = insert_tasks!(
        columns,
        r#"
        with fresh as (
            insert into idempotency_keys (scope, key, fingerprint, task_ids)
            select $13, k.key, k.fingerprint, ($1::uuid[])[k.first_task:k.last_task]
            from unnest($14::text[], $15::bytea[], $16::integer[], $17::integer[])
                as k(key, fingerprint, first_task, last_task)
            order by k.key collate "C", k.first_task
            on conflict (scope, key) do nothing
            returning task_ids
        )"#,
        "where x.id = any ($18::uuid[]) or x.id in (select unnest(task_ids) from fresh)",
        batch.scope.as_str(),
        &keys.key as _,
        &keys.fingerprint as _,
        &keys.first_task,
        &keys.last_task,
        unkeyed
    )
    .fetch_all(executor)
    .await?;
    Ok(accepted)
}

/// The keys of a batch, with the places of their tasks counted from 1.
#[derive(Default)]
struct KeyColumns<'a> {
    key: Vec<&'a str>,
    fingerprint: Vec<&'a [u8]>,
    first_task: Vec<i32>,
    last_task: Vec<i32>,
}

impl<'a> KeyColumns<'a> {
    fn push(&mut self, keyed: &'a Keyed) {
        self.key.push(keyed.key.as_str());
        self.fingerprint.push(keyed.fingerprint.as_bytes());
        self.first_task.push(keyed.tasks.start as i32 + 1);
        self.last_task.push(keyed.tasks.end as i32);
    }
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
    fn of(tasks: &'a [NewTask]) -> Self {
        let mut columns = Self::default();
        for task in tasks {
            columns.push(task);
        }
        columns
    }

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
