//! The plan of every hot statement, whatever Postgres knows of the tables: nothing at all, something that is no longer
//! so, or the truth. A batch looks its ids up; it never reads the live tasks from end to end.

use sqlx::{Connection, Executor, PgConnection};
use taskmaster_core::TaskLease;
use taskmaster_store::claim::Marks;
use taskmaster_store::{PgPool, claim, finish, output, start, workers};

use crate::explain::{Mode, Plan, plan, plan_carried_out};
use crate::support::{
    assign, completed, failed_for_now, ids, own_pool, run, submit_all, tasks, worker,
};

const BATCH: usize = 500;

/// `count` tasks of which every third is scheduled, assigned, running.
const FILL: &str = "
    insert into tasks (id, command, status, lease, attempt, max_attempts, priority, picked_at, started_at, assigned_worker)
    select gen_random_uuid(), 'echo ' || n, (array['scheduled', 'assigned', 'running'])[n % 3 + 1], 1,
        (n % 3 = 2)::integer, 9, n % 5, case when n % 3 > 0 then now() end, case when n % 3 = 2 then now() end,
        case when n % 3 > 0 then n % 7 end
    from generate_series(1, 20000) n";

/// As many pieces of output.
const FILL_OUTPUT: &str = "
    insert into output (task_id, lease, seq, attempt, stream, data)
    select id, 1, n, 1, 'stdout', 'line' from tasks, generate_series(1, 2) n";

/// The arguments of EXECUTE must not have a subquery in them.
const IDS: &str =
    "create or replace function ids_of_the_test(count integer) returns uuid[] language sql as
    $$ select array_agg(id) from (select id from tasks order by id limit count) x $$";

/// A database in which nobody but the test analyses anything.
async fn unwatched(pool: &PgPool) -> PgConnection {
    taskmaster_store::migrate(pool).await.unwrap();
    worker(pool, "w").await;
    let mut connection = PgConnection::connect_with(&pool.connect_options())
        .await
        .unwrap();
    let today =
        "do $$ begin execute format('alter table output_%s set (autovacuum_enabled = false)',
        to_char(now() at time zone 'UTC', 'YYYYMMDD')); end $$";
    for statement in [
        "alter table tasks set (autovacuum_enabled = false)",
        "alter table output_default set (autovacuum_enabled = false)",
        today,
    ] {
        connection.execute(statement).await.unwrap();
    }
    connection
}

/// The hot statements, from the files that the crate itself is made from, with their arguments for a batch of 500.
fn hot_statements() -> Vec<(&'static str, &'static str, Vec<String>)> {
    let array = |value: &str| format!("array_fill({value}, array[{BATCH}])");
    let ids = || format!("ids_of_the_test({BATCH})");
    let text = |value: &str| array(&format!("'{value}'::text"));
    vec![
        (
            "start",
            include_str!("../../src/start.sql"),
            vec![
                ids(),
                array("1"),
                "1".to_owned(),
                "gen_random_uuid()".to_owned(),
            ],
        ),
        (
            "release",
            include_str!("../../src/release.sql"),
            vec![ids(), array("1")],
        ),
        (
            "hand_back",
            include_str!("../../src/hand_back.sql"),
            vec![ids(), array("1")],
        ),
        (
            "finish",
            include_str!("../../src/finish.sql"),
            vec![
                ids(),
                array("1"),
                text("failed"),
                text("failed"),
                array("3"),
                array("null::integer"),
                text("exit code 3"),
                "1".to_owned(),
            ],
        ),
        (
            "retry_later",
            include_str!("../../src/retry_later.sql"),
            vec![
                ids(),
                array("1"),
                text("failed"),
                array("1.5::float8"),
                array("3"),
                array("null::integer"),
                text("exit code 3"),
            ],
        ),
        (
            "append",
            include_str!("../../src/append.sql"),
            vec![
                ids(),
                array("1"),
                array("7"),
                array("1"),
                text("stdout"),
                array("'line'::bytea"),
            ],
        ),
        (
            "cancel",
            include_str!("../../src/cancel.sql"),
            vec![format!("(ids_of_the_test({BATCH}))[1]")],
        ),
        (
            "claim",
            include_str!("../../src/claim.sql"),
            [&[array("1")], &marks(None)[..]].concat(),
        ),
        (
            "claim",
            include_str!("../../src/claim.sql"),
            [&[array("1")], &marks(Some("now()"))[..]].concat(),
        ),
    ]
}

