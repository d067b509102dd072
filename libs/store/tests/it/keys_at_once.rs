//! The same keys from several at the same time: each is stored once, and nobody waits in a circle.

use futures_util::future::join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use taskmaster_store::PgPool;
use taskmaster_store::submit::{submit_keyed, submit_keyed_again};
use taskmaster_testkit::until_waiting;

use crate::keys::{Lot, keyed, stored};
use crate::support::{somebody_waits, tasks};

const AT_ONCE: usize = 8;

async fn pool_of(options: PgPoolOptions, connect: PgConnectOptions) -> PgPool {
    let options = options.max_connections(AT_ONCE as u32 + 2);
    options.connect_with(connect).await.unwrap()
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn one_is_stored_and_the_others_are_told_of_it(
    options: PgPoolOptions,
    connect: PgConnectOptions,
) {
    let pool = pool_of(options, connect).await;
    for round in 0..20 {
        let lots: Vec<Lot> = (0..AT_ONCE)
            .map(|_| keyed(&format!("k{round}"), &tasks(2, 1)))
            .collect();
        let all = join_all(lots.iter().map(|lot| submit_keyed(&pool, lot.batch()))).await;
        let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
        let first: Vec<_> = all.iter().flat_map(stored).collect();
        assert_eq!(first.len(), 2, "one of them");
        let told: Vec<_> = all.iter().flat_map(|submitted| &submitted.known).collect();
        assert_eq!(told.len(), AT_ONCE - 1);
        for known in told {
            assert!(known.is_same);
            assert_eq!(known.task_ids, first);
        }
    }
    pool.close().await;
}

/// The first holds the key and has not committed: the second waits for what becomes of it.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn the_second_waits_for_the_first(pool: PgPool) {
    for commits in [true, false] {
        let key = format!("committed: {commits}").replace(' ', "");
        let mut first = pool.begin().await.unwrap();
        sqlx::query(
            "insert into idempotency_keys (scope, key, fingerprint, task_ids)
             values ('amqp', $1, sha256('other'), array[gen_random_uuid()])",
        )
        .bind(&key)
        .execute(&mut *first)
        .await
        .unwrap();
        let lot = keyed(&key, &tasks(1, 1));
        let second = {
            let pool = pool.clone();
            tokio::spawn(async move { submit_keyed(&pool, lot.batch()).await })
        };
        somebody_waits(&pool).await;
        if commits {
            first.commit().await.unwrap();
        } else {
            first.rollback().await.unwrap();
        }
        let submitted = second.await.unwrap().unwrap();
        let [known, accepted] = [submitted.known.len(), submitted.accepted.len()];
        assert_eq!([known, accepted], if commits { [1, 0] } else { [0, 1] });
    }
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn of_batches_with_the_same_keys_each_is_stored_whole_and_once(
    options: PgPoolOptions,
    connect: PgConnectOptions,
) {
    const KEYS: usize = 60;
    const ROUNDS: usize = 10;
    let pool = pool_of(options, connect).await;
    for round in 0..ROUNDS {
        let lots: Vec<Lot> = (0..AT_ONCE)
            .map(|i| {
                let mut keys: Vec<usize> = (0..KEYS).collect();
                keys.shuffle(&mut StdRng::seed_from_u64((round * AT_ONCE + i) as u64));
                keys.into_iter().fold(Lot::default(), |lot, key| {
                    lot.and_keyed(&format!("{round}-{key}"), &tasks(2, 1))
                })
            })
            .collect();
        let tries = lots.iter().enumerate().map(async |(i, lot)| {
            if i % 2 == 0 {
                submit_keyed(&pool, lot.batch()).await
            } else {
                submit_keyed_again(&pool, lot.batch()).await
            }
        });
        let mut accepted = 0;
        for submitted in join_all(tries).await {
            let submitted = submitted.unwrap();
            accepted += submitted.accepted.len();
            assert_eq!(
                submitted.accepted.len() + 2 * submitted.known.len(),
                2 * KEYS
            );
        }
        assert_eq!(accepted, 2 * KEYS);
    }
    let (whole, all): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where (select count(*) from tasks where id = any (task_ids)) = 2), count(*)
         from idempotency_keys",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(
        (whole, all),
        ((KEYS * ROUNDS) as i64, (KEYS * ROUNDS) as i64)
    );
    pool.close().await;
}

/// Both have come as far as they can while somebody else holds the key in the middle; had each taken its own order, each
/// would now hold what the other wants next.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn batches_with_the_same_keys_never_wait_in_a_circle(pool: PgPool) {
    let mut holder = pool.begin().await.unwrap();
    sqlx::query(
        "insert into idempotency_keys (scope, key, fingerprint, task_ids)
         values ('amqp', 'm', sha256('other'), array[gen_random_uuid()])",
    )
    .execute(&mut *holder)
    .await
    .unwrap();
    let lot = |keys: [&str; 3]| {
        keys.into_iter()
            .fold(Lot::default(), |lot, key| lot.and_keyed(key, &tasks(1, 1)))
    };
    let waiting = [lot(["a", "m", "z"]), lot(["z", "m", "a"])].map(|lot| {
        let pool = pool.clone();
        tokio::spawn(async move { submit_keyed(&pool, lot.batch()).await })
    });
    until_waiting(&pool, 2).await.unwrap();
    holder.rollback().await.unwrap();
    let mut accepted = 0;
    for submitted in waiting {
        // A deadlock would be an error here.
        accepted += submitted.await.unwrap().unwrap().accepted.len();
    }
    assert_eq!(accepted, 3);
}
