//! The audit: what was begun, what was done of it, and what nobody carries out any more.

use serde_json::json;
use sqlx::{Connection, PgConnection};
use taskmaster_store::PgPool;
use taskmaster_store::audit::{
    self, Entry, KEPT_DAYS, New, NewStep, Outcome, SILENCE_SECONDS, adopt, append, decided, finish,
    get, list, release,
};
use uuid::Uuid;

use crate::explain::{Mode, plan};
use crate::support::own_pool;

const NOTHING: [Uuid; 0] = [];

async fn begin(pool: &PgPool, fleet: &str) -> Uuid {
    let id = Uuid::now_v7();
    let new = New {
        id,
        caller: "local operator",
        action: "fleet.scale",
        fleet,
        request: &json!({"count": 3}),
        reason: None,
    };
    audit::begin(pool, &new).await.unwrap();
    id
}

fn step(name: &str, kind: &str) -> NewStep {
    NewStep {
        name: name.to_owned(),
        kind: kind.to_owned(),
        reason: (kind == "failed").then(|| "no room".to_owned()),
    }
}

async fn read(pool: &PgPool, id: Uuid) -> Entry {
    get(pool, id).await.unwrap().unwrap()
}

async fn kinds(pool: &PgPool, id: Uuid) -> Vec<String> {
    let steps = read(pool, id).await.steps.0;
    steps.into_iter().map(|step| step.kind).collect()
}

async fn make_older(pool: &PgPool, id: Uuid, column: &str, age: &str) {
    let statement = format!("update audit set {column} = now() - $2::interval where id = $1");
    let done = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(id)
        .bind(age)
        .execute(pool);
    assert_eq!(done.await.unwrap().rows_affected(), 1);
}

async fn adopted(pool: &PgPool, fleet: &str) -> Vec<Uuid> {
    let entries = adopt(pool, fleet).await.unwrap();
    entries.into_iter().map(|entry| entry.id).collect()
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn an_operation_from_its_beginning_to_its_end(pool: PgPool) {
    let id = begin(&pool, "processes").await;
    let begun = read(&pool, id).await;
    assert_eq!(
        (&*begun.caller, &*begun.action, &*begun.fleet),
        ("local operator", "fleet.scale", "processes")
    );
    assert_eq!(begun.request, json!({"count": 3}));
    assert_eq!((begun.finished_at, begun.outcome), (None, None));
    assert!(begun.steps.is_empty());

    append(
        &pool,
        id,
        0,
        &[step("w-1", "created"), step("w-1", "failed")],
    )
    .await
    .unwrap();
    append(&pool, id, 2, &[]).await.unwrap();
    append(&pool, id, 2, &[step("w-2", "draining")])
        .await
        .unwrap();
    let steps = read(&pool, id).await.steps.0;
    let seen: Vec<_> = steps
        .iter()
        .map(|step| (&*step.name, &*step.kind, step.reason.as_deref()))
        .collect();
    let expected = [
        ("w-1", "created", None),
        ("w-1", "failed", Some("no room")),
        ("w-2", "draining", None),
    ];
    assert_eq!(seen, expected);
    assert!(steps.is_sorted_by_key(|step| step.at));
    assert!(steps[0].at >= begun.at);

    finish(&pool, id, Outcome::Partial, Some("w-1: no room"))
        .await
        .unwrap();
    let ended = read(&pool, id).await;
    assert_eq!(ended.outcome.as_deref(), Some("partial"));
    assert_eq!(ended.error.as_deref(), Some("w-1: no room"));
    assert!(ended.finished_at.unwrap() > begun.at);
    assert!(get(&pool, Uuid::now_v7()).await.unwrap().is_none());
}

/// An answer that was lost is no reason to write the same down twice, and what is over is over.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn nothing_is_written_down_twice_or_after_the_end(pool: PgPool) {
    let id = begin(&pool, "processes").await;
    let [created, started] = [step("w-1", "created"), step("w-1", "started")];
    let first = [created.clone(), started.clone()];
    for _ in 0..2 {
        append(&pool, id, 0, &first).await.unwrap();
    }
    assert_eq!(kinds(&pool, id).await, ["created", "started"]);
    finish(&pool, id, Outcome::Done, None).await.unwrap();
    let ended = read(&pool, id).await;
    append(&pool, id, 2, &[step("w-1", "draining")])
        .await
        .unwrap();
    decided(&pool, id).await.unwrap();
    finish(&pool, id, Outcome::Failed, Some("late"))
        .await
        .unwrap();
    release(&pool, id).await.unwrap();
    assert_eq!(kinds(&pool, id).await, ["created", "started"]);
    let after = read(&pool, id).await;
    assert_eq!(after.outcome.as_deref(), Some("done"));
    assert_eq!((after.finished_at, after.error), (ended.finished_at, None));
    assert_eq!(after.decided_at, None);
    assert_eq!(adopted(&pool, "processes").await, NOTHING);
}