/// The arguments for marks: none, or one at priority 0 and this time.
fn marks(at: Option<&str>) -> Vec<String> {
    let (priorities, times, ids, above, below) = match at {
        None => ("{}", "'{}'".to_owned(), "'{}'", "{32767}", "{-32768}"),
        Some(at) => (
            "{0}",
            format!("array[{at}]"),
            "array[gen_random_uuid()]",
            "{32767,0}",
            "{0,-32768}",
        ),
    };
    vec![
        format!("'{priorities}'::smallint[]"),
        format!("{times}::timestamptz[]"),
        format!("{ids}::uuid[]"),
        format!("'{above}'::smallint[]"),
        format!("'{below}'::smallint[]"),
    ]
}

async fn assert_nothing_is_scanned(connection: &mut PgConnection) {
    connection.execute(IDS).await.unwrap();
    let output: String =
        sqlx::query_scalar("select 'output_' || to_char(now() at time zone 'UTC', 'YYYYMMDD')")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
    for mode in [Mode::Custom, Mode::Generic, Mode::Kept] {
        for (name, sql, arguments) in hot_statements() {
            let plan = plan(connection, mode, sql, &arguments).await;
            let told = || format!("{name}, {mode:?}: {plan:#?}");
            let scanned = plan.scanned();
            assert!(!scanned.contains(&"tasks"), "{}", told());
            assert!(!scanned.contains(&output.as_str()), "{}", told());
            assert!(plan.uses("tasks_pkey"), "{}", told());
            assert_eq!(plan.uses("tasks_claim"), name == "claim", "{}", told());
            assert_eq!(
                plan.uses(&format!("{output}_pkey")),
                name == "append",
                "{}",
                told()
            );
        }
        let sql = include_str!("../../src/next_due.sql");
        let plan = plan(connection, mode, sql, &marks(None)).await;
        assert!(
            plan.scanned().is_empty() && plan.uses("tasks_claim"),
            "{plan:#?}"
        );
    }
}

#[sqlx::test(migrations = false)]
async fn of_tables_that_were_never_analysed(pool: PgPool) {
    let mut connection = unwatched(&pool).await;
    connection.execute(FILL).await.unwrap();
    connection.execute(FILL_OUTPUT).await.unwrap();
    assert_nothing_is_scanned(&mut connection).await;
}

#[sqlx::test(migrations = false)]
async fn of_tables_that_were_analysed_while_they_were_empty(pool: PgPool) {
    let mut connection = unwatched(&pool).await;
    connection.execute("vacuum analyze").await.unwrap();
    connection.execute(FILL).await.unwrap();
    connection.execute(FILL_OUTPUT).await.unwrap();
    assert_nothing_is_scanned(&mut connection).await;
}

#[sqlx::test(migrations = false)]
async fn of_tables_of_which_nearly_all_was_scheduled(pool: PgPool) {
    let mut connection = unwatched(&pool).await;
    for statement in [
        FILL,
        FILL_OUTPUT,
        "create temporary table held as select id, picked_at, started_at, assigned_worker, status from tasks",
        "update tasks set status = 'scheduled', picked_at = null, started_at = null, assigned_worker = null
         where id not in (select id from held where status <> 'scheduled' order by id limit 50)",
        "vacuum analyze",
    ] {
        connection.execute(statement).await.unwrap();
    }
    assert_nothing_is_scanned(&mut connection).await;
    // And then, all at once, two thirds of them are not.
    connection
        .execute(
            "update tasks t set status = h.status, picked_at = h.picked_at, started_at = h.started_at,
                 assigned_worker = h.assigned_worker
             from held h where h.id = t.id",
        )
        .await
        .unwrap();
    assert_nothing_is_scanned(&mut connection).await;
}

#[sqlx::test(migrations = false)]
async fn of_a_claim_never_read_what_is_not_due(pool: PgPool) {
    let mut connection = unwatched(&pool).await;
    connection
        .execute(
            "insert into tasks (id, command, priority, scheduled_at)
             select gen_random_uuid(), 'x', 100, now() + interval '1 day' from generate_series(1, 20000)",
        )
        .await
        .unwrap();
    submit_all(&pool, &tasks(5, 1)).await;
    let sql = include_str!("../../src/claim.sql");
    for mode in [Mode::Custom, Mode::Generic, Mode::Kept] {
        let mut transaction = connection.begin().await.unwrap();
        let plan: Plan = plan_carried_out(
            &mut transaction,
            mode,
            sql,
            &[&["array_fill(1, array[100])".to_owned()], &marks(None)[..]].concat(),
        )
        .await;
        transaction.rollback().await.unwrap();
        // Each of the two priorities once or twice, and the five that are due.
        let looked_at = plan.looked_at("tasks");
        assert!(
            looked_at > 5.0 && looked_at < 40.0,
            "{looked_at}: {plan:#?}"
        );
    }
    let claimed = claim::claim(&pool, &[1; 100]).await.unwrap();
    assert_eq!(claimed.len(), 5);
}

