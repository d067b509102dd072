//! Which tasks are claimed, in which order, by whom.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use taskmaster_core::{ExecutorKind, NewTask, SimulateOptions, TaskStatus, When};
use taskmaster_store::claim::Marks;
use taskmaster_store::{PgPool, claim};
use uuid::Uuid;

use crate::support::{assign, get, ids, sorted, submit_all, task, tasks, worker};

fn at(second: i64) -> When {
    When::At(DateTime::<Utc>::from_timestamp(1_700_000_000 + second, 0).unwrap())
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_what_is_due(pool: PgPool) {
    let later = NewTask {
        when: When::AfterSeconds(3600),
        priority: 100,
        ..task("later")
    };
    let now = task("now");
    submit_all(&pool, &[later.clone(), now.clone()]).await;
    let claimed = claim::claim(&pool, &[7, 7]).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].task.id, claimed[0].worker_id), (now.id, 7));
    assert_eq!(claimed[0].task.lease, 1);

    let task = get(&pool, now.id).await;
    assert_eq!(task.status, TaskStatus::Assigned);
    assert_eq!((task.lease, task.attempt), (1, 0));
    assert_eq!(task.assigned_worker, Some(7));
    assert!(task.picked_at.is_some() && task.started_at.is_none());

    // An hour later.
    sqlx::query("update tasks set scheduled_at = now() where picked_at is null")
        .execute(&pool)
        .await
        .unwrap();
    let claimed = claim::claim(&pool, &[7, 7]).await.unwrap();
    assert_eq!(claimed[0].task.id, later.id);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn highest_priority_then_oldest_in_the_order_of_the_plan(pool: PgPool) {
    // (priority, due, place in the claim)
    let wanted = [
        (0, 5, 4),
        (100, 9, 1),
        (-100, 0, 6),
        (0, 4, 3),
        (100, 8, 0),
        (5, 99, 2),
        (-1, 1, 5),
    ];
    let new = wanted.map(|(priority, due, place)| {
        (
            place,
            NewTask {
                priority,
                when: at(due),
                ..task("x")
            },
        )
    });
    submit_all(&pool, &new.clone().map(|(_, new)| new)).await;
    let order: Vec<Uuid> = {
        let mut new = new.to_vec();
        new.sort_by_key(|(place, _)| *place);
        new.into_iter().map(|(_, new)| new.id).collect()
    };

    let plan = [3, 1, 2, 3];
    let first = claim::claim(&pool, &plan).await.unwrap();
    assert_eq!(first.iter().map(|c| c.worker_id).collect::<Vec<_>>(), plan);
    // Fewer are due than planned: the beginning of the plan is carried out.
    let second = claim::claim(&pool, &[9, 8, 7, 6, 5]).await.unwrap();
    assert_eq!(
        second.iter().map(|c| c.worker_id).collect::<Vec<_>>(),
        [9, 8, 7]
    );
    let claimed: Vec<Uuid> = first.iter().chain(&second).map(|c| c.task.id).collect();
    assert_eq!(claimed, order);
    assert!(claim::claim(&pool, &plan).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn of_the_same_time_the_first_id_goes_first(pool: PgPool) {
    let mut new = tasks(20, 1);
    for task in &mut new {
        task.when = at(0);
    }
    submit_all(&pool, &new).await;
    let claimed = claim::claim(&pool, &[1; 30]).await.unwrap();
    let claimed: Vec<Uuid> = claimed.iter().map(|c| c.task.id).collect();
    assert_eq!(claimed, sorted(new.iter().map(|new| new.id)));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn no_more_than_planned(pool: PgPool) {
    submit_all(&pool, &tasks(10, 1)).await;
    assert!(claim::claim(&pool, &[]).await.unwrap().is_empty());
    assert_eq!(claim::claim(&pool, &[1, 2, 3]).await.unwrap().len(), 3);
    let held: i64 = sqlx::query_scalar("select count(*) from tasks where picked_at is not null")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(held, 3);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn passes_over_what_another_has_locked(pool: PgPool) {
    let new = [0, 1, 2].map(|second| NewTask {
        when: at(second),
        ..task("x")
    });
    submit_all(&pool, &new).await;
    let mut other = pool.begin().await.unwrap();
    sqlx::query("select from tasks where id = $1 for update")
        .bind(new[0].id)
        .execute(&mut *other)
        .await
        .unwrap();
    let claimed = claim::claim(&pool, &[1, 2]).await.unwrap();
    let got: Vec<_> = claimed.iter().map(|c| (c.task.id, c.worker_id)).collect();
    assert_eq!(got, [(new[1].id, 1), (new[2].id, 2)]);
    other.rollback().await.unwrap();
    let claimed = claim::claim(&pool, &[1]).await.unwrap();
    assert_eq!(claimed[0].task.id, new[0].id);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn never_to_two(options: PgPoolOptions, connect: PgConnectOptions) {
    const CLAIMERS: i32 = 6;
    let pool = options
        .max_connections(CLAIMERS as u32)
        .connect_with(connect)
        .await
        .unwrap();
    let new = tasks(2000, 1);
    for chunk in new.chunks(1000) {
        submit_all(&pool, chunk).await;
    }
    let claimers = (1..=CLAIMERS).map(|worker| {
        let pool = pool.clone();
        async move {
            let mut got = Vec::new();
            loop {
                // A claim may come back short, for what others have locked, but not empty while there is enough.
                let claimed = claim::claim(&pool, &[worker; 17]).await.unwrap();
                if claimed.is_empty() {
                    return got;
                }
                got.extend(claimed);
            }
        }
    });
    let mut got: Vec<_> = join_all(claimers).await.concat();
    // What all passed over because another had it locked for a moment.
    got.extend(claim::claim(&pool, &[1; 2000]).await.unwrap());

    assert!(got.iter().all(|claimed| claimed.task.lease == 1));
    let holders: HashMap<Uuid, i32> = got.iter().map(|c| (c.task.id, c.worker_id)).collect();
    assert_eq!((got.len(), holders.len()), (2000, 2000));
    let stored: Vec<(Uuid, i32)> = sqlx::query_as("select id, assigned_worker from tasks")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(HashMap::from_iter(stored), holders);
    pool.close().await;
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn tells_how_long_a_simulated_task_waits(pool: PgPool) {
    let new = NewTask {
        executor: ExecutorKind::Simulate,
        simulate: Some(SimulateOptions::default()),
        ..task("x")
    };
    submit_all(&pool, &[new]).await;
    assert_eq!(claim::claim(&pool, &[1]).await.unwrap()[0].wait_ms, 2000);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn knows_when_the_next_is_due(pool: PgPool) {
    assert_eq!(
        claim::next_due_in_ms(&pool, &Marks::default())
            .await
            .unwrap(),
        None
    );
    let in_seconds = |priority, seconds| NewTask {
        priority,
        when: When::AfterSeconds(seconds),
        ..task("x")
    };
    submit_all(&pool, &[in_seconds(50, 7200), in_seconds(-50, 3600)]).await;
    let next = claim::next_due_in_ms(&pool, &Marks::default())
        .await
        .unwrap()
        .unwrap();
    assert!((3_500_000..=3_600_000).contains(&next), "{next}");

    let holder = worker(&pool, "w").await;
    submit_all(&pool, &[task("now")]).await;
    assert_eq!(
        claim::next_due_in_ms(&pool, &Marks::default())
            .await
            .unwrap(),
        Some(0)
    );
    // What is held is not waited for.
    claim::claim(&pool, &[holder.worker_id]).await.unwrap();
    assert!(
        claim::next_due_in_ms(&pool, &Marks::default())
            .await
            .unwrap()
            > Some(0)
    );
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_became_due_long_ago_keeps_its_place_after_a_release(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let old = NewTask {
        when: at(0),
        ..task("old")
    };
    let held = assign(&pool, holder, std::slice::from_ref(&old)).await;
    submit_all(&pool, &tasks(3, 1)).await;
    assert_eq!(claim::release(&pool, held).await.unwrap(), [old.id]);
    let claimed = claim::claim(&pool, &[holder.worker_id]).await.unwrap();
    assert_eq!(claimed[0].task.id, old.id);
    assert_eq!(claimed[0].task.lease, 2);
    let task = get(&pool, old.id).await;
    assert!(task.picked_at.unwrap() - task.scheduled_at > TimeDelta::days(1));
    assert_eq!(ids(&[claimed[0].task]), [old.id]);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn goes_on_from_its_marks_and_finds_what_lies_between(pool: PgPool) {
    let of = |priority| NewTask {
        priority,
        ..task("x")
    };
    let priorities = async |tasks: &[claim::Claimed]| {
        let mut priorities = Vec::new();
        for claimed in tasks {
            priorities.push(get(&pool, claimed.task.id).await.priority);
        }
        priorities
    };
    let mut marks = Marks::default();
    submit_all(&pool, &[0, 0, 0, 50, -50].map(of)).await;
    let first = claim::claim_on(&pool, &[1; 3], &mut marks).await.unwrap();
    assert_eq!(priorities(&first).await, [50, 0, 0]);
    // Above, below and between what it knows, two of them between the same two.
    submit_all(&pool, &[100, 30, 25, -10, -100].map(of)).await;
    let second = claim::claim_on(&pool, &[1; 9], &mut marks).await.unwrap();
    assert_eq!(priorities(&second).await, [100, 30, 25, 0, -10, -50, -100]);

    // What is given back is behind its mark, until that is forgotten.
    let given_back = vec![first[1].task];
    assert_eq!(claim::release(&pool, given_back).await.unwrap().len(), 1);
    assert_eq!(claim::next_due_in_ms(&pool, &marks).await.unwrap(), None);
    assert!(
        claim::claim_on(&pool, &[1; 9], &mut marks)
            .await
            .unwrap()
            .is_empty()
    );
    marks.forget();
    assert_eq!(claim::next_due_in_ms(&pool, &marks).await.unwrap(), Some(0));
    let third = claim::claim_on(&pool, &[1; 9], &mut marks).await.unwrap();
    assert_eq!(third[0].task.id, first[1].task.id);
}
