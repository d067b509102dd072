//! The rescue: what a lost worker held goes back, by the task's own policy.

use std::time::Duration;

use taskmaster_core::{Lease, Outcome, RetryPolicy, TaskLease, TaskStatus, verdict};
use uuid::Uuid;

use crate::finish::{Ended, Finish};
use crate::{PgPool, Result, acquire, claim, finish};

/// How many tasks one pass takes on.
const BATCH: i64 = 1000;

/// Which workers' tasks are to be rescued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of<'a> {
    /// Those of every worker that is offline.
    OfflineWorkers,
    /// Those that run at this worker: its own, at the start of a new incarnation, before it starts any.
    EarlierIncarnation(i32),
    /// These, which Postgres says run at this worker, while it knows that they do not: it stopped them when it could
    /// not be reached for too long, or their end was refused.
    Forgotten(i32, &'a [TaskLease]),
}

/// Marks workers offline whose last heartbeat is older than their time-out; returns their names.
///
/// # Errors
/// When Postgres is away.
pub async fn mark_offline(pool: &PgPool) -> Result<Vec<String>> {
    let names = sqlx::query_scalar!(
        r#"
        update workers set status = 'offline'
        where status <> 'offline' and last_active_at < now() - make_interval(secs => heartbeat_timeout_seconds)
        returning name
        "#
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    Ok(names)
}

/// Rescues what lost workers held: what had not started is released, what ran has lost an attempt and is tried
/// again if it has one left. Each is guarded by its lease: a worker that was only thought lost and finishes first wins.
/// Returns what was moved.
///
/// # Errors
/// When Postgres is away.
pub async fn rescue(pool: &PgPool, of: Of<'_>, policy: RetryPolicy) -> Result<Vec<Ended>> {
    let mut moved = Vec::new();
    loop {
        let held = held(pool, of).await?;
        if held.is_empty() {
            return Ok(moved);
        }
        let before = moved.len();
        let (running, assigned): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| held.running);
        let released =
            claim::release(pool, assigned.iter().map(|held| held.task).collect()).await?;
        moved.extend(released.into_iter().map(|id| Ended {
            id,
            status: TaskStatus::Scheduled,
        }));
        if !running.is_empty() {
            let ends = running.into_iter().map(|held| held.lost(policy)).collect();
            moved.extend(finish::finish(pool, 0, ends).await?);
        }
        if moved.len() == before {
            // Everything was finished by its worker in between; the next pass of the caller will look again.
            return Ok(moved);
        }
    }
}

struct Held {
    task: TaskLease,
    running: bool,
    attempt: i32,
    max_attempts: i32,
    worker_name: String,
}

impl Held {
    fn lost(self, policy: RetryPolicy) -> Finish {
        Finish {
            task: self.task,
            outcome: Outcome::Lost,
            verdict: verdict(
                Outcome::Lost,
                self.attempt,
                self.max_attempts,
                policy,
                rand::random(),
            ),
            exit_code: None,
            signal: None,
            error_message: Some(format!(
                "worker {} was lost while it ran the command",
                self.worker_name
            )),
        }
    }
}

async fn held(pool: &PgPool, of: Of<'_>) -> Result<Vec<Held>> {
    let (worker_id, claims) = match of {
        Of::OfflineWorkers => (None, None),
        Of::EarlierIncarnation(id) => (Some(id), None),
        Of::Forgotten(id, claims) => (Some(id), Some(claims)),
    };
    let (ids, leases): (Option<Vec<Uuid>>, Option<Vec<Lease>>) = claims
        .map(|claims| claims.iter().map(|claim| (claim.id, claim.lease)).unzip())
        .unzip();
    let rows = sqlx::query!(
        r#"
        select t.id as "id!", t.lease as "lease!", t.status = 'running' as "running!",
            t.attempt as "attempt!", t.max_attempts as "max_attempts!", w.name as "name!"
        from workers w
        join tasks t on t.assigned_worker = w.id and t.picked_at is not null
        where ($1::integer is null and w.status = 'offline')
           or (w.id = $1 and t.status = 'running' and ($2::uuid[] is null
               or (t.id, t.lease) in (select * from unnest($2::uuid[], $3::integer[]))))
        order by t.id
        limit $4
        "#,
        worker_id,
        ids.as_deref(),
        leases.as_deref(),
        BATCH
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Held {
            task: TaskLease {
                id: row.id,
                lease: row.lease,
            },
            running: row.running,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            worker_name: row.name,
        })
        .collect())
}

/// The tasks that have run for longer than their time limit plus `grace` and whose worker has not ended them:
/// it heartbeats, but hangs. They are ended as timed out.
///
/// # Errors
/// When Postgres is away.
pub async fn end_overdue(
    pool: &PgPool,
    grace: Duration,
    policy: RetryPolicy,
) -> Result<Vec<Ended>> {
    let rows = sqlx::query!(
        r#"
        select t.id, t.lease, t.attempt, t.max_attempts, t.timeout_seconds as "timeout_seconds!"
        from tasks t
        where t.picked_at is not null and t.status = 'running'
          and t.started_at < now() - make_interval(secs => t.timeout_seconds + $1::float8)
        order by t.id
        limit $2
        "#,
        grace.as_secs_f64(),
        BATCH
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ends = rows
        .into_iter()
        .map(|row| Finish {
            task: TaskLease {
                id: row.id,
                lease: row.lease,
            },
            outcome: Outcome::TimedOut,
            verdict: verdict(
                Outcome::TimedOut,
                row.attempt,
                row.max_attempts,
                policy,
                rand::random(),
            ),
            exit_code: None,
            signal: None,
            error_message: Some(format!(
                "ran longer than its time limit of {} s, and its worker did not stop it",
                row.timeout_seconds
            )),
        })
        .collect();
    finish::finish(pool, 0, ends).await
}