/// Nothing can be cleaned away that somebody's snapshot may still see: a claim that began at the oldest would read the more, the
/// longer that lasts.
#[sqlx::test(migrations = false)]
async fn of_a_claim_from_a_mark_do_not_walk_what_was_claimed(pool: PgPool) {
    let mut connection = unwatched(&pool).await;
    let holder = worker(&pool, "w").await;
    let mut reader = pool.acquire().await.unwrap();
    let mut snapshot = reader
        .begin_with("begin isolation level repeatable read")
        .await
        .unwrap();
    snapshot
        .execute("select count(*) from tasks")
        .await
        .unwrap();
    for _ in 0..10 {
        let held = run(&pool, holder, &tasks(BATCH, 1)).await;
        let ends = held.into_iter().map(completed).collect();
        finish::finish(&pool, holder.worker_id, ends).await.unwrap();
    }
    let mark: String = sqlx::query_scalar("select format('%L', now())")
        .fetch_one(&pool)
        .await
        .unwrap();
    submit_all(&pool, &tasks(5, 1)).await;
    let sql = include_str!("../../src/claim.sql");
    let mut blocks = Vec::new();
    for at in [None, Some(mark.as_str())] {
        let arguments = [&["array[1, 1]".to_owned()], &marks(at)[..]].concat();
        let mut transaction = connection.begin().await.unwrap();
        let plan = plan_carried_out(&mut transaction, Mode::Custom, sql, &arguments).await;
        transaction.rollback().await.unwrap();
        blocks.push(plan.0[0].blocks);
    }
    assert!(blocks[0] > 5.0 * blocks[1], "{blocks:?}");
    snapshot.rollback().await.unwrap();
}

/// A plan that was made while the table was nearly empty, and kept, would read all of a table that has grown since.
#[sqlx::test(migrations = false)]
async fn of_a_service_are_never_kept(pool: PgPool) {
    taskmaster_store::migrate(&pool).await.unwrap();
    let own = own_pool(&pool, 1);
    let holder = worker(&own, "w").await;
    for _ in 0..8 {
        let held: Vec<TaskLease> = run(&own, holder, &tasks(2, 2)).await;
        let piece = output::NewPiece {
            task: held[0],
            attempt: 1,
            seq: 0,
            stream: output::Stream::Stdout,
            data: b"x".to_vec(),
        };
        output::append(&own, &[piece], &[]).await.unwrap();
        let ends = vec![completed(held[0]), failed_for_now(held[1], 3600)];
        finish::finish(&own, holder.worker_id, ends).await.unwrap();
        let held = assign(&own, holder, &tasks(2, 2)).await;
        claim::release(&own, held.clone()).await.unwrap();
        let held = claim::claim(&own, &[holder.worker_id; 2]).await.unwrap();
        let held: Vec<TaskLease> = held.into_iter().map(|claimed| claimed.task).collect();
        start::start(&own, holder, held.clone()).await.unwrap();
        taskmaster_store::tasks::get_many(&own, &ids(&held))
            .await
            .unwrap();
        claim::next_due_in_ms(&own, &Marks::default())
            .await
            .unwrap();
        workers::available(&own, true).await.unwrap();
        workers::list(&own).await.unwrap();
        workers::request_drain(&own, "w").await.unwrap();
        finish::finish(&own, 0, held.into_iter().map(completed).collect())
            .await
            .unwrap();
    }
    // Those without parameters are kept nevertheless, whatever the setting is: none of them may read tasks.
    let statements: Vec<(String, i64, i64)> =
        sqlx::query_as("select statement, custom_plans, generic_plans from pg_prepared_statements")
            .fetch_all(&own)
            .await
            .unwrap();
    let mut often = 0;
    for (statement, custom, generic) in statements {
        let reads_tasks = statement.contains("tasks");
        assert!(!reads_tasks || generic == 0, "{statement}");
        often += i32::from(reads_tasks && custom >= 8);
    }
    assert!(
        often >= 8,
        "only {often} statements were prepared and used often"
    );
    own.close().await;
}

/// A kept plan is made for no particular batch, and at a time when the tables may have been empty.
#[sqlx::test(migrations = false)]
async fn of_a_kept_connection_look_at_no_more_than_the_batch(pool: PgPool) {
    let mut connection = unwatched(&pool).await;
    connection.execute("vacuum analyze").await.unwrap();
    connection.execute(FILL).await.unwrap();
    connection.execute(IDS).await.unwrap();
    for (name, sql, arguments) in hot_statements() {
        let mut transaction = connection.begin().await.unwrap();
        let plan = plan_carried_out(&mut transaction, Mode::Kept, sql, &arguments).await;
        transaction.rollback().await.unwrap();
        let looked_at = plan.looked_at("tasks");
        assert!(
            looked_at <= 4.0 * BATCH as f64,
            "{name}: {looked_at}: {plan:#?}"
        );
    }
}
