//! What a worker that stops hands back.

use taskmaster_core::{Outcome, TaskLease, TaskStatus};
use taskmaster_store::cancel::{Cancel, Retry, cancel, retry};
use taskmaster_store::finish::{finish, hand_back};
use taskmaster_store::{PgPool, attempts, start};

use crate::support::{
    assert_counts_are_exact, assign, claim_all, failed, get, run, run_one, status,
    stop_and_hand_back, task, tasks, worker,
};

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn handing_back_spends_no_attempt(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let leases = run(&pool, holder, &tasks(3, 2)).await;
    let waiting = assign(&pool, holder, &[task("waits")]).await[0];
    cancel(&pool, leases[1].id).await.unwrap();
    let stale = TaskLease {
        lease: 9,
        ..leases[2]
    };
    let asked = vec![leases[0], leases[1], stale, waiting];
    assert_eq!(hand_back(&pool, asked).await.unwrap(), [leases[0].id]);

    let task = get(&pool, leases[0].id).await;
    assert_eq!((task.status, task.attempt), (TaskStatus::Scheduled, 0));
    assert!(
        attempts::list(&pool, task.id)
            .await
            .unwrap()
            .unwrap()
            .is_empty()
    );
    for still in [leases[1], leases[2]] {
        assert_eq!(status(&pool, still.id).await, TaskStatus::Running);
    }
    assert_eq!(status(&pool, waiting.id).await, TaskStatus::Assigned);

    let again = claim_all(&pool, holder, 1).await;
    let started = start::start(&pool, holder, again).await.unwrap();
    assert_eq!((started[0].attempt, started[0].max_attempts), (1, 2));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_has_one_attempt_is_not_handed_back(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let lease = run_one(&pool, holder, task("once")).await;
    assert!(hand_back(&pool, vec![lease]).await.unwrap().is_empty());
    assert_eq!(status(&pool, lease.id).await, TaskStatus::Running);

    let became = stop_and_hand_back(&pool, holder, lease).await;
    assert_eq!(became, Some(TaskStatus::Failed));
    let task = get(&pool, lease.id).await;
    assert_eq!((task.outcome, task.attempt), (Some(Outcome::Lost), 1));
    assert!(hand_back(&pool, vec![lease]).await.unwrap().is_empty());
    assert_counts_are_exact(&pool).await;
}

/// Each retry by hand allows one start, and not one more because its worker stops.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_had_one_attempt_is_not_handed_back_after_a_retry_by_hand(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let once = run_one(&pool, holder, task("once")).await;
    let twice = run_one(&pool, holder, tasks(1, 2).remove(0)).await;
    for retries in 1..=3 {
        for lease in [once, twice] {
            let lease = get(&pool, lease.id).await.task_lease();
            finish(&pool, holder.worker_id, vec![failed(lease)])
                .await
                .unwrap();
            assert_eq!(retry(&pool, lease.id).await.unwrap(), Retry::Scheduled);
            if retries == 2 {
                // By way of a cancel before its start, too.
                assert_eq!(cancel(&pool, lease.id).await.unwrap(), Cancel::Cancelled);
                assert_eq!(retry(&pool, lease.id).await.unwrap(), Retry::Scheduled);
            }
        }
        let again = claim_all(&pool, holder, 2).await;
        start::start(&pool, holder, again.clone()).await.unwrap();
        let task = get(&pool, once.id).await;
        assert_eq!(
            (task.attempt, task.max_attempts),
            (retries + 1, retries + 1)
        );
        assert_eq!(hand_back(&pool, again).await.unwrap(), [twice.id]);
        assert_eq!(status(&pool, once.id).await, TaskStatus::Running);
        let again = claim_all(&pool, holder, 1).await;
        start::start(&pool, holder, again).await.unwrap();
    }
}
