//! The ends of runs.

use chrono::TimeDelta;
use taskmaster_core::{NewTask, Outcome, TaskLease, TaskStatus, Verdict};
use taskmaster_store::finish::{Ended, Finish, finish};
use taskmaster_store::{PgPool, attempts, cancel, start, workers};
use uuid::Uuid;

use crate::support::{
    assert_counts_are_exact, assign, cancelled, claim_all, completed, failed, failed_for_now, get,
    run, run_one, sorted, status, task, tasks, worker,
};

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn each_end_is_recorded(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let tasks = run(&pool, holder, &tasks(4, 1)).await;
    let killed = Finish {
        outcome: Outcome::TimedOut,
        exit_code: None,
        signal: Some(9),
        error_message: Some("ran longer than 1 s".to_owned()),
        ..failed(tasks[3])
    };
    let ends = vec![
        killed,
        failed(tasks[1]),
        completed(tasks[0]),
        cancelled(tasks[2]),
    ];
    let ended = finish(&pool, holder.worker_id, ends).await.unwrap();
    let expected = [
        (tasks[0].id, TaskStatus::Completed),
        (tasks[1].id, TaskStatus::Failed),
        (tasks[2].id, TaskStatus::Cancelled),
        (tasks[3].id, TaskStatus::Failed),
    ];
    assert_eq!(
        sorted(ended.iter().map(|ended| (ended.id, ended.status))),
        sorted(expected)
    );

    let [ok, bad, stopped, late] = [0, 1, 2, 3].map(|i| tasks[i].id);
    let ok = get(&pool, ok).await;
    assert_eq!(ok.outcome, Some(Outcome::Completed));
    assert_eq!(
        (ok.exit_code, ok.signal, ok.error_message),
        (Some(0), None, None)
    );
    assert_eq!(ok.completed_at, ok.finished_at);
    assert!(ok.finished_at.unwrap() >= ok.started_at.unwrap());
    assert!(ok.failed_at.is_none() && ok.cancelled_at.is_none());
    assert_eq!(ok.assigned_worker_name.as_deref(), Some("w"));

    let bad = get(&pool, bad).await;
    assert_eq!(bad.outcome, Some(Outcome::Failed));
    assert_eq!(
        (bad.exit_code, bad.error_message.as_deref()),
        (Some(3), Some("exit code 3"))
    );
    assert!(bad.failed_at.is_some() && bad.completed_at.is_none());

    let stopped = get(&pool, stopped).await;
    assert_eq!(
        (stopped.outcome, stopped.signal),
        (Some(Outcome::Cancelled), Some(15))
    );
    assert_eq!(stopped.cancelled_at, stopped.finished_at);

    let late = get(&pool, late).await;
    assert_eq!(
        (late.outcome, late.signal),
        (Some(Outcome::TimedOut), Some(9))
    );
    assert!(late.failed_at.is_some());

    let live: i64 = sqlx::query_scalar("select count(*) from tasks")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(live, 0);
    assert_counts_are_exact(&pool).await;
    let worker = workers::list(&pool).await.unwrap().remove(0);
    assert_eq!((worker.tasks_completed, worker.tasks_failed), (1, 2));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_finished_task_keeps_all_that_was_asked_for(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let new = NewTask {
        argv: Some(vec!["a".to_owned(), "b c".to_owned()]),
        priority: 9,
        timeout_seconds: Some(60),
        max_attempts: 4,
        stdin: Some("in".to_owned()),
        ..task("a 'b c'")
    };
    let lease = run_one(&pool, holder, new.clone()).await;
    let live = get(&pool, lease.id).await;
    finish(&pool, holder.worker_id, vec![completed(lease)])
        .await
        .unwrap();
    let ended = get(&pool, lease.id).await;
    assert_eq!((&ended.command, &ended.argv), (&new.command, &new.argv));
    assert_eq!((ended.priority, ended.timeout_seconds), (9, Some(60)));
    assert_eq!(
        (ended.attempt, ended.max_attempts, ended.stdin),
        (1, 4, true)
    );
    assert_eq!(
        (ended.created_at, ended.scheduled_at),
        (live.created_at, live.scheduled_at)
    );
    assert_eq!(
        (ended.picked_at, ended.started_at),
        (live.picked_at, live.started_at)
    );
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_once_and_only_under_the_latest_lease(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let lease = run_one(&pool, holder, task("x")).await;
    let stale = TaskLease {
        lease: lease.lease - 1,
        ..lease
    };
    for end in [completed(stale), failed_for_now(stale, 0)] {
        assert!(finish(&pool, 0, vec![end]).await.unwrap().is_empty());
    }
    assert_eq!(status(&pool, lease.id).await, TaskStatus::Running);

    let twice = vec![completed(lease), completed(lease)];
    assert_eq!(
        finish(&pool, holder.worker_id, twice).await.unwrap().len(),
        1
    );
    for end in [completed(lease), failed(lease), failed_for_now(lease, 0)] {
        assert!(
            finish(&pool, holder.worker_id, vec![end])
                .await
                .unwrap()
                .is_empty()
        );
    }
    assert_eq!(status(&pool, lease.id).await, TaskStatus::Completed);
    assert_counts_are_exact(&pool).await;
    let worker = workers::list(&pool).await.unwrap().remove(0);
    assert_eq!((worker.tasks_completed, worker.tasks_failed), (1, 0));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_what_runs(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let assigned = assign(&pool, holder, &[task("x")]).await[0];
    let nobody = TaskLease {
        id: Uuid::now_v7(),
        lease: 1,
    };
    let ends = vec![completed(assigned), completed(nobody)];
    assert!(
        finish(&pool, holder.worker_id, ends)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(status(&pool, assigned.id).await, TaskStatus::Assigned);
    assert!(finish(&pool, 0, Vec::new()).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_retry_waits_for_its_time_and_leaves_a_record(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let new = NewTask {
        max_attempts: 2,
        ..task("x")
    };
    let lease = run_one(&pool, holder, new).await;
    let ended = finish(&pool, holder.worker_id, vec![failed_for_now(lease, 90)])
        .await
        .unwrap();
    assert_eq!(
        ended,
        [Ended {
            id: lease.id,
            status: TaskStatus::Scheduled
        }]
    );

    let task = get(&pool, lease.id).await;
    assert_eq!(task.status, TaskStatus::Scheduled);
    assert_eq!((task.attempt, task.lease), (1, lease.lease));
    assert_eq!(task.error_message.as_deref(), Some("exit code 3"));
    assert!(task.started_at.is_none() && task.assigned_worker.is_none());
    let records = attempts::list(&pool, lease.id).await.unwrap().unwrap();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.attempt, record.lease), (1, lease.lease));
    assert_eq!(record.outcome, "failed");
    assert_eq!((record.exit_code, record.signal), (Some(3), None));
    assert_eq!(record.worker_name.as_deref(), Some("w"));
    assert!(record.started_at.unwrap() <= record.finished_at.unwrap());
    // The wait is counted from the end, by the database's clock.
    let wait = task.scheduled_at - record.finished_at.unwrap();
    assert_eq!(wait, TimeDelta::seconds(90));

    sqlx::query("update tasks set scheduled_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    let again = claim_all(&pool, holder, 1).await;
    assert_eq!(again[0].lease, lease.lease + 1);
    let started = start::start(&pool, holder, again.clone()).await.unwrap();
    assert_eq!(started[0].attempt, 2);
    finish(&pool, holder.worker_id, vec![completed(again[0])])
        .await
        .unwrap();
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_is_to_be_cancelled_is_not_tried_again(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let leases = run(&pool, holder, &tasks(2, 5)).await;
    cancel::cancel(&pool, leases[0].id).await.unwrap();
    let ends = leases
        .iter()
        .map(|lease| failed_for_now(*lease, 0))
        .collect();
    let ended = finish(&pool, holder.worker_id, ends).await.unwrap();
    let expected = [
        (leases[0].id, TaskStatus::Cancelled),
        (leases[1].id, TaskStatus::Scheduled),
    ];
    assert_eq!(
        sorted(ended.iter().map(|ended| (ended.id, ended.status))),
        sorted(expected)
    );
    let task = get(&pool, leases[0].id).await;
    assert_eq!(task.status, TaskStatus::Cancelled);
    assert_eq!(
        (task.outcome, task.exit_code),
        (Some(Outcome::Cancelled), Some(3))
    );
    assert!(task.cancel_requested_at.is_some());
    assert_counts_are_exact(&pool).await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn one_that_completed_first_is_completed(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let lease = run_one(&pool, holder, task("x")).await;
    cancel::cancel(&pool, lease.id).await.unwrap();
    finish(&pool, holder.worker_id, vec![completed(lease)])
        .await
        .unwrap();
    let task = get(&pool, lease.id).await;
    assert_eq!(task.status, TaskStatus::Completed);
    assert!(task.cancel_requested_at.is_some());
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_was_to_be_cancelled_and_did_not_end_by_itself_is_cancelled(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let leases = run(&pool, holder, &tasks(6, 1)).await;
    let outcomes = [Outcome::Lost, Outcome::TimedOut, Outcome::Failed];
    let ends: Vec<Finish> = leases
        .iter()
        .zip(outcomes.into_iter().cycle())
        .map(|(lease, outcome)| Finish {
            outcome,
            ..failed(*lease)
        })
        .collect();
    for lease in &leases[..3] {
        cancel::cancel(&pool, lease.id).await.unwrap();
    }
    let ended = finish(&pool, holder.worker_id, ends).await.unwrap();
    for (n, lease) in leases.iter().enumerate() {
        let expected = match (n, outcomes[n % 3]) {
            (0..3, Outcome::Lost | Outcome::TimedOut) => {
                (TaskStatus::Cancelled, Outcome::Cancelled)
            }
            (_, outcome) => (TaskStatus::Failed, outcome),
        };
        let task = get(&pool, lease.id).await;
        assert_eq!((task.status, task.outcome), (expected.0, Some(expected.1)));
        assert_eq!(task.exit_code, Some(3), "what is known is kept");
        let told = ended.iter().find(|ended| ended.id == lease.id);
        assert_eq!(told.map(|ended| ended.status), Some(expected.0));
    }
    assert_counts_are_exact(&pool).await;
    let worker = workers::list(&pool).await.unwrap().remove(0);
    assert_eq!(worker.tasks_failed, 4);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_batch_of_ends_and_retries_is_written_whole(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let leases = run(&pool, holder, &tasks(500, 2)).await;
    let ends: Vec<Finish> = leases
        .iter()
        .zip(0u64..)
        .map(|(lease, i)| match i % 3 {
            0 => completed(*lease),
            1 => failed(*lease),
            _ => Finish {
                verdict: Verdict::RetryAfter(std::time::Duration::from_millis(i)),
                ..failed(*lease)
            },
        })
        .collect();
    let ended = finish(&pool, holder.worker_id, ends).await.unwrap();
    let of = |status| ended.iter().filter(|ended| ended.status == status).count();
    assert_eq!(of(TaskStatus::Completed), 167);
    assert_eq!(of(TaskStatus::Failed), 167);
    assert_eq!(of(TaskStatus::Scheduled), 166);
    assert_counts_are_exact(&pool).await;
    let worker = workers::list(&pool).await.unwrap().remove(0);
    assert_eq!((worker.tasks_completed, worker.tasks_failed), (167, 167));
}
