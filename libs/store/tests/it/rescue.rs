//! What lost workers held goes back.

use std::time::Duration;

use taskmaster_core::{NewTask, Outcome, RetryPolicy, TaskLease, TaskStatus};
use taskmaster_store::rescue::{Of, end_overdue, mark_offline, rescue};
use taskmaster_store::{PgPool, attempts, cancel, finish, start, workers};

use crate::support::{
    age_heartbeat, assert_counts_are_exact, assign, claim_all, completed, get, heartbeat, ids, run,
    run_one, sorted, status, task, tasks, worker,
};

const POLICY: RetryPolicy = RetryPolicy {
    base: Duration::from_secs(60),
    cap: Duration::from_secs(600),
};

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_worker_is_offline_once_its_heartbeat_is_too_old(pool: PgPool) {
    let fresh = worker(&pool, "fresh").await;
    let lost = worker(&pool, "lost").await;
    let draining = worker(&pool, "draining").await;
    heartbeat(&pool, draining, 4, true).await.unwrap();
    age_heartbeat(&pool, fresh, 2).await;
    age_heartbeat(&pool, lost, 11).await;
    age_heartbeat(&pool, draining, 11).await;
    assert_eq!(
        sorted(mark_offline(&pool).await.unwrap()),
        ["draining", "lost"]
    );
    assert!(mark_offline(&pool).await.unwrap().is_empty());
    // It was only slow: its next heartbeat brings it back.
    heartbeat(&pool, lost, 4, false).await.unwrap();
    let online = workers::available(&pool, true).await.unwrap();
    assert_eq!(
        sorted(online.into_iter().map(|w| w.name)),
        ["fresh", "lost"]
    );
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_an_offline_worker_held_goes_by_its_own_policy(pool: PgPool) {
    let lost = worker(&pool, "lost").await;
    let alive = worker(&pool, "alive").await;
    let kept = [
        run(&pool, alive, &tasks(2, 1)).await,
        assign(&pool, alive, &tasks(2, 1)).await,
    ]
    .concat();
    let last = run_one(&pool, lost, task("no attempt left")).await;
    let more = run_one(&pool, lost, tasks(1, 2).remove(0)).await;
    let stopping = run_one(&pool, lost, tasks(1, 9).remove(0)).await;
    cancel::cancel(&pool, stopping.id).await.unwrap();
    let waiting = assign(&pool, lost, &[task("assigned")]).await[0];

    assert!(
        rescue(&pool, Of::OfflineWorkers, POLICY)
            .await
            .unwrap()
            .is_empty()
    );
    age_heartbeat(&pool, lost, 11).await;
    mark_offline(&pool).await.unwrap();
    let moved = rescue(&pool, Of::OfflineWorkers, POLICY).await.unwrap();
    let expected = [
        (last.id, TaskStatus::Failed),
        (more.id, TaskStatus::Scheduled),
        (stopping.id, TaskStatus::Cancelled),
        (waiting.id, TaskStatus::Scheduled),
    ];
    assert_eq!(
        sorted(moved.iter().map(|ended| (ended.id, ended.status))),
        sorted(expected)
    );
    for (id, expected) in expected {
        assert_eq!(status(&pool, id).await, expected);
    }

    let failed = get(&pool, last.id).await;
    assert_eq!(failed.outcome, Some(Outcome::Lost));
    assert!(
        failed
            .error_message
            .unwrap()
            .contains("worker lost was lost")
    );
    let again = get(&pool, more.id).await;
    assert_eq!(again.attempt, 1);
    let records = attempts::list(&pool, more.id).await.unwrap().unwrap();
    assert_eq!(records[0].outcome, "lost");
    let wait = again.scheduled_at - records[0].finished_at.unwrap();
    assert!((30..=60).contains(&wait.num_seconds()), "{wait}");
    let released = get(&pool, waiting.id).await;
    assert_eq!((released.attempt, released.lease), (0, 1));

    for id in ids(&kept) {
        assert_eq!(
            get(&pool, id).await.assigned_worker_name.as_deref(),
            Some("alive")
        );
    }
    // What was lost did not fail at its worker.
    let worker = workers::list(&pool).await.unwrap().remove(0);
    assert_eq!((worker.tasks_completed, worker.tasks_failed), (0, 0));
    assert!(
        rescue(&pool, Of::OfflineWorkers, POLICY)
            .await
            .unwrap()
            .is_empty()
    );
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn more_than_one_pass_takes_on(pool: PgPool) {
    let lost = worker(&pool, "lost").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.extend(run(&pool, lost, &tasks(500, 1)).await);
    }
    workers::sign_off(&pool, lost).await.unwrap();
    let moved = rescue(&pool, Of::OfflineWorkers, POLICY).await.unwrap();
    assert_eq!(
        sorted(moved.iter().map(|ended| ended.id)),
        sorted(ids(&held))
    );
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_new_incarnation_rescues_what_its_predecessor_ran(pool: PgPool) {
    let older = worker(&pool, "w").await;
    let other = worker(&pool, "other").await;
    let running = run(&pool, older, &tasks(2, 2)).await;
    let others = run_one(&pool, other, task("x")).await;
    let waiting = assign(&pool, older, &[task("assigned")]).await;

    let newer = worker(&pool, "w").await;
    let moved = rescue(&pool, Of::EarlierIncarnation(newer.worker_id), POLICY)
        .await
        .unwrap();
    assert_eq!(
        sorted(moved.iter().map(|ended| ended.id)),
        sorted(ids(&running))
    );
    assert!(
        moved
            .iter()
            .all(|ended| ended.status == TaskStatus::Scheduled)
    );
    assert_eq!(status(&pool, others.id).await, TaskStatus::Running);
    // What had not started is still its own, to be started by the newer one.
    assert_eq!(start::start(&pool, newer, waiting).await.unwrap().len(), 1);
    // The predecessor ends after all: too late.
    let late = running.iter().map(|task| completed(*task)).collect();
    assert!(
        finish::finish(&pool, older.worker_id, late)
            .await
            .unwrap()
            .is_empty()
    );
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_a_worker_has_forgotten_is_rescued_by_name(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let other = worker(&pool, "other").await;
    let running = run(&pool, holder, &tasks(3, 1)).await;
    let others = run_one(&pool, other, task("x")).await;
    let waiting = assign(&pool, holder, &[task("assigned")]).await[0];
    // Of another claim than the one it has now, nothing is known.
    let older = TaskLease {
        lease: 0,
        ..running[2]
    };
    let forgotten = [running[1], older, others, waiting];
    let of = Of::Forgotten(holder.worker_id, &forgotten);
    let moved = rescue(&pool, of, POLICY).await.unwrap();
    assert_eq!(moved.len(), 1);
    assert_eq!(
        (moved[0].id, moved[0].status),
        (running[1].id, TaskStatus::Failed)
    );
    for id in [running[0].id, running[2].id, others.id] {
        assert_eq!(status(&pool, id).await, TaskStatus::Running);
    }
    assert_eq!(status(&pool, waiting.id).await, TaskStatus::Assigned);
    let none = Of::Forgotten(holder.worker_id, &[]);
    assert!(rescue(&pool, none, POLICY).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_worker_that_finishes_first_wins(pool: PgPool) {
    let slow = worker(&pool, "slow").await;
    let held = run(&pool, slow, &tasks(2, 1)).await;
    workers::sign_off(&pool, slow).await.unwrap();
    let first = finish::finish(&pool, slow.worker_id, vec![completed(held[0])]);
    assert_eq!(first.await.unwrap().len(), 1);
    let moved = rescue(&pool, Of::OfflineWorkers, POLICY).await.unwrap();
    assert_eq!(moved.len(), 1);
    let second = finish::finish(&pool, slow.worker_id, vec![completed(held[1])]);
    assert!(second.await.unwrap().is_empty());
    assert_eq!(status(&pool, held[0].id).await, TaskStatus::Completed);
    assert_eq!(status(&pool, held[1].id).await, TaskStatus::Failed);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_runs_past_its_limit_is_ended(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let limited = |max_attempts| NewTask {
        timeout_seconds: Some(60),
        max_attempts,
        ..task("sleep 1000")
    };
    let late = run_one(&pool, holder, limited(1)).await;
    let again = run_one(&pool, holder, limited(2)).await;
    let unlimited = run_one(&pool, holder, task("sleep 1000")).await;
    sqlx::query("update tasks set started_at = now() - interval '100 seconds'")
        .execute(&pool)
        .await
        .unwrap();
    let in_time = run_one(&pool, holder, limited(1)).await;
    let waiting = assign(&pool, holder, &[limited(1)]).await[0];

    let grace = Duration::from_secs(300);
    assert!(end_overdue(&pool, grace, POLICY).await.unwrap().is_empty());
    let grace = Duration::from_secs(30);
    let ended = end_overdue(&pool, grace, POLICY).await.unwrap();
    assert_eq!(
        sorted(ended.iter().map(|ended| (ended.id, ended.status))),
        sorted([
            (late.id, TaskStatus::Failed),
            (again.id, TaskStatus::Scheduled)
        ])
    );
    let task = get(&pool, late.id).await;
    assert_eq!(task.outcome, Some(Outcome::TimedOut));
    assert!(task.error_message.unwrap().contains("time limit of 60 s"));
    for id in [unlimited.id, in_time.id] {
        assert_eq!(status(&pool, id).await, TaskStatus::Running);
    }
    assert_eq!(status(&pool, waiting.id).await, TaskStatus::Assigned);
    assert!(end_overdue(&pool, grace, POLICY).await.unwrap().is_empty());
    // Its time has not come yet.
    assert!(claim_all(&pool, holder, 0).await.is_empty());
    // Its worker, which was alive all the time, ends it after all: too late. It hears that it does not hold it.
    let ends = vec![completed(late), completed(again)];
    let written = finish::finish(&pool, holder.worker_id, ends).await.unwrap();
    assert!(written.is_empty());
    assert_eq!(status(&pool, late.id).await, TaskStatus::Failed);
    let held = heartbeat(&pool, holder, 4, false).await.unwrap();
    let held = held.unwrap().held.into_iter().map(|held| held.task.id);
    assert_eq!(sorted(held), sorted([unlimited.id, in_time.id, waiting.id]));
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_runs_past_its_limit_and_was_to_be_cancelled_is_cancelled(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    for max_attempts in [1, 2] {
        let limited = NewTask {
            timeout_seconds: Some(60),
            max_attempts,
            ..task("sleep 1000")
        };
        let lease = run_one(&pool, holder, limited).await;
        cancel::cancel(&pool, lease.id).await.unwrap();
        sqlx::query("update tasks set started_at = now() - interval '100 seconds'")
            .execute(&pool)
            .await
            .unwrap();
        let ended = end_overdue(&pool, Duration::ZERO, POLICY).await.unwrap();
        assert_eq!(ended[0].status, TaskStatus::Cancelled);
        assert_eq!(status(&pool, lease.id).await, TaskStatus::Cancelled);
    }
    assert_counts_are_exact(&pool).await;
}
