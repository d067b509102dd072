//! What the autoscaler sees of the work and of the workers.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use taskmaster_core::autoscale::{Autoscaler, Demand, Observation, RunTime, Settings};
use taskmaster_core::{NewTask, When};
use taskmaster_store::autoscaler::observe;
use taskmaster_store::{PgPool, finish, submit, workers};
use uuid::Uuid;

use crate::explain::{Mode, plan};
use crate::support::{assign, completed, run, submit_all, task, tasks, worker};

async fn execute(pool: &PgPool, statement: &'static str) {
    let done = sqlx::query(statement).execute(pool).await.unwrap();
    assert_ne!(done.rows_affected(), 0, "{statement}");
}

/// Gives every run that ended this duration.
async fn ended_runs_took(pool: &PgPool, seconds: i32) {
    sqlx::query("update finished_tasks set started_at = finished_at - make_interval(secs => $1)")
        .bind(f64::from(seconds))
        .execute(pool)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn nothing_is_seen_where_nothing_is(pool: PgPool) {
    let seen = observe(&pool, 3, 60).await.unwrap();
    let expected = Observation {
        at: seen.at,
        desired: 3,
        online: 0,
        draining: 0,
        busy: 0,
        slots: 1.0,
        due: 0,
        due_soon: 0,
        running: 0,
        held: 0,
        run_seconds: None,
        running_seconds: None,
        longest_run_seconds: 0.0,
        arrivals_per_second: 0.0,
        idle_first: true,
        last_scale_up_at: None,
        last_scale_down_at: None,
    };
    assert_eq!(seen, expected);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn the_work_and_the_workers(pool: PgPool) {
    let busy = worker(&pool, "busy").await;
    let gone = worker(&pool, "gone").await;
    worker(&pool, "idle").await;
    let leaving = worker(&pool, "told to drain").await;
    let ended = run(&pool, busy, &tasks(2, 1)).await;
    finish::finish(
        &pool,
        busy.worker_id,
        ended.into_iter().map(completed).collect(),
    )
    .await
    .unwrap();
    // Of two runs that ended, one was never started; the other took three seconds.
    execute(
        &pool,
        "update finished_tasks set started_at = finished_at - interval '3 s'
         where id = (select min(id::text)::uuid from finished_tasks)",
    )
    .await;
    execute(
        &pool,
        "update finished_tasks set started_at = null, status = 'cancelled', outcome = 'cancelled'
         where id = (select max(id::text)::uuid from finished_tasks)",
    )
    .await;
    // As many as are looked at have come in later, and were never started.
    execute(
        &pool,
        "insert into finished_tasks (id, command, executor, priority, status, outcome, lease, attempt,
             max_attempts, created_at, scheduled_at, finished_at)
         select ('ffffffff-ffff-7fff-8fff-' || lpad(n::text, 12, '0'))::uuid, 'x', 'process', 0, 'cancelled',
             'cancelled', 1, 1, 1, now(), now(), now()
         from generate_series(1, 200) n",
    )
    .await;
    run(&pool, busy, &tasks(4, 1)).await;
    execute(
        &pool,
        "update tasks set started_at = now() - interval '61 s'
         where id = (select min(id::text)::uuid from tasks where status = 'running')",
    )
    .await;
    // What drains with its worker is held by nobody who stays.
    run(&pool, leaving, &tasks(1, 1)).await;
    execute(
        &pool,
        "update tasks set started_at = now() - interval '62 s'
         where id = (select max(id::text)::uuid from tasks where status = 'running')",
    )
    .await;
    workers::request_drain(&pool, "told to drain")
        .await
        .unwrap();
    run(&pool, gone, &tasks(1, 1)).await;
    execute(
        &pool,
        "update workers set status = 'offline', slots = 4 where name = 'gone'",
    )
    .await;
    execute(
        &pool,
        "update workers set slots = 2, claim_window = 2 where name = 'idle'",
    )
    .await;
    assign(&pool, busy, &tasks(1, 1)).await;
    let later = |seconds| NewTask {
        when: When::AfterSeconds(seconds),
        ..task("later")
    };
    let low = NewTask {
        priority: -7,
        ..task("low")
    };
    submit_all(&pool, &tasks(4, 1)).await;
    submit_all(&pool, &[low, later(30), later(59), later(61), later(3600)]).await;

    let seen = observe(&pool, 2, 60).await.unwrap();
    assert_eq!((seen.online, seen.draining, seen.busy), (2, 1, 1));
    assert_eq!(seen.slots, 3.0);
    assert_eq!((seen.due, seen.due_soon), (5, 2));
    assert_eq!((seen.running, seen.held), (5, 1));
    assert_eq!(seen.run_seconds, Some(3.0));
    let median = seen.running_seconds.unwrap();
    assert!((0.0..60.0).contains(&median), "{median}");
    assert!(
        (62.0..120.0).contains(&seen.longest_run_seconds),
        "{seen:?}"
    );
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn one_long_run_among_short_ones_is_not_taken_for_all(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    run(&pool, holder, &tasks(1, 1)).await;
    execute(
        &pool,
        "update tasks set started_at = now() - interval '600 s'",
    )
    .await;
    let ended = run(&pool, holder, &tasks(3, 1)).await;
    let ended = ended.into_iter().map(completed).collect();
    finish::finish(&pool, holder.worker_id, ended)
        .await
        .unwrap();
    ended_runs_took(&pool, 1).await;
    submit_all(&pool, &tasks(10, 1)).await;
    let seen = observe(&pool, 1, 60).await.unwrap();
    assert_eq!((seen.run_seconds, seen.running_seconds), (Some(1.0), None));
    let demand = Demand::of(&Settings::default(), &seen);
    assert_eq!((demand.run, demand.workers), (RunTime::Measured(1.0), 1));

    // Nothing that began after it has ended: runs have got longer.
    ended_runs_took(&pool, 700).await;
    let seen = observe(&pool, 1, 60).await.unwrap();
    assert!(seen.running_seconds >= Some(600.0), "{seen:?}");
}

/// An id as a submission has it that came in `seconds` ago.
fn id_of(now: DateTime<Utc>, seconds: i64) -> Uuid {
    let ms = (now - TimeDelta::seconds(seconds)).timestamp_millis();
    let rest = Uuid::now_v7().as_u128() & ((1 << 80) - 1);
    Uuid::from_u128(u128::try_from(ms).unwrap() << 80 | rest)
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_comes_in_is_counted_whether_it_waits_or_has_ended(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let now = observe(&pool, 1, 60).await.unwrap().at;
    // Four in each piece of ten seconds, and two minutes ago a hundred.
    for seconds in [5, 15, 25, 35, 45, 55] {
        let at = |count| -> Vec<NewTask> {
            let ids = (0..count).map(|_| id_of(now, seconds));
            ids.map(|id| NewTask { id, ..task("x") }).collect()
        };
        let ended = run(&pool, holder, &at(2)).await;
        let ended = ended.into_iter().map(completed).collect();
        finish::finish(&pool, holder.worker_id, ended)
            .await
            .unwrap();
        assign(&pool, holder, &at(2)).await;
    }
    let old: Vec<NewTask> = (0..100)
        .map(|_| NewTask {
            id: id_of(now, 120),
            ..task("old")
        })
        .collect();
    submit::submit(&pool, &old).await.unwrap();
    // By its id it came in now; it is for tomorrow.
    let tomorrow = NewTask {
        when: When::AfterSeconds(86_400),
        ..task("tomorrow")
    };
    submit_all(&pool, &[tomorrow]).await;
    let seen = observe(&pool, 1, 60).await.unwrap();
    let rate = seen.arrivals_per_second;
    assert!(
        (0.3..=0.4).contains(&rate),
        "{rate}: the clock goes on meanwhile"
    );
}

#[sqlx::test(migrations = false)]
async fn looking_reads_no_table_of_tasks_from_end_to_end(pool: PgPool) {
    taskmaster_store::migrate(&pool).await.unwrap();
    let mut connection = PgConnection::connect_with(&pool.connect_options())
        .await
        .unwrap();
    let today: String = sqlx::query_scalar(
        "select 'finished_tasks_' || to_char(now() at time zone 'UTC', 'YYYYMMDD')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let unwatched = format!(
        "alter table tasks set (autovacuum_enabled = false);
         alter table {today} set (autovacuum_enabled = false)"
    );
    sqlx::raw_sql(AssertSqlSafe(unwatched))
        .execute(&mut connection)
        .await
        .unwrap();
    for (name, before) in [
        ("never analysed", ""),
        ("analysed while empty", "vacuum analyze"),
    ] {
        if !before.is_empty() {
            connection
                .execute("truncate tasks, finished_tasks")
                .await
                .unwrap();
            connection.execute(before).await.unwrap();
        }
        for fill in [
            "insert into tasks (id, command, priority) select gen_random_uuid(), 'x', n % 5
             from generate_series(1, 20000) n",
            "insert into tasks (id, command, status, picked_at, assigned_worker)
             select gen_random_uuid(), 'x', 'assigned', now(), n % 7 from generate_series(1, 2000) n",
            "insert into finished_tasks (id, command, executor, priority, status, outcome, lease, attempt,
                 max_attempts, created_at, scheduled_at, started_at, finished_at)
             select gen_random_uuid(), 'x', 'process', 0, 'completed', 'completed', 1, 1, 1, now(), now(), now(), now()
             from generate_series(1, 20000)",
        ] {
            connection.execute(fill).await.unwrap();
        }
        for mode in [Mode::Custom, Mode::Generic] {
            let sql = include_str!("../../src/observe.sql");
            let plan = plan(&mut connection, mode, sql, &["60::float8".to_owned()]).await;
            let scanned = plan.scanned();
            let told = || format!("{name}, {mode:?}: {plan:#?}");
            assert!(!scanned.contains(&"tasks"), "{}", told());
            assert!(!scanned.contains(&today.as_str()), "{}", told());
            for index in [
                "tasks_claim",
                "tasks_held",
                "tasks_pkey",
                &format!("{today}_pkey"),
            ] {
                assert!(plan.uses(index), "{index}: {}", told());
            }
        }
    }
}

/// What `core` decides of what was really seen.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_burst_asks_for_more_workers(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let ended = run(&pool, holder, &tasks(4, 1)).await;
    finish::finish(
        &pool,
        holder.worker_id,
        ended.into_iter().map(completed).collect(),
    )
    .await
    .unwrap();
    ended_runs_took(&pool, 1).await;
    submit_all(&pool, &tasks(2000, 1)).await;
    let seen = observe(&pool, 1, 60).await.unwrap();
    let settings = Settings {
        enabled: true,
        ..Settings::default()
    };
    let decision = Autoscaler::default().decide(&settings, &seen);
    assert_eq!((decision.from, decision.to), (1, 5));
    let reason = decision.reason.to_string();
    assert!(reason.starts_with("2000 tasks wait"), "{reason}");
    assert!(reason.contains("at 1.0 s each"), "{reason}");
    assert!(reason.ends_with("at most 4 more at a time"), "{reason}");
}
