//! The daily partitions. Each test begins as if nobody had ever made one.

use futures_util::future::join_all;
use taskmaster_store::partitions::{DAYS_AHEAD, drop_older_than, ensure};
use taskmaster_store::{PgPool, finish, stats};

use crate::support::{assert_counts_are_exact, completed, get, run, run_one, task, tasks, worker};

/// Yesterday, today, and the days ahead, for each of the three tables.
const MADE: usize = (DAYS_AHEAD as usize + 2) * 3;

/// A task that completed `days` days ago (before 0: ahead), with its count, an attempt and a piece of output.
async fn finished_ago(pool: &PgPool, days: i32) {
    for statement in [
        "insert into finished_tasks (id, command, executor, priority, status, outcome, lease, attempt, max_attempts,
            created_at, scheduled_at, started_at, finished_at)
         select gen_random_uuid(), 'x', 'process', 0, 'completed', 'completed', 1, 1, 1,
            d, d, d, d from (select now() - make_interval(days => $1) as d) x",
        "insert into attempts (task_id, attempt, lease, scheduled_at, started_at, finished_at, outcome)
         select gen_random_uuid(), 1, 1, d, d, d, 'failed' from (select now() - make_interval(days => $1) as d) x",
        "insert into output (task_id, lease, seq, attempt, stream, data, written_at)
         select gen_random_uuid(), 1, 0, 1, 'stdout', 'x', now() - make_interval(days => $1)",
        "insert into finished_counts (day, worker_id, status, count)
         values ((now() at time zone 'UTC')::date - $1, 0, 'completed', 1)
         on conflict (day, worker_id, status) do update set count = finished_counts.count + 1",
    ] {
        sqlx::query(statement).bind(days).execute(pool).await.unwrap();
    }
}

/// How many rows the three tables have, and how many of those are in a default partition.
async fn rows(pool: &PgPool) -> (i64, i64) {
    sqlx::query_as(
        "select count(*), count(*) filter (where part::text like '%_default')
         from (select tableoid::regclass as part from finished_tasks
               union all select tableoid::regclass from attempts
               union all select tableoid::regclass from output) x",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn made_once(pool: PgPool) {
    assert_eq!(ensure(&pool, DAYS_AHEAD).await.unwrap(), MADE);
    assert_eq!(ensure(&pool, DAYS_AHEAD).await.unwrap(), 0);
    assert_eq!(ensure(&pool, DAYS_AHEAD + 1).await.unwrap(), 3);
    // They are used: what ends now is in none of the defaults.
    let holder = worker(&pool, "w").await;
    let lease = run_one(&pool, holder, task("x")).await;
    finish::finish(&pool, holder.worker_id, vec![completed(lease)])
        .await
        .unwrap();
    assert_eq!(rows(&pool).await, (1, 0));
    for days in [-15, 1] {
        finished_ago(&pool, days).await;
    }
    assert_eq!(rows(&pool).await, (7, 0));
    // And they have what the tables have: constraints, keys, indexes.
    let differing: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where c.relkind = 'r' and (
             (select count(*) from pg_index x where x.indrelid = i.inhrelid)
                 <> (select count(*) from pg_index x where x.indrelid = i.inhparent)
             or (select count(*) from pg_constraint x where x.conrelid = i.inhrelid)
                 <> (select count(*) from pg_constraint x where x.conrelid = i.inhparent))",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(differing.is_empty(), "{differing:?}");
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn by_several_at_once(pool: PgPool) {
    let made = join_all((0..4).map(|_| ensure(&pool, DAYS_AHEAD))).await;
    let made: usize = made.into_iter().map(Result::unwrap).sum();
    assert_eq!(made, MADE);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_came_before_its_partition_moves_there(pool: PgPool) {
    // Nobody has made partitions for weeks.
    for days in [0, 0, 5, 40, -3] {
        finished_ago(&pool, days).await;
    }
    assert_eq!(rows(&pool).await, (15, 15));
    // 5 and 40 days ago have partitions of their own now, for the retention to drop.
    assert_eq!(ensure(&pool, DAYS_AHEAD).await.unwrap(), MADE + 6);
    assert_eq!(rows(&pool).await, (15, 0));
    assert_eq!(ensure(&pool, DAYS_AHEAD).await.unwrap(), 0);
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn while_tasks_end(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let held = run(&pool, holder, &tasks(60, 1)).await;
    let ends = async {
        for task in &held {
            // A row that was on its way to the default partition is refused once: the worker tries again.
            loop {
                match finish::finish(&pool, holder.worker_id, vec![completed(*task)]).await {
                    Ok(ended) => break assert_eq!(ended.len(), 1),
                    Err(error) => assert!(error.is_unavailable(), "{error}"),
                }
            }
        }
    };
    let (made, ()) = tokio::join!(ensure(&pool, DAYS_AHEAD), ends);
    assert_eq!(made.unwrap(), MADE);
    assert_eq!(rows(&pool).await, (60, 0));
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_what_is_past_the_retention_goes(pool: PgPool) {
    for days in [31, 30, 29, 400, 0] {
        finished_ago(&pool, days).await;
    }
    ensure(&pool, DAYS_AHEAD).await.unwrap();
    assert_eq!(stats::counts(&pool).await.unwrap().completed, 5);
    assert_eq!(drop_older_than(&pool, 30).await.unwrap(), 6);
    assert_eq!(rows(&pool).await, (9, 0));
    assert_eq!(stats::counts(&pool).await.unwrap().completed, 3);
    assert_counts_are_exact(&pool).await;
    assert_eq!(drop_older_than(&pool, 30).await.unwrap(), 0);
    assert_eq!(drop_older_than(&pool, 29).await.unwrap(), 3);
    assert_eq!(rows(&pool).await, (6, 0));
    assert_counts_are_exact(&pool).await;
    // Today and the days ahead stay, whatever is asked for.
    assert_eq!(drop_older_than(&pool, 0).await.unwrap(), 6);
    assert_eq!(rows(&pool).await, (3, 0));
    assert_eq!(ensure(&pool, DAYS_AHEAD).await.unwrap(), 3);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn who_reads_for_long_is_not_waited_for(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let lease = run_one(&pool, holder, task("x")).await;
    finish::finish(&pool, holder.worker_id, vec![completed(lease)])
        .await
        .unwrap();
    // Such as a backup.
    let mut reader = pool.begin().await.unwrap();
    sqlx::query("select count(*) from all_tasks")
        .execute(&mut *reader)
        .await
        .unwrap();
    let error = ensure(&pool, DAYS_AHEAD).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    get(&pool, lease.id).await;
    reader.rollback().await.unwrap();
    assert_eq!(ensure(&pool, DAYS_AHEAD).await.unwrap(), MADE);
}
