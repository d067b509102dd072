//! A finished task is tried again because somebody asks for it.

use futures_util::future::join_all;
use taskmaster_core::{NewTask, TaskStatus};
use taskmaster_store::cancel::{Retry, cancel, retry};
use taskmaster_store::{PgPool, attempts, finish, start};
use uuid::Uuid;

use crate::support::{
    assert_counts_are_exact, assign, cancelled, claim_all, completed, failed, failed_for_now, get,
    run, run_one, status, submit_all, task, tasks, worker,
};

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn failed_and_cancelled_run_again_with_their_history(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let leases = run(&pool, holder, &tasks(2, 1)).await;
    let ends = vec![failed(leases[0]), cancelled(leases[1])];
    finish::finish(&pool, holder.worker_id, ends).await.unwrap();

    for lease in &leases {
        let before = get(&pool, lease.id).await;
        assert_eq!(retry(&pool, lease.id).await.unwrap(), Retry::Scheduled);
        let after = get(&pool, lease.id).await;
        assert_eq!(after.status, TaskStatus::Scheduled);
        assert_eq!((after.attempt, after.max_attempts), (1, 2));
        assert_eq!(after.created_at, before.created_at);
        assert!(after.scheduled_at >= before.finished_at.unwrap());
        assert!(after.finished_at.is_none() && after.cancel_requested_at.is_none());
        let records = attempts::list(&pool, lease.id).await.unwrap().unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].finished_at, before.finished_at);
        assert_eq!(records[0].exit_code, before.exit_code);
        assert_counts_are_exact(&pool).await;
    }
    // The leases go on where they were: what the first run still sends is stale.
    let again = claim_all(&pool, holder, 2).await;
    assert!(again.iter().all(|task| task.lease == 2));
    start::start(&pool, holder, again.clone()).await.unwrap();
    let stale = leases.iter().map(|lease| completed(*lease)).collect();
    assert!(
        finish::finish(&pool, holder.worker_id, stale)
            .await
            .unwrap()
            .is_empty()
    );
    let ends = again.iter().map(|lease| completed(*lease)).collect();
    assert_eq!(
        finish::finish(&pool, holder.worker_id, ends)
            .await
            .unwrap()
            .len(),
        2
    );
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn attempts_that_were_left_are_kept(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let new = NewTask {
        max_attempts: 5,
        ..task("x")
    };
    let lease = run_one(&pool, holder, new).await;
    finish::finish(&pool, holder.worker_id, vec![failed_for_now(lease, 3600)])
        .await
        .unwrap();
    cancel(&pool, lease.id).await.unwrap();
    retry(&pool, lease.id).await.unwrap();
    let task = get(&pool, lease.id).await;
    assert_eq!((task.attempt, task.max_attempts), (1, 5));
    // That it was cancelled while it waited is no attempt.
    assert_eq!(
        attempts::list(&pool, lease.id)
            .await
            .unwrap()
            .unwrap()
            .len(),
        1
    );
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn everything_else_is_refused(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let done = run_one(&pool, holder, task("done")).await;
    finish::finish(&pool, holder.worker_id, vec![completed(done)])
        .await
        .unwrap();
    let running = run_one(&pool, holder, task("runs")).await;
    let assigned = assign(&pool, holder, &[task("assigned")]).await[0];
    let scheduled = task("scheduled");
    submit_all(&pool, std::slice::from_ref(&scheduled)).await;
    for (id, expected) in [
        (done.id, TaskStatus::Completed),
        (running.id, TaskStatus::Running),
        (assigned.id, TaskStatus::Assigned),
        (scheduled.id, TaskStatus::Scheduled),
    ] {
        assert_eq!(retry(&pool, id).await.unwrap(), Retry::Refused(expected));
        assert_eq!(status(&pool, id).await, expected);
    }
    assert_eq!(retry(&pool, Uuid::now_v7()).await.unwrap(), Retry::NotFound);
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn asked_by_many_at_once_it_runs_once(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let lease = run_one(&pool, holder, task("x")).await;
    finish::finish(&pool, holder.worker_id, vec![failed(lease)])
        .await
        .unwrap();
    let answers = join_all((0..10).map(|_| retry(&pool, lease.id))).await;
    let scheduled = answers
        .into_iter()
        .filter(|answer| matches!(answer, Ok(Retry::Scheduled)))
        .count();
    assert_eq!(scheduled, 1);
    claim_all(&pool, holder, 1).await;
    assert_counts_are_exact(&pool).await;
}