/// The first answer was lost, and more was done before it is said again.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_follows_a_lost_answer_is_written_down(pool: PgPool) {
    let id = begin(&pool, "processes").await;
    let [a, b, c] = ["created", "started", "draining"].map(|kind| step("w-1", kind));
    append(&pool, id, 0, std::slice::from_ref(&a))
        .await
        .unwrap();
    append(&pool, id, 0, &[a, b]).await.unwrap();
    append(&pool, id, 2, &[c]).await.unwrap();
    assert_eq!(kinds(&pool, id).await, ["created", "started", "draining"]);
    // Nor does whoever carries it out look silent.
    make_older(
        &pool,
        id,
        "touched_at",
        &format!("{SILENCE_SECONDS} seconds"),
    )
    .await;
    append(&pool, id, 2, &[]).await.unwrap();
    assert_eq!(adopted(&pool, "processes").await, NOTHING);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn when_all_was_decided_is_written_down_once(pool: PgPool) {
    let id = begin(&pool, "processes").await;
    assert_eq!(read(&pool, id).await.decided_at, None);
    decided(&pool, id).await.unwrap();
    let first = read(&pool, id).await;
    assert!(first.decided_at.unwrap() >= first.at);
    decided(&pool, id).await.unwrap();
    assert_eq!(read(&pool, id).await.decided_at, first.decided_at);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_nobody_carries_out_is_taken_over_once(pool: PgPool) {
    let silent = begin(&pool, "docker").await;
    let touched = begin(&pool, "docker").await;
    let released = begin(&pool, "docker").await;
    let over = begin(&pool, "docker").await;
    let of_others = begin(&pool, "swarm").await;
    assert_eq!(adopted(&pool, "docker").await, NOTHING);

    let age = format!("{SILENCE_SECONDS} seconds");
    append(&pool, touched, 0, &[step("w-1", "draining")])
        .await
        .unwrap();
    for id in [silent, touched, over, of_others] {
        make_older(&pool, id, "touched_at", &age).await;
    }
    // Nothing new, but alive.
    append(&pool, touched, 1, &[]).await.unwrap();
    finish(&pool, over, Outcome::Done, None).await.unwrap();
    release(&pool, released).await.unwrap();
    // Of two at once, each gets what the other does not.
    let (one, other) = tokio::join!(adopted(&pool, "docker"), adopted(&pool, "docker"));
    let mut both = [one, other].concat();
    both.sort_unstable();
    assert_eq!(both, [silent, released]);
    assert_eq!(adopted(&pool, "docker").await, NOTHING);
    assert_eq!(adopted(&pool, "swarm").await, [of_others]);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn the_second_of_two_who_take_over_at_once_gets_nothing(pool: PgPool) {
    let id = begin(&pool, "docker").await;
    release(&pool, id).await.unwrap();
    // The first one has the row, and has not committed.
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("update audit set touched_at = now()")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let second = tokio::spawn({
        let pool = pool.clone();
        async move { adopted(&pool, "docker").await }
    });
    taskmaster_testkit::until_waiting(&pool, 1).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), NOTHING);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn pages_are_whole_and_newest_first(pool: PgPool) {
    let mut all = Vec::new();
    for _ in 0..5 {
        all.insert(0, begin(&pool, "processes").await);
    }
    let mut read = Vec::new();
    for expected in [2, 2, 1, 0] {
        let page = list(&pool, read.last().copied(), 2).await.unwrap();
        assert_eq!(page.len(), expected);
        read.extend(page.into_iter().map(|entry| entry.id));
    }
    assert_eq!(read, all);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn entries_are_kept_for_three_months_or_as_long_as_history(pool: PgPool) {
    let ids = [
        begin(&pool, "docker").await,
        begin(&pool, "docker").await,
        begin(&pool, "docker").await,
    ];
    let kept = i64::from(KEPT_DAYS);
    for (id, days) in ids.iter().zip([kept - 1, kept + 1, kept + 20]) {
        make_older(&pool, *id, "at", &format!("{days} days")).await;
    }
    let left = async || {
        let entries = list(&pool, None, 10).await.unwrap();
        entries
            .into_iter()
            .rev()
            .map(|entry| entry.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(audit::clean(&pool, KEPT_DAYS + 10).await.unwrap(), 1);
    assert_eq!(left().await, ids[..2]);
    assert_eq!(audit::clean(&pool, 1).await.unwrap(), 1);
    assert_eq!(left().await, ids[..1]);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn the_database_refuses_what_cannot_be(pool: PgPool) {
    let id = begin(&pool, "docker").await;
    for statement in [
        "update audit set finished_at = now()",
        "update audit set outcome = 'done'",
        "update audit set finished_at = now(), outcome = 'well'",
        "update audit set steps = '{}'",
        "update audit set caller = ''",
    ] {
        let error = sqlx::query(statement).execute(&pool).await.unwrap_err();
        let code = error.as_database_error().unwrap().code().unwrap();
        assert_eq!(code, "23514", "{statement}: {error}");
    }
    assert_eq!(read(&pool, id).await.outcome, None);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn taking_over_reads_only_what_is_unfinished(pool: PgPool) {
    let own = own_pool(&pool, 1);
    let mut connection: PgConnection = own.acquire().await.unwrap().detach();
    for statement in [
        "alter table audit set (autovacuum_enabled = false)",
        "insert into audit (id, caller, action, fleet, request, finished_at, outcome)
         select gen_random_uuid(), 'somebody', 'fleet.scale', 'docker', '{}', now(), 'done'
         from generate_series(1, 20000) n",
    ] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let arguments = ["'docker'".to_owned(), "30".to_owned()];
    let sql = include_str!("../../src/adopt.sql").replace(r#" as "steps!: Json<Vec<Step>>""#, "");
    for mode in [Mode::Custom, Mode::Generic] {
        let plan = plan(&mut connection, mode, &sql, &arguments).await;
        assert!(plan.uses("audit_unfinished"), "{mode:?}: {plan:#?}");
        assert!(plan.scanned().is_empty(), "{mode:?}: {plan:#?}");
    }
    connection.close().await.unwrap();
    own.close().await;
}
