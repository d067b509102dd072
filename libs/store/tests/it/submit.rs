//! Taking tasks in.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use taskmaster_core::{ExecutorKind, NewTask, SimulateOptions, TaskStatus, When};
use taskmaster_store::claim::Marks;
use taskmaster_store::{PgPool, claim, finish, start, submit};
use uuid::Uuid;

use crate::support::{
    assign, claim_all, completed, get, run_one, somebody_waits, sorted, task, tasks, worker,
};

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn every_field_reaches_the_worker(pool: PgPool) {
    let full = NewTask {
        argv: Some(vec!["printf".to_owned(), "%s 'quoted' \"ünï\"".to_owned()]),
        priority: -7,
        timeout_seconds: Some(90),
        max_attempts: 5,
        env: Some(BTreeMap::from([
            ("A".to_owned(), String::new()),
            ("B".to_owned(), "x=\"y\"\n\\".to_owned()),
        ])),
        stdin: Some("line 1\nline 2\t{}\n".to_owned()),
        executor: ExecutorKind::Simulate,
        simulate: Some(SimulateOptions {
            wait_ms: 1,
            run_ms: 2,
            fail: true,
        }),
        ..task("printf '%s' {a,b} \\ $HOME")
    };
    let bare = NewTask {
        priority: -8,
        ..task("x")
    };
    let holder = worker(&pool, "w").await;
    let assigned = assign(&pool, holder, &[full.clone(), bare.clone()]).await;
    let mut started = start::start(&pool, holder, assigned).await.unwrap();
    started.sort_by_key(|started| started.task.id);

    let [first, second] = &started[..] else {
        panic!("{started:?}");
    };
    assert_eq!(first.task.id, full.id);
    assert_eq!(first.command, full.command);
    assert_eq!(first.argv, full.argv);
    assert_eq!(first.env, Vec::from_iter(full.env.unwrap()));
    assert_eq!(first.stdin, full.stdin);
    assert_eq!(first.timeout_seconds, Some(90));
    assert_eq!((first.attempt, first.max_attempts), (1, 5));
    assert_eq!(first.executor, ExecutorKind::Simulate);
    assert_eq!(first.simulate, full.simulate);

    assert_eq!(second.task.id, bare.id);
    assert_eq!(second.executor, ExecutorKind::Process);
    assert_eq!((second.attempt, second.max_attempts), (1, 1));
    assert!(second.env.is_empty());
    assert!(second.argv.is_none() && second.stdin.is_none());
    assert!(second.timeout_seconds.is_none() && second.simulate.is_none());

    let shown = get(&pool, full.id).await;
    assert_eq!(shown.executor, "simulate");
    assert_eq!((shown.priority, shown.stdin), (-7, true));
    assert_eq!(shown.env.unwrap()["B"], "x=\"y\"\n\\");
    assert!(!get(&pool, bare.id).await.stdin);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn says_when_each_is_due(pool: PgPool) {
    let past: DateTime<Utc> = "2026-01-23T10:00:00+01:00".parse().unwrap();
    let far: DateTime<Utc> = "2126-01-23T10:00:00.123456Z".parse().unwrap();
    let when = [
        When::Now,
        When::AfterSeconds(90),
        When::At(past),
        When::At(far),
    ];
    let new = when.map(|when| NewTask {
        when,
        ..task("date")
    });
    let mut accepted = submit::submit(&pool, &new).await.unwrap();
    accepted.sort_by_key(|accepted| accepted.id);

    assert_eq!(
        accepted.iter().map(|a| a.id).collect::<Vec<_>>(),
        new.each_ref().map(|new| new.id)
    );
    let due: Vec<bool> = accepted.iter().map(|accepted| accepted.due).collect();
    assert_eq!(due, [true, false, true, false]);
    let [now, later, before, after] = &accepted[..] else {
        panic!("{accepted:?}");
    };
    assert_eq!(now.scheduled_at, now.created_at);
    assert_eq!(
        later.scheduled_at - later.created_at,
        TimeDelta::seconds(90)
    );
    assert_eq!((before.scheduled_at, after.scheduled_at), (past, far));
    let stored = get(&pool, later.id).await;
    assert_eq!(
        (stored.created_at, stored.scheduled_at),
        (later.created_at, later.scheduled_at)
    );
    assert_eq!(stored.status, TaskStatus::Scheduled);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn an_id_that_is_there_is_left_as_it_is(pool: PgPool) {
    let first = task("first");
    let second = NewTask {
        id: first.id,
        ..task("second")
    };
    let other = task("other");
    let batch = [first.clone(), second.clone()];
    assert_eq!(submit::submit(&pool, &batch).await.unwrap().len(), 1);
    let accepted = submit::submit(&pool, &[second, other.clone()])
        .await
        .unwrap();
    assert_eq!(
        accepted.iter().map(|a| a.id).collect::<Vec<_>>(),
        [other.id]
    );
    assert_eq!(get(&pool, first.id).await.command, "first");
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn all_or_none(pool: PgPool) {
    let good = task("good");
    for bad in [
        task(""),
        task("a\0b"),
        NewTask {
            priority: 101,
            ..task("x")
        },
    ] {
        let error = submit::submit(&pool, &[good.clone(), bad])
            .await
            .unwrap_err();
        assert!(error.is_bad_data() && !error.is_unavailable(), "{error}");
    }
    assert!(submit::submit(&pool, &[]).await.unwrap().is_empty());
    assert_eq!(
        claim::next_due_in_ms(&pool, &Marks::default())
            .await
            .unwrap(),
        None
    );
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_thousand_at_once(pool: PgPool) {
    let mut new = tasks(1000, 1);
    for (task, delay) in new.iter_mut().zip(0..) {
        task.when = When::AfterSeconds(delay % 2 * 60);
        task.env = (delay % 3 == 0).then(|| BTreeMap::from([("N".to_owned(), delay.to_string())]));
    }
    let accepted = submit::submit(&pool, &new).await.unwrap();
    assert_eq!(
        sorted(accepted.iter().map(|accepted| accepted.id)),
        sorted(new.iter().map(|new| new.id))
    );
    assert_eq!(accepted.iter().filter(|accepted| accepted.due).count(), 500);
    let task = get(&pool, new[999].id).await;
    assert_eq!(task.command, "echo 999");
    assert_eq!(task.env.unwrap()["N"], "999");
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn again_what_has_ended_since_is_not_run_twice(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let ended = task("ended");
    let lease = run_one(&pool, holder, ended.clone()).await;
    finish::finish(&pool, holder.worker_id, vec![completed(lease)])
        .await
        .unwrap();
    let live = task("live");
    assign(&pool, holder, std::slice::from_ref(&live)).await;
    let lost = task("never stored");

    let accepted = submit::submit_again(&pool, &[ended.clone(), live.clone(), lost.clone()])
        .await
        .unwrap();
    assert_eq!(accepted.iter().map(|a| a.id).collect::<Vec<_>>(), [lost.id]);
    assert_eq!(get(&pool, ended.id).await.status, TaskStatus::Completed);
    assert_eq!(get(&pool, live.id).await.status, TaskStatus::Assigned);
    assert_eq!(claim_all(&pool, holder, 1).await[0].id, lost.id);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn again_what_ends_meanwhile_is_not_run_twice(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let new = task("ends");
    run_one(&pool, holder, new.clone()).await;
    let mut ends = pool.begin().await.unwrap();
    sqlx::query(
        "with gone as (delete from tasks returning *)
         insert into finished_tasks (id, command, executor, priority, status, outcome, lease, attempt, max_attempts,
             created_at, scheduled_at, started_at, finished_at)
         select id, command, executor, priority, 'completed', 'completed', lease, attempt, max_attempts,
             created_at, scheduled_at, started_at, now() from gone",
    )
    .execute(&mut *ends)
    .await
    .unwrap();

    let again = {
        let (pool, new) = (pool.clone(), new.clone());
        tokio::spawn(async move { submit::submit_again(&pool, &[new]).await })
    };
    somebody_waits(&pool).await;
    ends.commit().await.unwrap();
    assert!(again.await.unwrap().unwrap().is_empty());
    let live: Option<Uuid> = sqlx::query_scalar("select id from tasks")
        .fetch_optional(&pool)
        .await
        .unwrap();
    assert_eq!(live, None);
}
