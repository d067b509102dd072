//! Submitting again under the same key.

use sqlx::{Connection, PgConnection};
use taskmaster_core::{Fingerprint, NewTask, TaskStatus};
use taskmaster_store::keys::{self, Keyed, Known, Scope};
use taskmaster_store::submit::{Batch, Submitted, submit_keyed, submit_keyed_again};
use taskmaster_store::{PgPool, finish, partitions, start};
use uuid::Uuid;

use crate::explain::{Mode, plan};
use crate::support::{
    claim_all, completed, get, own_pool, run_one, sorted, status, task, tasks, worker,
};

/// A batch of a test's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lot {
    pub(crate) tasks: Vec<NewTask>,
    keyed: Vec<Keyed>,
}

impl Lot {
    /// The same and tasks without a key.
    pub(crate) fn and(mut self, tasks: &[NewTask]) -> Self {
        self.tasks.extend_from_slice(tasks);
        self
    }

    /// The same and a submission under a key.
    pub(crate) fn and_keyed(self, key: &str, tasks: &[NewTask]) -> Self {
        let start = self.tasks.len();
        let mut lot = self.and(tasks);
        lot.keyed.push(Keyed {
            key: key.parse().unwrap(),
            fingerprint: Fingerprint::of(tasks),
            tasks: start..lot.tasks.len(),
        });
        lot
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch {
            tasks: &self.tasks,
            keyed: &self.keyed,
            scope: Scope::Amqp,
        }
    }
}

/// One submission under a key.
pub(crate) fn keyed(key: &str, tasks: &[NewTask]) -> Lot {
    Lot::default().and_keyed(key, tasks)
}

/// The ids of what was stored, sorted.
pub(crate) fn stored(submitted: &Submitted) -> Vec<Uuid> {
    sorted(submitted.accepted.iter().map(|accepted| accepted.id))
}

fn ids(tasks: &[NewTask]) -> Vec<Uuid> {
    tasks.iter().map(|task| task.id).collect()
}

fn known(index: usize, is_same: bool, first: &[NewTask]) -> Known {
    Known {
        index,
        is_same,
        task_ids: ids(first),
    }
}

