//! The schema is brought up to date, however often and by however many at once.

use futures_util::future::join_all;
use taskmaster_store::{Error, PgPool, migrate, partitions, ping};

use crate::support::{own_pool, run_one, status, task, worker};

#[sqlx::test(migrations = false)]
async fn twice(pool: PgPool) {
    migrate(&pool).await.unwrap();
    let holder = worker(&pool, "w").await;
    let lease = run_one(&pool, holder, task("x")).await;
    migrate(&pool).await.unwrap();
    status(&pool, lease.id).await;
    assert_eq!(
        partitions::ensure(&pool, partitions::DAYS_AHEAD)
            .await
            .unwrap(),
        0
    );
}

#[sqlx::test(migrations = false)]
async fn by_several_at_once(pool: PgPool) {
    let pools = [(); 4].map(|()| own_pool(&pool, 2));
    let all = join_all(pools.iter().map(migrate)).await;
    for done in all {
        done.unwrap();
    }
    for own in pools {
        ping(&own).await.unwrap();
        own.close().await;
    }
}

#[sqlx::test(migrations = false)]
async fn an_older_program_says_that_the_schema_is_newer(pool: PgPool) {
    migrate(&pool).await.unwrap();
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (99991231000001, 'from the future', true, '', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let error = migrate(&pool).await.unwrap_err();
    assert!(matches!(error, Error::Migration(_)), "{error}");
    assert!(!error.is_unavailable());
    assert!(error.to_string().contains("99991231000001"), "{error}");
}
