//! Requests to stop, for a task in each status.

use taskmaster_core::TaskStatus;
use taskmaster_store::cancel::{Cancel, cancel};
use taskmaster_store::{PgPool, finish, start};
use uuid::Uuid;

use crate::support::{
    assert_counts_are_exact, assign, cancelled, completed, failed, get, run, run_one, status,
    submit_all, task, tasks, worker,
};

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_has_not_started_ends_at_once(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let assigned = assign(&pool, holder, &[task("assigned")]).await;
    let scheduled = task("scheduled");
    submit_all(&pool, std::slice::from_ref(&scheduled)).await;
    for id in [scheduled.id, assigned[0].id] {
        assert_eq!(cancel(&pool, id).await.unwrap(), Cancel::Cancelled);
        let task = get(&pool, id).await;
        assert_eq!((task.status, task.attempt), (TaskStatus::Cancelled, 0));
        assert!(task.started_at.is_none());
        assert_eq!(task.cancel_requested_at, task.cancelled_at);
        assert_eq!(
            cancel(&pool, id).await.unwrap(),
            Cancel::AlreadyFinal(TaskStatus::Cancelled)
        );
    }
    assert!(
        start::start(&pool, holder, assigned)
            .await
            .unwrap()
            .is_empty()
    );
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_runs_is_left_to_its_worker(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let lease = run_one(&pool, holder, task("x")).await;
    let requested = Cancel::Requested {
        task: lease,
        worker_name: "w".to_owned(),
    };
    assert_eq!(cancel(&pool, lease.id).await.unwrap(), requested);
    let first = get(&pool, lease.id).await;
    assert_eq!(first.status, TaskStatus::Running);
    assert!(first.cancel_requested_at.is_some());
    // Asked twice, the first time counts.
    assert_eq!(cancel(&pool, lease.id).await.unwrap(), requested);
    let second = get(&pool, lease.id).await;
    assert_eq!(second.cancel_requested_at, first.cancel_requested_at);

    finish::finish(&pool, holder.worker_id, vec![cancelled(lease)])
        .await
        .unwrap();
    assert_eq!(status(&pool, lease.id).await, TaskStatus::Cancelled);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_has_ended_stays_as_it_is(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let leases = run(&pool, holder, &tasks(2, 1)).await;
    let ends = vec![completed(leases[0]), failed(leases[1])];
    finish::finish(&pool, holder.worker_id, ends).await.unwrap();
    for (lease, status) in leases
        .iter()
        .zip([TaskStatus::Completed, TaskStatus::Failed])
    {
        let before = get(&pool, lease.id).await;
        assert_eq!(
            cancel(&pool, lease.id).await.unwrap(),
            Cancel::AlreadyFinal(status)
        );
        let after = get(&pool, lease.id).await;
        assert_eq!(after.status, status);
        assert_eq!(after.finished_at, before.finished_at);
        assert!(after.cancel_requested_at.is_none());
    }
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_is_not_there_is_not_found(pool: PgPool) {
    let unknown = cancel(&pool, Uuid::now_v7()).await.unwrap();
    assert_eq!(unknown, Cancel::NotFound);
}
