//! The same as in `races`, but in an order that is known: both wait for the row, one behind the other, so that whoever
//! comes second finds what the first has made of it in the middle of its own statement.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use taskmaster_core::{TaskLease, TaskStatus};
use taskmaster_store::cancel::{Cancel, cancel};
use taskmaster_store::finish::{Finish, finish};
use taskmaster_store::rescue::{Of, rescue};
use taskmaster_store::{PgPool, start};
use taskmaster_testkit::until_waiting;

use crate::races::wide;
use crate::support::{
    LATER, assert_counts_are_exact, assign, completed, failed, failed_for_now, get, lost, run_one,
    status, stop_and_hand_back, task, tasks, worker,
};

/// Holds the task's row until `first` waits for it and `second` behind it.
async fn in_turn<A, B>(
    pool: &PgPool,
    held: TaskLease,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> (A, B) {
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("select from tasks where id = $1 for update")
        .bind(held.id)
        .execute(&mut *holder)
        .await
        .unwrap();
    let second = async {
        until_waiting(pool, 1).await.unwrap();
        second.await
    };
    let release = async {
        until_waiting(pool, 2).await.unwrap();
        holder.commit().await.unwrap();
    };
    let (first, second, ()) = tokio::join!(first, second, release);
    (first, second)
}

fn requested(task: TaskLease) -> Cancel {
    Cancel::Requested {
        task,
        worker_name: "w".to_owned(),
    }
}

/// Ends a run; what its task is then, unless it was somebody else's.
async fn end(pool: &PgPool, by: i32, end: Finish) -> Option<TaskStatus> {
    let ended = finish(pool, by, vec![end]).await.unwrap();
    ended.first().map(|ended| ended.status)
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_cancel_before_the_end(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    for (how, expected) in [
        // It has ended by itself, and that is recorded.
        (completed as fn(TaskLease) -> Finish, TaskStatus::Completed),
        (failed, TaskStatus::Failed),
        (|task| failed_for_now(task, 3600), TaskStatus::Cancelled),
        (lost, TaskStatus::Cancelled),
    ] {
        let held = run_one(&pool, holder, tasks(1, 2).remove(0)).await;
        let ending = end(&pool, holder.worker_id, how(held));
        let (asked, ended) = in_turn(&pool, held, cancel(&pool, held.id), ending).await;
        assert_eq!((asked.unwrap(), ended), (requested(held), Some(expected)));
        assert_eq!(status(&pool, held.id).await, expected);
    }
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_cancel_after_the_end(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    for (how, expected) in [
        (completed as fn(TaskLease) -> Finish, TaskStatus::Completed),
        (failed, TaskStatus::Failed),
        (lost, TaskStatus::Failed),
    ] {
        let held = run_one(&pool, holder, task("x")).await;
        let ending = end(&pool, holder.worker_id, how(held));
        let (ended, asked) = in_turn(&pool, held, ending, cancel(&pool, held.id)).await;
        assert_eq!(ended, Some(expected));
        assert_eq!(asked.unwrap(), Cancel::AlreadyFinal(expected));
        assert!(get(&pool, held.id).await.cancel_requested_at.is_none());
    }
    // One that was to be tried again waits for that, and is cancelled there.
    let held = run_one(&pool, holder, tasks(1, 2).remove(0)).await;
    let ending = end(&pool, holder.worker_id, failed_for_now(held, 3600));
    let (ended, asked) = in_turn(&pool, held, ending, cancel(&pool, held.id)).await;
    assert_eq!(ended, Some(TaskStatus::Scheduled));
    assert_eq!(asked.unwrap(), Cancel::Cancelled);
    assert_eq!(status(&pool, held.id).await, TaskStatus::Cancelled);
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_cancel_and_a_start(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    let held = assign(&pool, holder, &[task("x")]).await[0];
    let starting = start::start(&pool, holder, vec![held]);
    let (asked, started) = in_turn(&pool, held, cancel(&pool, held.id), starting).await;
    assert_eq!(asked.unwrap(), Cancel::Cancelled);
    assert!(started.unwrap().is_empty());
    assert_eq!(status(&pool, held.id).await, TaskStatus::Cancelled);

    let held = assign(&pool, holder, &[task("x")]).await[0];
    let starting = start::start(&pool, holder, vec![held]);
    let (started, asked) = in_turn(&pool, held, starting, cancel(&pool, held.id)).await;
    assert_eq!(started.unwrap().len(), 1);
    assert_eq!(asked.unwrap(), requested(held));
    assert_eq!(status(&pool, held.id).await, TaskStatus::Running);
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

/// The rescue has read that nobody asked for a cancel, and then somebody does before it writes.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_cancel_and_a_rescue(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    for (attempts, without) in [(1, TaskStatus::Failed), (2, TaskStatus::Scheduled)] {
        let held = run_one(&pool, holder, tasks(1, attempts).remove(0)).await;
        let claims = [held];
        let of = Of::Forgotten(holder.worker_id, &claims);
        let (asked, rescued) = in_turn(
            &pool,
            held,
            cancel(&pool, held.id),
            rescue(&pool, of, LATER),
        )
        .await;
        assert_eq!(asked.unwrap(), requested(held));
        assert_eq!(rescued.unwrap()[0].status, TaskStatus::Cancelled);

        let held = run_one(&pool, holder, tasks(1, attempts).remove(0)).await;
        let claims = [held];
        let of = Of::Forgotten(holder.worker_id, &claims);
        let (rescued, asked) = in_turn(
            &pool,
            held,
            rescue(&pool, of, LATER),
            cancel(&pool, held.id),
        )
        .await;
        assert_eq!(rescued.unwrap()[0].status, without);
        let expected = match attempts {
            1 => Cancel::AlreadyFinal(TaskStatus::Failed),
            _ => Cancel::Cancelled,
        };
        assert_eq!(asked.unwrap(), expected);
    }
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_cancel_and_a_drain(options: PgPoolOptions, connect: PgConnectOptions) {
    let pool = wide(options, connect).await;
    let holder = worker(&pool, "w").await;
    for attempts in [1, 2] {
        let held = run_one(&pool, holder, tasks(1, attempts).remove(0)).await;
        let asking = cancel(&pool, held.id);
        let draining = stop_and_hand_back(&pool, holder, held);
        // One with a single attempt is not even looked at before its end is written.
        let (asked, became) = in_turn(&pool, held, asking, draining).await;
        assert_eq!(asked.unwrap(), requested(held));
        assert_eq!(became, Some(TaskStatus::Cancelled));
    }
    let held = run_one(&pool, holder, tasks(1, 2).remove(0)).await;
    let draining = stop_and_hand_back(&pool, holder, held);
    let (became, asked) = in_turn(&pool, held, draining, cancel(&pool, held.id)).await;
    assert_eq!(became, Some(TaskStatus::Scheduled));
    assert_eq!(asked.unwrap(), Cancel::Cancelled);
    assert_counts_are_exact(&pool).await;
    pool.close().await;
}
