//! What becomes of submissions that come at the same time, on a real Postgres.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use futures_util::future::{join, join_all};
use serde_json::json;
use taskmaster_core::SubmitTask;
use taskmaster_testkit::sqlx::{self, Executor, Postgres, Transaction};
use taskmaster_testkit::{TestDatabase, until_waiting};

use super::*;

fn task(command: &str) -> NewTask {
    let task = SubmitTask::from_json(json!({"command": command})).unwrap();
    task.check(Uuid::now_v7()).unwrap()
}

fn of(tasks: Vec<NewTask>) -> Submission {
    Submission { tasks, key: None }
}

fn keyed(key: &str, command: &str) -> Submission {
    Submission {
        tasks: vec![task(command)],
        key: Some(key.parse().unwrap()),
    }
}

async fn database() -> (TestDatabase, GroupCommit) {
    let database = TestDatabase::create().await.unwrap();
    let commits = GroupCommit::spawn(database.pool().clone());
    (database, commits)
}

/// Nothing is stored until it ends.
async fn hold(pool: &PgPool) -> Transaction<'static, Postgres> {
    let mut holder = pool.begin().await.unwrap();
    holder
        .execute("lock table tasks in exclusive mode")
        .await
        .unwrap();
    holder
}

/// Submits these at the same time, while one more is being committed.
async fn together(
    database: &TestDatabase,
    commits: &GroupCommit,
    submissions: Vec<Submission>,
) -> Vec<Result<Committed>> {
    let holder = hold(database.pool()).await;
    let first = commits.submit(of(vec![task("first")]));
    let rest = async {
        until_waiting(database.pool(), 1).await.unwrap();
        // All are queued before the holder's end is looked at.
        let all = join_all(submissions.into_iter().map(|one| commits.submit(one)));
        let (all, ended) = join(all, holder.commit()).await;
        ended.unwrap();
        all
    };
    let (first, rest) = join(first, rest).await;
    first.unwrap();
    rest
}

fn stored(committed: Result<Committed>) -> Vec<(NewTask, Accepted)> {
    match committed.unwrap() {
        Committed::New(stored) => stored,
        Committed::Known(known) => panic!("known: {known:?}"),
    }
}

fn known(committed: Result<Committed>) -> Known {
    match committed.unwrap() {
        Committed::Known(known) => known,
        Committed::New(stored) => panic!("stored: {stored:?}"),
    }
}

async fn live(database: &TestDatabase) -> i64 {
    let count = sqlx::query_scalar("select count(*) from tasks");
    count.fetch_one(database.pool()).await.unwrap()
}

#[tokio::test]
async fn what_comes_during_a_commit_is_committed_together_and_each_gets_its_own() {
    let (database, commits) = database().await;
    let commands: Vec<String> = (0..25).map(|n| format!("echo {n}")).collect();
    let submissions = commands
        .iter()
        .map(|command| of(vec![task(command), task("second")]));
    let all = together(&database, &commits, submissions.collect()).await;
    let mut moments: HashSet<DateTime<Utc>> = HashSet::new();
    for (command, committed) in commands.iter().zip(all) {
        let stored = stored(committed);
        let own: Vec<&str> = stored.iter().map(|(task, _)| &*task.command).collect();
        assert_eq!(own, [command, "second"]);
        for (task, accepted) in stored {
            assert_eq!(task.id, accepted.id);
            moments.insert(accepted.created_at);
        }
    }
    assert_eq!(moments.len(), 1, "one statement");
    assert_eq!(live(&database).await, 51);
}

#[tokio::test]
async fn what_is_large_is_committed_by_itself() {
    let (database, commits) = database().await;
    let many = vec![task("a"); SMALL_TASKS + 1].into_iter();
    let many: Vec<NewTask> = many
        .map(|task| NewTask {
            id: Uuid::now_v7(),
            ..task
        })
        .collect();
    let mut long = task("a");
    long.stdin = Some("x".repeat(SMALL_BYTES));
    let small = of(vec![task("a")]);
    let all = together(&database, &commits, vec![of(many), of(vec![long]), small]).await;
    let mut moments = HashSet::new();
    for committed in all {
        let stored = stored(committed);
        moments.insert(stored[0].1.created_at);
    }
    assert_eq!(moments.len(), 3);
    assert_eq!(live(&database).await, SMALL_TASKS as i64 + 4);
}

#[tokio::test]
async fn one_that_postgres_refuses_takes_no_other_with_it() {
    let (database, commits) = database().await;
    let mut refused = task("b");
    refused.priority = 101;
    let submissions = vec![
        of(vec![task("a")]),
        of(vec![refused, task("b")]),
        keyed("key", "c"),
    ];
    let mut all = together(&database, &commits, submissions).await;
    assert_eq!(stored(all.remove(2))[0].0.command, "c");
    assert!(all.remove(1).unwrap_err().is_bad_data());
    assert_eq!(stored(all.remove(0))[0].0.command, "a");
    assert_eq!(live(&database).await, 3);
}

#[tokio::test]
async fn of_those_with_one_key_one_is_stored() {
    let (database, commits) = database().await;
    let submissions = vec![
        keyed("key-1", "a"),
        of(vec![task("b")]),
        keyed("key-1", "a"),
        keyed("key-2", "c"),
        keyed("key-1", "d"),
    ];
    let mut all = together(&database, &commits, submissions).await.into_iter();
    let mut next = || all.next().unwrap();
    let first = stored(next())[0].0.id;
    stored(next());
    let again = known(next());
    assert!(again.is_same);
    assert_eq!(again.task_ids, [first]);
    assert_eq!(stored(next())[0].0.command, "c");
    assert!(!known(next()).is_same);
    assert_eq!(live(&database).await, 4);
}

#[tokio::test]
async fn of_who_has_gone_before_its_turn_nothing_is_stored() {
    let (database, commits) = database().await;
    let holder = hold(database.pool()).await;
    let first = commits.submit(of(vec![task("first")]));
    let rest = async {
        until_waiting(database.pool(), 1).await.unwrap();
        let gone = commits.submit(of(vec![task("gone")]));
        // It is queued, and then nobody waits for it any longer.
        let queued = tokio::time::timeout(Duration::ZERO, gone).await;
        assert!(queued.is_err());
        let (last, ended) = join(commits.submit(of(vec![task("last")])), holder.commit()).await;
        ended.unwrap();
        stored(last);
    };
    let (first, ()) = join(first, rest).await;
    stored(first);
    assert_eq!(live(&database).await, 2);
}
