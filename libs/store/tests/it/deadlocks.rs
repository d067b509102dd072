//! Batches over the same tasks, each given in an order of its own, at the same time: none is ever the victim of a
//! deadlock, and nothing is left in two places.

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use taskmaster_core::{RetryPolicy, TaskLease};
use taskmaster_store::rescue::{Of, rescue};
use taskmaster_store::start::Holder;
use taskmaster_store::{PgPool, Result, cancel, claim, finish, start};
use uuid::Uuid;

use crate::support::{
    assert_counts_are_exact, completed, failed, failed_for_now, submit_all, tasks, worker,
};

const ROUNDS: usize = 60;
const AT_ONCE: usize = 12;
const TASKS: usize = 300;

/// One batch over most of `all`, shuffled.
async fn something(pool: &PgPool, holder: Holder, all: &[TaskLease], seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut some = all.to_vec();
    some.shuffle(&mut random);
    some.truncate(random.random_range(1..=all.len()));
    match random.random_range(0..9) {
        0 => drop(claim::claim(pool, &vec![holder.worker_id; some.len()]).await?),
        1 | 2 => drop(start::start(pool, holder, some).await?),
        3 => drop(claim::release(pool, some).await?),
        4 => drop(finish::hand_back(pool, some).await?),
        5 => {
            let mut ends = Vec::new();
            for task in some {
                ends.push(match random.random_range(0..300) {
                    0 => completed(task),
                    1 => failed(task),
                    _ => failed_for_now(task, 0),
                });
            }
            drop(finish::finish(pool, holder.worker_id, ends).await?);
        }
        6 => drop(rescue(pool, Of::EarlierIncarnation(holder.worker_id), NOW).await?),
        7 => {
            for task in &some[..some.len().min(3)] {
                cancel::cancel(pool, task.id).await?;
            }
        }
        _ => {
            for task in &some[..some.len().min(3)] {
                cancel::retry(pool, task.id).await?;
            }
        }
    }
    Ok(())
}

const NOW: RetryPolicy = RetryPolicy {
    base: std::time::Duration::ZERO,
    cap: std::time::Duration::ZERO,
};

async fn leases(pool: &PgPool) -> Vec<TaskLease> {
    let rows: Vec<(Uuid, i32)> = sqlx::query_as("select id, lease from all_tasks")
        .fetch_all(pool)
        .await
        .unwrap();
    rows.into_iter()
        .map(|(id, lease)| TaskLease { id, lease })
        .collect()
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn never(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = options
        .max_connections(AT_ONCE as u32)
        .connect_with(connect)
        .await
        .unwrap();
    let holder = worker(&pool, "w").await;
    submit_all(&pool, &tasks(TASKS, 100)).await;
    for round in 0..ROUNDS {
        let all = leases(&pool).await;
        assert_eq!(all.len(), TASKS);
        let batches =
            (0..AT_ONCE).map(|i| something(&pool, holder, &all, (round * AT_ONCE + i) as u64));
        for outcome in join_all(batches).await {
            // A deadlock would be an error here.
            outcome.unwrap();
        }
    }
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}
