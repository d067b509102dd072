//! A drain that was asked for: stored, kept, heard at the heartbeat, about one incarnation alone.

use taskmaster_store::start::Holder;
use taskmaster_store::workers::{Drain, available, list, request_drain, sign_off};
use taskmaster_store::{PgPool, rescue};

use crate::support::{age_heartbeat, claim_all, heartbeat, run, submit_all, tasks, worker};

/// Asks, and returns the status with which the worker is then shown.
async fn requested(pool: &PgPool, name: &str) -> String {
    match request_drain(pool, name).await.unwrap() {
        Drain::Requested(worker) => {
            assert_eq!(worker.name, name);
            worker.status
        }
        other => panic!("{other:?}"),
    }
}

async fn is_heard(pool: &PgPool, holder: Holder) -> bool {
    let known = heartbeat(pool, holder, 4, false).await.unwrap();
    known.unwrap().drain_requested
}

async fn status(pool: &PgPool, name: &str) -> String {
    let workers = list(pool).await.unwrap();
    let worker = workers.into_iter().find(|worker| worker.name == name);
    worker.unwrap().status
}

async fn requested_at(pool: &PgPool) -> String {
    sqlx::query_scalar("select drain_requested_at::text from workers where name = 'w'")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn is_kept_until_it_is_heard_and_after(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let other = worker(&pool, "other").await;
    run(&pool, holder, &tasks(1, 1)).await;
    assert!(!is_heard(&pool, holder).await);
    assert_eq!(requested(&pool, "w").await, "draining");
    let first = requested_at(&pool).await;
    // A heartbeat that was under way when it was asked says that it does not drain, and takes nothing back.
    for _ in 0..2 {
        assert!(is_heard(&pool, holder).await);
        assert_eq!(status(&pool, "w").await, "draining");
    }
    assert!(!is_heard(&pool, other).await);
    assert_eq!(status(&pool, "other").await, "idle");
    // It says itself that it drains, by now.
    heartbeat(&pool, holder, 4, true).await.unwrap();
    assert_eq!(requested(&pool, "w").await, "draining");
    assert_eq!(
        requested_at(&pool).await,
        first,
        "asked twice is asked once"
    );
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn leaves_no_room_for_more(pool: PgPool) {
    let asked = worker(&pool, "asked").await;
    let other = worker(&pool, "other").await;
    let free = async || {
        let workers = available(&pool, true).await.unwrap();
        let mut ids: Vec<i32> = workers.iter().map(|worker| worker.id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(free().await, [asked.worker_id, other.worker_id]);
    requested(&pool, "asked").await;
    // From that moment, and also when a heartbeat says that it does not drain yet.
    assert_eq!(free().await, [other.worker_id]);
    assert!(is_heard(&pool, asked).await);
    assert_eq!(free().await, [other.worker_id]);
    // What it was given a moment before, it holds.
    submit_all(&pool, &tasks(1, 1)).await;
    let held = claim_all(&pool, asked, 1).await;
    let known = heartbeat(&pool, asked, 4, true).await.unwrap().unwrap();
    assert_eq!(known.held[0].task, held[0]);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn is_not_asked_of_the_next_incarnation(pool: PgPool) {
    let older = worker(&pool, "w").await;
    requested(&pool, "w").await;
    let newer = worker(&pool, "w").await;
    assert_eq!(heartbeat(&pool, older, 4, false).await.unwrap(), None);
    assert!(!is_heard(&pool, newer).await);
    assert_eq!(status(&pool, "w").await, "idle");
    assert_eq!(available(&pool, true).await.unwrap().len(), 1);
    assert_eq!(requested(&pool, "w").await, "draining");
    assert!(is_heard(&pool, newer).await);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn is_refused_where_nobody_is(pool: PgPool) {
    let found = request_drain(&pool, "nobody").await.unwrap();
    assert!(matches!(found, Drain::NotFound), "{found:?}");
    let holder = worker(&pool, "w").await;
    sign_off(&pool, holder).await.unwrap();
    age_heartbeat(&pool, holder, 7 * 24 * 3600).await;
    let found = request_drain(&pool, "w").await.unwrap();
    assert!(matches!(found, Drain::Offline), "{found:?}");
    worker(&pool, "w").await;
    assert_eq!(status(&pool, "w").await, "idle", "nothing was left of it");
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn is_heard_by_a_worker_that_was_silent_for_long(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    requested(&pool, "w").await;
    age_heartbeat(&pool, holder, 11).await;
    assert_eq!(rescue::mark_offline(&pool).await.unwrap(), ["w"]);
    let found = request_drain(&pool, "w").await.unwrap();
    assert!(matches!(found, Drain::Offline), "{found:?}");
    assert!(is_heard(&pool, holder).await);
    assert_eq!(status(&pool, "w").await, "draining");
}
