//! Claims that are taken back before the start.

use taskmaster_core::{TaskLease, TaskStatus};
use taskmaster_store::{PgPool, claim, start};

use crate::support::{assign, claim_all, get, run, task, tasks, worker};

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn spends_no_attempt_and_leaves_the_old_message_worthless(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let before = assign(&pool, holder, &[task("x")]).await;
    let assigned = get(&pool, before[0].id).await;
    let released = claim::release(&pool, before.clone()).await.unwrap();
    assert_eq!(released, [before[0].id]);

    let task = get(&pool, before[0].id).await;
    assert_eq!(task.status, TaskStatus::Scheduled);
    assert_eq!((task.attempt, task.lease), (0, before[0].lease));
    assert_eq!(task.scheduled_at, assigned.scheduled_at);
    assert!(task.picked_at.is_none() && task.assigned_worker.is_none());

    // The message of the old claim arrives after all, before and after the next claim.
    assert!(
        start::start(&pool, holder, before.clone())
            .await
            .unwrap()
            .is_empty()
    );
    let after = claim_all(&pool, holder, 1).await;
    assert_eq!(after[0].lease, before[0].lease + 1);
    assert!(
        start::start(&pool, holder, before.clone())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(claim::release(&pool, before).await.unwrap().is_empty());
    let started = start::start(&pool, holder, after).await.unwrap();
    assert_eq!(started[0].attempt, 1);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_what_is_assigned(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let running = run(&pool, holder, &tasks(2, 1)).await;
    let assigned = assign(&pool, holder, &tasks(2, 1)).await;
    let wrong = TaskLease {
        lease: 5,
        ..assigned[1]
    };
    let asked = vec![running[0], running[1], assigned[0], wrong, assigned[0]];
    let released = claim::release(&pool, asked).await.unwrap();
    assert_eq!(released, [assigned[0].id]);
    for task in running {
        assert_eq!(get(&pool, task.id).await.status, TaskStatus::Running);
    }
    let kept = get(&pool, assigned[1].id).await;
    assert_eq!(kept.status, TaskStatus::Assigned);
    assert!(claim::release(&pool, Vec::new()).await.unwrap().is_empty());
}
