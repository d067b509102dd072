//! The start, and who is refused it.

use taskmaster_core::{NewTask, TaskLease, TaskStatus};
use taskmaster_store::start::{Holder, running, start};
use taskmaster_store::{PgPool, cancel, claim, finish};
use uuid::Uuid;

use crate::support::{
    assign, claim_all, completed, failed_for_now, get, ids, run, sorted, status, task, tasks,
    worker,
};

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn commits_what_it_returns(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let assigned = assign(&pool, holder, &tasks(5, 1)).await;
    let started = start(&pool, holder, assigned.clone()).await.unwrap();
    assert_eq!(
        sorted(started.iter().map(|started| started.task.id)),
        sorted(ids(&assigned))
    );
    for TaskLease { id, lease } in assigned {
        let task = get(&pool, id).await;
        assert_eq!(task.status, TaskStatus::Running);
        assert_eq!((task.attempt, task.lease), (1, lease));
        assert!(task.started_at.unwrap() >= task.picked_at.unwrap());
        assert_eq!(task.assigned_worker_name.as_deref(), Some("w"));
        assert!(task.finished_at.is_none());
    }
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_under_the_latest_lease(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let assigned = assign(&pool, holder, &[task("x")]).await;
    let TaskLease { id, lease } = assigned[0];
    for lease in [lease - 1, lease + 1] {
        let wrong = vec![TaskLease { id, lease }];
        assert!(start(&pool, holder, wrong).await.unwrap().is_empty());
    }
    assert_eq!(status(&pool, id).await, TaskStatus::Assigned);
    assert_eq!(start(&pool, holder, assigned).await.unwrap().len(), 1);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_by_the_worker_it_was_given_to(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let other = worker(&pool, "other").await;
    let assigned = assign(&pool, holder, &[task("x")]).await;
    for wrong in [
        other,
        Holder {
            worker_id: other.worker_id,
            ..holder
        },
        Holder {
            worker_id: holder.worker_id,
            ..other
        },
        Holder {
            worker_id: 4711,
            ..holder
        },
    ] {
        assert!(
            start(&pool, wrong, assigned.clone())
                .await
                .unwrap()
                .is_empty()
        );
    }
    assert_eq!(start(&pool, holder, assigned).await.unwrap().len(), 1);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_by_the_newest_incarnation(pool: PgPool) {
    let older = worker(&pool, "w").await;
    let assigned = assign(&pool, older, &[task("x")]).await;
    let newer = worker(&pool, "w").await;
    assert_eq!(older.worker_id, newer.worker_id);
    assert!(
        start(&pool, older, assigned.clone())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(status(&pool, assigned[0].id).await, TaskStatus::Assigned);
    assert_eq!(start(&pool, newer, assigned).await.unwrap().len(), 1);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_once(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let assigned = assign(&pool, holder, &tasks(3, 9)).await;
    // An assignment that came twice, in one batch and in two.
    let doubled = [assigned.clone(), assigned.clone()].concat();
    assert_eq!(start(&pool, holder, doubled).await.unwrap().len(), 3);
    assert!(
        start(&pool, holder, assigned.clone())
            .await
            .unwrap()
            .is_empty()
    );
    for id in ids(&assigned) {
        assert_eq!(get(&pool, id).await.attempt, 1);
    }
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn refuses_each_by_itself(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let assigned = assign(&pool, holder, &tasks(5, 1)).await;
    claim::release(&pool, vec![assigned[0]]).await.unwrap();
    cancel::cancel(&pool, assigned[1].id).await.unwrap();
    start(&pool, holder, vec![assigned[2]]).await.unwrap();
    let mut batch = assigned.clone();
    batch.push(TaskLease {
        id: Uuid::now_v7(),
        lease: 1,
    });
    batch.reverse();
    let started = start(&pool, holder, batch).await.unwrap();
    assert_eq!(
        sorted(started.iter().map(|started| started.task.id)),
        sorted(ids(&assigned[3..]))
    );
    assert!(start(&pool, holder, Vec::new()).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn running_is_what_start_would_have_returned(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let other = worker(&pool, "other").await;
    let assigned = assign(&pool, holder, &tasks(4, 3)).await;
    let mut started = start(&pool, holder, assigned[..2].to_vec()).await.unwrap();
    started.sort_by_key(|started| started.task.id);
    let stale = TaskLease {
        lease: 7,
        ..assigned[0]
    };
    let asked = [&assigned[..], &[stale]].concat();
    let mut found = running(&pool, holder, &asked).await.unwrap();
    found.sort_by_key(|started| started.task.id);
    assert_eq!(found, started);
    assert!(running(&pool, other, &asked).await.unwrap().is_empty());

    // What has ended is not running.
    finish::finish(&pool, holder.worker_id, vec![completed(assigned[0])])
        .await
        .unwrap();
    let found = running(&pool, holder, &asked).await.unwrap();
    assert_eq!(found, started[1..]);
    // Nor is anything to be run by a process that was superseded.
    let newer = worker(&pool, "w").await;
    assert!(running(&pool, holder, &asked).await.unwrap().is_empty());
    assert_eq!(running(&pool, newer, &asked).await.unwrap(), found);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn counts_attempts_up_to_the_last(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let new = NewTask {
        max_attempts: 3,
        ..task("x")
    };
    let mut lease = run(&pool, holder, &[new]).await[0];
    for attempt in 2..=3 {
        finish::finish(&pool, holder.worker_id, vec![failed_for_now(lease, 0)])
            .await
            .unwrap();
        lease = claim_all(&pool, holder, 1).await[0];
        let started = start(&pool, holder, vec![lease]).await.unwrap();
        assert_eq!(
            (started[0].attempt, started[0].task.lease),
            (attempt, attempt)
        );
    }
}
