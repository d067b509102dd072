//! Two who want different things of the same task at the same time: there is one end, and both know it.

use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use taskmaster_core::{RetryPolicy, TaskLease, TaskStatus};
use taskmaster_store::cancel::{Cancel, Retry, cancel, retry};
use taskmaster_store::rescue::{Of, rescue};
use taskmaster_store::{PgPool, claim, finish, start, stats, workers};

use crate::support::{
    LATER, assert_counts_are_exact, assign, cancelled, completed, failed, failed_for_now, ids, run,
    status, stop_and_hand_back, submit_all, tasks, worker,
};

const PAIRS: usize = 100;

pub(crate) async fn wide(options: PgPoolOptions, connect: PgConnectOptions) -> PgPool {
    let pool = options.max_connections(8).connect_with(connect).await;
    pool.unwrap()
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn cancel_and_complete(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    let held = run(&pool, holder, &tasks(PAIRS, 1)).await;
    join_all(held.iter().map(|task| async {
        let (asked, ended) = tokio::join!(
            cancel(&pool, task.id),
            finish::finish(&pool, holder.worker_id, vec![completed(*task)])
        );
        assert_eq!(ended.unwrap().len(), 1);
        assert!(matches!(
            asked.unwrap(),
            Cancel::Requested { .. } | Cancel::AlreadyFinal(TaskStatus::Completed)
        ));
        assert_eq!(status(&pool, task.id).await, TaskStatus::Completed);
    }))
    .await;
    assert_eq!(stats::counts(&pool).await.unwrap().completed, PAIRS as i64);
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn cancel_and_retry_later(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    let held = run(&pool, holder, &tasks(PAIRS, 2)).await;
    join_all(held.iter().map(|task| async {
        let (asked, ended) = tokio::join!(
            cancel(&pool, task.id),
            finish::finish(&pool, holder.worker_id, vec![failed_for_now(*task, 3600)])
        );
        let ended = ended.unwrap();
        assert_eq!(ended.len(), 1);
        match asked.unwrap() {
            // It was scheduled again first, and then cancelled while it waited.
            Cancel::Cancelled => assert_eq!(ended[0].status, TaskStatus::Scheduled),
            Cancel::Requested { .. } => assert_eq!(ended[0].status, TaskStatus::Cancelled),
            other => panic!("{other:?}"),
        }
        assert_eq!(status(&pool, task.id).await, TaskStatus::Cancelled);
    }))
    .await;
    assert_eq!(stats::counts(&pool).await.unwrap().cancelled, PAIRS as i64);
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

/// What a run that does not end by itself becomes, and how its task ends, by what the cancel of the same moment heard.
fn after_cancel(asked: Cancel, attempts: i32) -> (TaskStatus, TaskStatus) {
    match (asked, attempts) {
        (Cancel::Requested { .. }, _) => (TaskStatus::Cancelled, TaskStatus::Cancelled),
        // It was to be tried again, and was cancelled while it waited for that.
        (Cancel::Cancelled, 2) => (TaskStatus::Scheduled, TaskStatus::Cancelled),
        (Cancel::AlreadyFinal(TaskStatus::Failed), 1) => (TaskStatus::Failed, TaskStatus::Failed),
        (other, _) => panic!("{other:?}"),
    }
}

/// A cancel that was taken counts, also if the run is lost a moment later.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn cancel_and_rescue(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    for attempts in [1, 2] {
        let held = run(&pool, holder, &tasks(PAIRS, attempts)).await;
        join_all(held.iter().map(|task| async {
            let claims = [*task];
            let (asked, rescued) = tokio::join!(
                cancel(&pool, task.id),
                rescue(&pool, Of::Forgotten(holder.worker_id, &claims), LATER)
            );
            let rescued: Vec<_> = rescued.unwrap().iter().map(|ended| ended.status).collect();
            let (expected, end) = after_cancel(asked.unwrap(), attempts);
            assert_eq!(rescued, [expected]);
            assert_eq!(status(&pool, task.id).await, end);
        }))
        .await;
    }
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn cancel_and_drain(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    for attempts in [1, 2] {
        let held = run(&pool, holder, &tasks(PAIRS, attempts)).await;
        join_all(held.iter().map(|task| async {
            let (asked, became) = tokio::join!(
                cancel(&pool, task.id),
                stop_and_hand_back(&pool, holder, *task)
            );
            let (expected, end) = after_cancel(asked.unwrap(), attempts);
            assert_eq!(became, Some(expected));
            assert_eq!(status(&pool, task.id).await, end);
        }))
        .await;
    }
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn cancel_and_retry_by_hand(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    for end in [failed, cancelled] {
        let held = run(&pool, holder, &tasks(PAIRS, 1)).await;
        let ends = held.iter().map(|task| end(*task)).collect();
        let ended = finish::finish(&pool, holder.worker_id, ends).await.unwrap();
        let before = ended[0].status;
        join_all(held.iter().map(|task| async {
            let (asked, again) = tokio::join!(cancel(&pool, task.id), retry(&pool, task.id));
            assert_eq!(again.unwrap(), Retry::Scheduled);
            let expected = match asked.unwrap() {
                Cancel::Cancelled => TaskStatus::Cancelled,
                Cancel::AlreadyFinal(found) if found == before => TaskStatus::Scheduled,
                other => panic!("{other:?}"),
            };
            assert_eq!(status(&pool, task.id).await, expected);
        }))
        .await;
        // What is scheduled now must not be given out in the next round.
        join_all(held.iter().map(|task| cancel(&pool, task.id))).await;
    }
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

/// Who asks for a retry while the run ends gets it, or hears of a run that has not ended.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn retry_by_hand_and_fail(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    let held = run(&pool, holder, &tasks(PAIRS, 1)).await;
    join_all(held.iter().map(|task| async {
        let (again, ended) = tokio::join!(
            retry(&pool, task.id),
            finish::finish(&pool, holder.worker_id, vec![failed(*task)])
        );
        assert_eq!(ended.unwrap()[0].status, TaskStatus::Failed);
        let expected = match again.unwrap() {
            Retry::Scheduled => TaskStatus::Scheduled,
            Retry::Refused(TaskStatus::Running) => TaskStatus::Failed,
            other => panic!("{other:?}"),
        };
        assert_eq!(status(&pool, task.id).await, expected);
    }))
    .await;
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn cancel_and_start(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    let held = assign(&pool, holder, &tasks(PAIRS, 1)).await;
    join_all(held.iter().map(|task| async {
        let (asked, started) = tokio::join!(
            cancel(&pool, task.id),
            start::start(&pool, holder, vec![*task])
        );
        let expected = match asked.unwrap() {
            Cancel::Cancelled => (0, TaskStatus::Cancelled),
            Cancel::Requested { .. } => (1, TaskStatus::Running),
            other => panic!("{other:?}"),
        };
        let got = (started.unwrap().len(), status(&pool, task.id).await);
        assert_eq!(got, expected);
    }))
    .await;
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn cancel_and_claim(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let new = tasks(PAIRS, 1);
    submit_all(&pool, &new).await;
    let cancels = join_all(new.iter().map(|task| cancel(&pool, task.id)));
    let claims = join_all((0..10).map(|_| claim::claim(&pool, &[1; 10])));
    let (cancels, claims) = tokio::join!(cancels, claims);
    for answer in cancels {
        assert_eq!(answer.unwrap(), Cancel::Cancelled);
    }
    // What was claimed in time is gone all the same.
    for claimed in claims.into_iter().flat_map(Result::unwrap) {
        assert_eq!(status(&pool, claimed.task.id).await, TaskStatus::Cancelled);
    }
    assert_eq!(stats::counts(&pool).await.unwrap().cancelled, PAIRS as i64);
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn rescue_and_finish(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    let held = run(&pool, holder, &tasks(PAIRS, 1)).await;
    workers::sign_off(&pool, holder).await.unwrap();
    let rescues =
        join_all((0..3).map(|_| rescue(&pool, Of::OfflineWorkers, RetryPolicy::default())));
    let finishes = join_all(held.chunks(7).map(|chunk| {
        let ends = chunk.iter().map(|task| completed(*task)).collect();
        finish::finish(&pool, holder.worker_id, ends)
    }));
    let (rescued, finished) = tokio::join!(rescues, finishes);
    let rescued: Vec<_> = rescued.into_iter().flat_map(Result::unwrap).collect();
    let finished: Vec<_> = finished.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(rescued.len() + finished.len(), PAIRS);
    for ended in rescued.iter().chain(&finished) {
        assert_eq!(status(&pool, ended.id).await, ended.status);
    }
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn release_and_start(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    let held = assign(&pool, holder, &tasks(PAIRS, 1)).await;
    let reversed: Vec<TaskLease> = held.iter().rev().copied().collect();
    let releases = join_all(
        held.chunks(9)
            .map(|some| claim::release(&pool, some.to_vec())),
    );
    let starts = join_all(
        reversed
            .chunks(11)
            .map(|some| start::start(&pool, holder, some.to_vec())),
    );
    let (released, started) = tokio::join!(releases, starts);
    let released: Vec<_> = released.into_iter().flat_map(Result::unwrap).collect();
    let started: Vec<_> = started.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(released.len() + started.len(), PAIRS);
    for id in released {
        assert_eq!(status(&pool, id).await, TaskStatus::Scheduled);
    }
    let started: Vec<TaskLease> = started.into_iter().map(|started| started.task).collect();
    for id in ids(&started) {
        assert_eq!(status(&pool, id).await, TaskStatus::Running);
    }
    pool.close().await;
}
