//! Every attempt leaves a record, once.

use taskmaster_core::NewTask;
use taskmaster_store::attempts::{Attempt, list};
use taskmaster_store::cancel::{self, Retry};
use taskmaster_store::{PgPool, finish, start};
use uuid::Uuid;

use crate::support::{
    claim_all, completed, failed, failed_for_now, run_one, submit_all, task, worker,
};

async fn outcomes(pool: &PgPool, id: Uuid) -> Vec<(i32, String)> {
    let attempts: Vec<Attempt> = list(pool, id).await.unwrap().unwrap();
    attempts
        .into_iter()
        .map(|attempt| (attempt.attempt, attempt.outcome))
        .collect()
}

fn expected(outcomes: &[&str]) -> Vec<(i32, String)> {
    (1..)
        .zip(outcomes)
        .map(|(attempt, outcome)| (attempt, (*outcome).to_owned()))
        .collect()
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn oldest_first_the_latest_last(pool: PgPool) {
    let first = worker(&pool, "first").await;
    let second = worker(&pool, "second").await;
    let new = NewTask {
        max_attempts: 2,
        ..task("x")
    };
    let id = new.id;
    assert!(list(&pool, id).await.unwrap().is_none());

    let lease = run_one(&pool, first, new).await;
    assert_eq!(outcomes(&pool, id).await, expected(&["running"]));
    finish::finish(&pool, first.worker_id, vec![failed_for_now(lease, 0)])
        .await
        .unwrap();
    assert_eq!(outcomes(&pool, id).await, expected(&["failed"]));

    let lease = claim_all(&pool, second, 1).await[0];
    assert_eq!(outcomes(&pool, id).await, expected(&["failed"]));
    start::start(&pool, second, vec![lease]).await.unwrap();
    assert_eq!(outcomes(&pool, id).await, expected(&["failed", "running"]));
    finish::finish(&pool, second.worker_id, vec![failed(lease)])
        .await
        .unwrap();
    assert_eq!(outcomes(&pool, id).await, expected(&["failed", "failed"]));

    // A retry by hand keeps them all, and allows one more.
    assert_eq!(cancel::retry(&pool, id).await.unwrap(), Retry::Scheduled);
    assert_eq!(outcomes(&pool, id).await, expected(&["failed", "failed"]));
    let lease = claim_all(&pool, first, 1).await[0];
    start::start(&pool, first, vec![lease]).await.unwrap();
    finish::finish(&pool, first.worker_id, vec![completed(lease)])
        .await
        .unwrap();
    assert_eq!(
        outcomes(&pool, id).await,
        expected(&["failed", "failed", "completed"])
    );
    let attempts = list(&pool, id).await.unwrap().unwrap();
    let workers: Vec<_> = attempts.iter().map(|a| a.worker_name.as_deref()).collect();
    assert_eq!(workers, [Some("first"), Some("second"), Some("first")]);
    let leases: Vec<i32> = attempts.iter().map(|attempt| attempt.lease).collect();
    assert_eq!(leases, [1, 2, 3]);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_never_started_has_none(pool: PgPool) {
    let new = task("x");
    submit_all(&pool, std::slice::from_ref(&new)).await;
    assert!(outcomes(&pool, new.id).await.is_empty());
    cancel::cancel(&pool, new.id).await.unwrap();
    assert!(outcomes(&pool, new.id).await.is_empty());
    cancel::retry(&pool, new.id).await.unwrap();
    assert!(outcomes(&pool, new.id).await.is_empty());
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn one_that_is_cancelled_between_two_attempts_has_the_first_only(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let new = NewTask {
        max_attempts: 2,
        ..task("x")
    };
    let lease = run_one(&pool, holder, new).await;
    finish::finish(&pool, holder.worker_id, vec![failed_for_now(lease, 3600)])
        .await
        .unwrap();
    cancel::cancel(&pool, lease.id).await.unwrap();
    assert_eq!(outcomes(&pool, lease.id).await, expected(&["failed"]));
}
