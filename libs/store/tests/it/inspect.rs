//! What an installation looks like from outside.

use std::time::Duration;

use taskmaster_core::NewTask;
use taskmaster_store::inspect::{
    Backlog, Schema, Worker, backlog, open_transactions, schema, server, workers,
};
use taskmaster_store::leadership::{Candidate, Office, is_led};
use taskmaster_store::partitions::{self, DAYS_AHEAD, Gaps, gaps};
use taskmaster_store::{Error, PgPool, claim, migrate};

use crate::support::{
    age_heartbeat, assign, claim_all, config, run, run_one, submit_all, task, tasks, worker,
};

const MINUTE: Duration = Duration::from_secs(60);

async fn execute(pool: &PgPool, statement: &'static str) {
    let done = sqlx::query(statement).execute(pool).await.unwrap();
    assert_ne!(done.rows_affected(), 0, "{statement}");
}

#[sqlx::test(migrations = false)]
async fn the_server(pool: PgPool) {
    let seen = server(&pool).await.unwrap();
    assert!(seen.version_number >= 140_000 && !seen.read_only);
    assert!(
        seen.version
            .starts_with(&(seen.version_number / 10_000).to_string())
    );
    assert!((1..seen.connection_limit).contains(&seen.connections));
    sqlx::raw_sql(
        "do $$ begin
            execute format('alter database %I set synchronous_commit = off', current_database());
            execute format('alter database %I set default_transaction_read_only = on', current_database());
        end $$",
    )
    .execute(&pool)
    .await
    .unwrap();
    let fresh = config(&pool, 1).pool().unwrap();
    let seen = server(&fresh).await.unwrap();
    assert_eq!(
        (seen.read_only, seen.synchronous_commit.as_str()),
        (true, "off")
    );
    fresh.close().await;
}

#[sqlx::test(migrations = false)]
async fn what_is_open_for_long(pool: PgPool) {
    let mut reader = pool.begin().await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    let open = open_transactions(&pool, Duration::ZERO).await.unwrap();
    assert_eq!(open.iter().map(|it| it.pid).collect::<Vec<_>>(), [pid]);
    assert_eq!(open_transactions(&pool, MINUTE).await.unwrap(), []);
    reader.rollback().await.unwrap();
    assert_eq!(open_transactions(&pool, Duration::ZERO).await.unwrap(), []);
}

#[sqlx::test(migrations = false)]
async fn a_schema_that_is_not_this_programs(pool: PgPool) {
    let nothing = schema(&pool).await.unwrap();
    assert!(!nothing.pending.is_empty(), "{nothing:?}");
    assert!(matches!(
        backlog(&pool, MINUTE).await.unwrap_err(),
        Error::NotMigrated
    ));
    assert!(matches!(
        gaps(&pool, DAYS_AHEAD).await.unwrap_err(),
        Error::NotMigrated
    ));
    assert_eq!(
        schema(&pool).await.unwrap(),
        nothing,
        "looking makes nothing"
    );

    migrate(&pool).await.unwrap();
    assert_eq!(schema(&pool).await.unwrap(), Schema::default());
    let (first, last) = (nothing.pending[0], *nothing.pending.last().unwrap());
    execute(
        &pool,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (99991231000001, 'from the future', true, '', 0)",
    )
    .await;
    execute(
        &pool,
        "update _sqlx_migrations set checksum = 'x', success = false
         where version = (select min(version) from _sqlx_migrations)",
    )
    .await;
    execute(
        &pool,
        "delete from _sqlx_migrations
         where version = (select max(version) from _sqlx_migrations where description <> 'from the future')",
    )
    .await;
    let expected = Schema {
        pending: vec![last],
        unknown: vec![99_991_231_000_001],
        changed: vec![first],
        unfinished: Some(first),
    };
    assert_eq!(schema(&pool).await.unwrap(), expected);
}

#[sqlx::test(migrations = false)]
async fn partitions_that_are_missing(pool: PgPool) {
    migrate(&pool).await.unwrap();
    assert_eq!(gaps(&pool, DAYS_AHEAD).await.unwrap(), Gaps::default());
    let tomorrow: String = sqlx::query_scalar(
        "select 'attempts_' || to_char((now() at time zone 'UTC')::date + 1, 'YYYYMMDD')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "alter table attempts detach partition {tomorrow}"
    )))
    .execute(&pool)
    .await
    .unwrap();
    execute(
        &pool,
        "insert into attempts (task_id, attempt, lease, scheduled_at, started_at, finished_at, outcome)
         select gen_random_uuid(), 1, 1, now(), now(), now() + interval '1 day', 'failed'",
    )
    .await;
    let seen = gaps(&pool, DAYS_AHEAD).await.unwrap();
    let expected = Gaps {
        missing: vec![tomorrow.clone()],
        in_default: 1,
    };
    assert_eq!(seen, expected, "a table of that name is not enough");
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop table {tomorrow}")))
        .execute(&pool)
        .await
        .unwrap();
    partitions::ensure(&pool, DAYS_AHEAD).await.unwrap();
    assert_eq!(gaps(&pool, DAYS_AHEAD).await.unwrap(), Gaps::default());
}

