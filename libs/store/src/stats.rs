//! Counts, exact and in one look.

use crate::{PgPool, Result, acquire};

/// How many tasks are in each status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting for their time or for a slot.
    pub scheduled: i64,
    /// Given to a worker, not started.
    pub assigned: i64,
    /// Running.
    pub running: i64,
    /// Completed and still within the retention.
    pub completed: i64,
    /// Failed and still within the retention.
    pub failed: i64,
    /// Cancelled and still within the retention.
    pub cancelled: i64,
}

/// Counts every task in one statement, so that a task that moves meanwhile is counted once.
///
/// # Errors
/// When Postgres is away.
pub async fn counts(pool: &PgPool) -> Result<Counts> {
    let counts = sqlx::query_as!(
        Counts,
        r#"
        select
            (l.live - h.assigned - h.running) as "scheduled!",
            h.assigned as "assigned!", h.running as "running!",
            f.completed as "completed!", f.failed as "failed!", f.cancelled as "cancelled!"
        from
            (select count(*) filter (where status = 'assigned') as assigned,
                count(*) filter (where status = 'running') as running
             from tasks where picked_at is not null) h,
            (select coalesce(sum(count), 0)::bigint as live from live_counts) l,
            (select coalesce(sum(count) filter (where status = 'completed'), 0)::bigint as completed,
                coalesce(sum(count) filter (where status = 'failed'), 0)::bigint as failed,
                coalesce(sum(count) filter (where status = 'cancelled'), 0)::bigint as cancelled
             from finished_counts) f
        "#
    )
    .fetch_one(&mut *acquire(pool).await?)
    .await?;
    Ok(counts)
}