/// How many tasks and keys there are.
async fn counts(pool: &PgPool) -> (i64, i64) {
    sqlx::query_as(
        "select (select count(*) from all_tasks), (select count(*) from idempotency_keys)",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

async fn make_older(pool: &PgPool, key: &str, age: &str) {
    let statement = "update idempotency_keys set created_at = now() - $2::interval where key = $1";
    let done = sqlx::query(statement).bind(key).bind(age).execute(pool);
    assert_eq!(done.await.unwrap().rows_affected(), 1);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn the_same_again_names_the_first_tasks_whatever_became_of_them(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let first = tasks(3, 1);
    let submitted = submit_keyed(&pool, keyed("k", &first).batch()).await;
    let submitted = submitted.unwrap();
    assert_eq!(stored(&submitted), ids(&first));
    assert!(submitted.known.is_empty());

    for lease in claim_all(&pool, holder, 3).await.into_iter().take(2) {
        let started = start::start(&pool, holder, vec![lease]).await;
        assert_eq!(started.unwrap().len(), 1);
        let ended = finish::finish(&pool, holder.worker_id, vec![completed(lease)]).await;
        ended.unwrap();
    }
    // The same content has ids of its own each time.
    let second = tasks(3, 1);
    let again = submit_keyed(&pool, keyed("k", &second).batch()).await;
    let again = again.unwrap();
    assert!(again.accepted.is_empty());
    assert_eq!(again.known, [known(0, true, &first)]);
    assert_eq!(counts(&pool).await, (3, 1));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn other_content_under_the_same_key_is_not_stored(pool: PgPool) {
    let first = tasks(2, 1);
    submit_keyed(&pool, keyed("k", &first).batch())
        .await
        .unwrap();
    let reversed: Vec<NewTask> = first.iter().rev().cloned().collect();
    for other in [tasks(1, 1), tasks(2, 2), tasks(3, 1), reversed] {
        let refused = submit_keyed(&pool, keyed("k", &other).batch()).await;
        let refused = refused.unwrap();
        assert!(refused.accepted.is_empty());
        assert_eq!(refused.known, [known(0, false, &first)]);
    }
    assert_eq!(counts(&pool).await, (2, 1));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn keys_of_different_ways_in_are_different(pool: PgPool) {
    let (over_amqp, over_http) = (keyed("k", &tasks(1, 1)), keyed("k", &tasks(1, 2)));
    let http = Batch {
        scope: Scope::Http,
        ..over_http.batch()
    };
    for batch in [over_amqp.batch(), http] {
        let submitted = submit_keyed(&pool, batch).await.unwrap();
        assert_eq!((submitted.accepted.len(), submitted.known.len()), (1, 0));
    }
    assert_eq!(counts(&pool).await, (2, 2));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_batch_has_with_and_without_new_and_known_and_one_twice(pool: PgPool) {
    let (old, other) = (tasks(2, 1), [task("of other content")]);
    let before = keyed("old", &old).and_keyed("other", &other);
    submit_keyed(&pool, before.batch()).await.unwrap();

    let bare = tasks(2, 1);
    let new = tasks(3, 1);
    let twice = tasks(2, 1);
    let last = [task("bare as well")];
    let lot = Lot::default()
        .and_keyed("z", &new)
        .and(&bare)
        .and_keyed("old", &tasks(2, 1))
        .and_keyed("twice", &twice)
        .and_keyed("other", &[task("not that")])
        .and_keyed("twice", &tasks(2, 1))
        .and_keyed("twice", &tasks(2, 9))
        .and(&last);
    let submitted = submit_keyed(&pool, lot.batch()).await.unwrap();
    let expected = [ids(&new), ids(&bare), ids(&twice), ids(&last)].concat();
    assert_eq!(stored(&submitted), sorted(expected));
    let mut answers = submitted.known;
    answers.sort_by_key(|known| known.index);
    assert_eq!(
        answers,
        [
            known(1, true, &old),
            known(3, false, &other),
            known(4, true, &twice),
            known(5, false, &twice),
        ]
    );
    assert_eq!(counts(&pool).await, (3 + 8, 4));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn no_key_without_its_tasks(pool: PgPool) {
    let lot = keyed("good", &tasks(1, 1)).and_keyed("bad", &[task("a\0b")]);
    let error = submit_keyed(&pool, lot.batch()).await.unwrap_err();
    assert!(error.is_bad_data(), "{error}");
    assert_eq!(counts(&pool).await, (0, 0));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn again_finds_what_was_stored_without_an_answer(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let ended = task("without a key, ended");
    let lease = run_one(&pool, holder, ended.clone()).await;
    let (with_key, live) = (tasks(2, 1), task("without a key, waits"));
    let lot = keyed("k", &with_key).and(&[ended.clone(), live.clone()]);
    let first = submit_keyed(&pool, lot.batch()).await.unwrap();
    assert_eq!(first.accepted.len(), 3, "one is there already");
    finish::finish(&pool, holder.worker_id, vec![completed(lease)])
        .await
        .unwrap();

    let again = submit_keyed_again(&pool, lot.batch()).await.unwrap();
    assert!(again.accepted.is_empty());
    assert_eq!(again.known, [known(0, true, &with_key)]);
    assert_eq!(status(&pool, ended.id).await, TaskStatus::Completed);
    assert_eq!(status(&pool, live.id).await, TaskStatus::Scheduled);
    assert_eq!(counts(&pool).await, (4, 1));

    let never = keyed("new", &tasks(1, 1));
    let stored = submit_keyed_again(&pool, never.batch()).await.unwrap();
    assert_eq!((stored.accepted.len(), stored.known.len()), (1, 0));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn after_a_day_a_key_is_forgotten(pool: PgPool) {
    for key in ["old", "young"] {
        submit_keyed(&pool, keyed(key, &tasks(1, 1)).batch())
            .await
            .unwrap();
    }
    make_older(&pool, "old", "24 hours 1 second").await;
    make_older(&pool, "young", "23 hours 59 minutes").await;
    assert_eq!(keys::clean(&pool).await.unwrap(), 1);
    assert_eq!(keys::clean(&pool).await.unwrap(), 0);
    for (key, is_known) in [("old", false), ("young", true)] {
        let again = submit_keyed(&pool, keyed(key, &tasks(1, 1)).batch()).await;
        assert_eq!(again.unwrap().known.len(), usize::from(is_known), "{key}");
    }
    assert_eq!(counts(&pool).await, (3, 2));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn many_are_forgotten_in_several_statements(pool: PgPool) {
    sqlx::query(
        "insert into idempotency_keys (scope, key, fingerprint, task_ids, created_at)
         select 'http', n, sha256(n::text::bytea), array[gen_random_uuid()], now() - interval '2 days'
         from generate_series(1, 20001) n",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(keys::clean(&pool).await.unwrap(), 20_001);
    assert_eq!(counts(&pool).await, (0, 0));
}

/// With the shortest retention, a task that ended as soon as it was submitted, as long ago as a key can be.
#[sqlx::test(migrations = false)]
async fn what_a_key_names_is_there(pool: PgPool) {
    taskmaster_store::migrate(&pool).await.unwrap();
    let holder = worker(&pool, "w").await;
    let new = task("long ago");
    submit_keyed(&pool, keyed("k", std::slice::from_ref(&new)).batch())
        .await
        .unwrap();
    let lease = claim_all(&pool, holder, 1).await[0];
    start::start(&pool, holder, vec![lease]).await.unwrap();
    finish::finish(&pool, holder.worker_id, vec![completed(lease)])
        .await
        .unwrap();
    let age = format!("{} hours", keys::KEPT_HOURS);
    sqlx::query("update finished_tasks set finished_at = now() - $1::interval")
        .bind(&age)
        .execute(&pool)
        .await
        .unwrap();
    partitions::drop_older_than(&pool, 1).await.unwrap();
    assert_eq!(get(&pool, new.id).await.status, TaskStatus::Completed);
}

/// The cleaner comes between the insert, which finds the key, and the look for what is stored under it.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_key_that_is_forgotten_meanwhile_is_new(pool: PgPool) {
    let first = tasks(1, 1);
    submit_keyed(&pool, keyed("k", &first).batch())
        .await
        .unwrap();
    make_older(&pool, "k", "25 hours").await;
    sqlx::raw_sql(
        "create function clean() returns trigger language plpgsql as $$ begin
             delete from idempotency_keys where created_at < now() - interval '24 hours';
             return null;
         end $$;
         create trigger clean after insert on idempotency_keys for each statement execute function clean()",
    )
    .execute(&pool)
    .await
    .unwrap();
    let (bare, second) = (tasks(1, 1), tasks(1, 1));
    let lot = Lot::default().and(&bare).and_keyed("k", &second);
    let submitted = submit_keyed(&pool, lot.batch()).await.unwrap();
    assert_eq!(stored(&submitted), ids(&[bare, second].concat()));
    assert!(submitted.known.is_empty());
    assert_eq!(counts(&pool).await, (3, 1));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn looking_up_never_reads_the_whole_table(pool: PgPool) {
    let own = own_pool(&pool, 1);
    let mut connection: PgConnection = own.acquire().await.unwrap().detach();
    for statement in [
        "alter table idempotency_keys set (autovacuum_enabled = false)",
        "insert into idempotency_keys (scope, key, fingerprint, task_ids)
         select 'amqp', n, sha256(n::text::bytea), array[gen_random_uuid()] from generate_series(1, 20000) n",
    ] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    let arguments = [
        "'amqp'".to_owned(),
        "array_fill('7'::text, array[200])".to_owned(),
    ];
    for mode in [Mode::Custom, Mode::Generic] {
        let sql = include_str!("../../src/find_keys.sql");
        let plan = plan(&mut connection, mode, sql, &arguments).await;
        assert!(plan.uses("idempotency_keys_pkey"), "{mode:?}: {plan:#?}");
        assert!(plan.scanned().is_empty(), "{mode:?}: {plan:#?}");
    }
    connection.close().await.unwrap();
    own.close().await;
}