#[sqlx::test(migrations = false)]
async fn whether_somebody_leads(pool: PgPool) {
    assert!(!is_led(&pool).await.unwrap());
    let candidate = Candidate::connect(&config(&pool, 1), Office::Coordinator)
        .await
        .unwrap();
    let other = Candidate::connect(&config(&pool, 1), Office::Autoscaler)
        .await
        .unwrap();
    let other = other.try_lead().await.unwrap().unwrap();
    assert!(!is_led(&pool).await.unwrap());
    let leadership = candidate.try_lead().await.unwrap().unwrap();
    assert!(is_led(&pool).await.unwrap());
    leadership.resign().await.unwrap();
    other.resign().await.unwrap();
    // The server frees the lock when it has read the goodbye.
    let freed = async { while is_led(&pool).await.unwrap() {} };
    tokio::time::timeout(Duration::from_secs(20), freed)
        .await
        .expect("the lock was never freed");
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn workers_and_what_they_hold(pool: PgPool) {
    let busy = worker(&pool, "busy").await;
    run(&pool, busy, &tasks(2, 1)).await;
    assign(&pool, busy, &tasks(1, 1)).await;
    let gone = worker(&pool, "gone").await;
    run_one(&pool, gone, task("x")).await;
    worker(&pool, "idle-and-offline").await;
    age_heartbeat(&pool, gone, 30).await;
    execute(
        &pool,
        "update workers set status = 'offline' where name in ('gone', 'idle-and-offline')",
    )
    .await;
    let like = |name: &str, status: &str| Worker {
        name: name.to_owned(),
        status: status.to_owned(),
        slots: 4,
        window: 4,
        held: 3,
        running: 2,
        unstarted: 0,
        silent_seconds: 0,
        heartbeat_timeout_seconds: 10,
    };
    let lost = Worker {
        held: 1,
        running: 1,
        silent_seconds: 30,
        ..like("gone", "offline")
    };
    let seen = workers(&pool, MINUTE).await.unwrap();
    assert_eq!(seen, [like("busy", "online"), lost]);

    // Given out more than a minute ago, all three; what runs is none of it.
    execute(
        &pool,
        "update tasks set picked_at = now() - interval '61 s'",
    )
    .await;
    assert_eq!(workers(&pool, MINUTE).await.unwrap()[0].unstarted, 1);
    // It was told to wait.
    execute(
        &pool,
        r#"update tasks set simulate = '{"wait_ms": 5000}' where status = 'assigned'"#,
    )
    .await;
    assert_eq!(workers(&pool, MINUTE).await.unwrap()[0].unstarted, 0);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_waits_and_what_should_have_ended(pool: PgPool) {
    assert_eq!(backlog(&pool, MINUTE).await.unwrap(), Backlog::default());
    let holder = worker(&pool, "w").await;
    let limited = NewTask {
        timeout_seconds: Some(10),
        ..task("limited")
    };
    run(&pool, holder, &[limited, task("unlimited")]).await;
    execute(
        &pool,
        "update tasks set started_at = now() - interval '65 s'",
    )
    .await;
    submit_all(&pool, &tasks(3, 1)).await;
    execute(
        &pool,
        "update tasks set scheduled_at = now() - interval '90 s'
         where id = (select min(id::text)::uuid from tasks where picked_at is null)",
    )
    .await;
    execute(
        &pool,
        "update tasks set scheduled_at = now() + interval '1 h'
         where id = (select max(id::text)::uuid from tasks where picked_at is null)",
    )
    .await;
    let next = claim_all(&pool, holder, 1).await[0];
    claim::release(&pool, vec![next]).await.unwrap();
    let expected = Backlog {
        due: 2,
        overdue: 1,
        longest_seconds: 90,
        next: Some(next.id),
        past_time_limit: 0,
    };
    assert_eq!(backlog(&pool, MINUTE).await.unwrap(), expected);
    execute(
        &pool,
        "update tasks set started_at = now() - interval '75 s' where status = 'running'",
    )
    .await;
    assert_eq!(backlog(&pool, MINUTE).await.unwrap().past_time_limit, 1);
}
