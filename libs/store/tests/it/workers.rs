//! The workers: registered, alive, with room.

use taskmaster_core::{ExecutorKind, NewTask, SimulateOptions};
use taskmaster_store::workers::{
    Available, Held, Known, Registration, available, list, register, sign_off,
};
use taskmaster_store::{PgPool, cancel, finish};
use uuid::Uuid;

use crate::support::{
    age_heartbeat, assign, completed, heartbeat, ids, run, sorted, task, tasks, worker,
};

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_new_incarnation_keeps_the_id_and_the_counters(pool: PgPool) {
    let older = worker(&pool, "w").await;
    let lease = run(&pool, older, &[task("x")]).await[0];
    finish::finish(&pool, older.worker_id, vec![completed(lease)])
        .await
        .unwrap();
    workers_window(&pool, older, 40).await;
    let first = list(&pool).await.unwrap().remove(0);
    assert_eq!(
        (first.name.as_str(), first.slots, first.pid),
        ("w", 4, 4711)
    );
    assert_eq!(
        (first.host.as_str(), first.version.as_str()),
        ("here", "1.2.3")
    );

    let registration = Registration {
        name: "w",
        incarnation: Uuid::now_v7(),
        slots: 2,
        host: "there",
        pid: 42,
        version: "2.0.0",
        heartbeat_timeout_seconds: 30,
    };
    let id = register(&pool, &registration).await.unwrap();
    assert_eq!(id, older.worker_id);
    let workers = list(&pool).await.unwrap();
    assert_eq!(workers.len(), 1);
    let second = &workers[0];
    assert_eq!(
        (second.slots, second.pid, second.tasks_completed),
        (2, 42, 1)
    );
    assert_eq!(
        (second.host.as_str(), second.version.as_str()),
        ("there", "2.0.0")
    );
    assert!(second.started_at > first.started_at);
    // What the older one had earned of a window is not the newer one's.
    assert_eq!(available(&pool, true).await.unwrap()[0].claim_window, 2);
}

async fn workers_window(pool: &PgPool, holder: taskmaster_store::start::Holder, window: i32) {
    let known = heartbeat(pool, holder, window, false).await.unwrap();
    assert!(known.is_some());
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_heartbeat_says_what_is_held(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let other = worker(&pool, "other").await;
    let nothing = Known {
        held: Vec::new(),
        drain_requested: false,
    };
    assert_eq!(
        heartbeat(&pool, holder, 4, false).await.unwrap(),
        Some(nothing)
    );
    let running = run(&pool, holder, &tasks(2, 1)).await;
    run(&pool, other, &tasks(1, 1)).await;
    cancel::cancel(&pool, running[1].id).await.unwrap();
    let waiting = NewTask {
        executor: ExecutorKind::Simulate,
        simulate: Some(SimulateOptions::default()),
        ..task("x")
    };
    let waiting = assign(&pool, holder, &[waiting]).await[0];
    age_heartbeat(&pool, holder, 3600).await;
    let mut held = heartbeat(&pool, holder, 4, false)
        .await
        .unwrap()
        .unwrap()
        .held;
    held.sort_by_key(|held| held.task.id);
    let expected = [
        (running[0], true, false, 0),
        (running[1], true, true, 0),
        (waiting, false, false, 2000),
    ];
    let mut expected = expected.map(|(task, running, cancel_requested, wait_ms)| Held {
        task,
        running,
        cancel_requested,
        wait_ms,
    });
    expected.sort_by_key(|held| held.task.id);
    assert_eq!(held, expected);
    assert!(
        taskmaster_store::rescue::mark_offline(&pool)
            .await
            .unwrap()
            .is_empty()
    );
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn an_older_incarnation_is_told_so_and_changes_nothing(pool: PgPool) {
    let older = worker(&pool, "w").await;
    let newer = worker(&pool, "w").await;
    assert_eq!(heartbeat(&pool, older, 99, true).await.unwrap(), None);
    sign_off(&pool, older).await.unwrap();
    let worker = list(&pool).await.unwrap().remove(0);
    assert_eq!(worker.status, "idle");
    assert_eq!(available(&pool, true).await.unwrap()[0].claim_window, 4);
    assert!(heartbeat(&pool, newer, 4, false).await.unwrap().is_some());
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn each_status_is_listed(pool: PgPool) {
    let idle = worker(&pool, "idle").await;
    let busy = worker(&pool, "busy").await;
    let draining = worker(&pool, "draining").await;
    let offline = worker(&pool, "offline").await;
    let gone = worker(&pool, "gone for a day").await;
    let assigned = assign(&pool, idle, &tasks(2, 1)).await;
    let running = run(&pool, busy, &tasks(3, 1)).await;
    // The longest-running first.
    sqlx::query("update tasks set started_at = now() - interval '1 hour' where id = $1")
        .bind(running[2].id)
        .execute(&pool)
        .await
        .unwrap();
    run(&pool, draining, &tasks(1, 1)).await;
    heartbeat(&pool, draining, 4, true).await.unwrap();
    sign_off(&pool, offline).await.unwrap();
    sign_off(&pool, gone).await.unwrap();
    age_heartbeat(&pool, gone, 24 * 3600 + 60).await;

    let workers = list(&pool).await.unwrap();
    let seen: Vec<_> = workers
        .iter()
        .map(|w| (w.name.as_str(), w.status.as_str(), w.running, w.assigned))
        .collect();
    assert_eq!(
        seen,
        [
            // Busy is who runs something.
            ("idle", "idle", 0, assigned.len() as i64),
            ("busy", "busy", 3, 0),
            ("draining", "draining", 1, 0),
            ("offline", "offline", 0, 0),
        ]
    );
    let current = &workers[1].current_task_ids;
    assert_eq!(current[0], running[2].id);
    assert_eq!(sorted(current.clone()), sorted(ids(&running)));
    assert!(workers[0].current_task_ids.is_empty());
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_who_is_online_has_room(pool: PgPool) {
    let first = worker(&pool, "first").await;
    let draining = worker(&pool, "draining").await;
    let second = worker(&pool, "second").await;
    let offline = worker(&pool, "offline").await;
    heartbeat(&pool, draining, 4, true).await.unwrap();
    sign_off(&pool, offline).await.unwrap();
    run(&pool, first, &tasks(2, 1)).await;
    assign(&pool, first, &tasks(3, 1)).await;
    heartbeat(&pool, second, 50, false).await.unwrap();
    let mut workers = available(&pool, true).await.unwrap();
    workers.sort_by_key(|worker| worker.id);
    let expected = [
        (first.worker_id, "first", 4, 5),
        (second.worker_id, "second", 50, 0),
    ]
    .map(|(id, name, claim_window, held)| Available {
        id,
        name: name.to_owned(),
        slots: 4,
        claim_window,
        ended: 0,
        held: Some(held),
    });
    assert_eq!(workers, expected);
    // Not counted, and yet it is told what has ended since.
    let lease = run(&pool, first, &[task("ends")]).await[0];
    finish::finish(&pool, first.worker_id, vec![completed(lease)])
        .await
        .unwrap();
    let mut workers = available(&pool, false).await.unwrap();
    workers.sort_by_key(|worker| worker.id);
    assert!(workers.iter().all(|worker| worker.held.is_none()));
    assert_eq!(workers[0].ended, 1);
    // A window is never smaller than the slots.
    heartbeat(&pool, second, 1, false).await.unwrap();
    let workers = available(&pool, true).await.unwrap();
    assert!(workers.iter().all(|worker| worker.claim_window == 4));
}
