//! Connections: opened one at a time, and replaced when they are cut.

use std::time::Duration;

use sqlx::{ConnectOptions, Executor};
use taskmaster_store::{Connections, Kept, PgPool, StoreConfig, acquire, ping};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long somebody who knocks out of turn has time to do it.
const OUT_OF_TURN: Duration = Duration::from_millis(300);

#[tokio::test]
async fn only_one_statement_knocks_at_a_time() {
    // Takes connections and says nothing, as a server that is too busy to answer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = StoreConfig::new(format!("postgres://u@{address}/d").into(), 10);
    let pool = config.pool().unwrap();
    let mut statements = JoinSet::new();
    for _ in 0..3 {
        let pool = pool.clone();
        statements.spawn(async move { ping(&pool).await });
    }
    for _ in 0..3 {
        let (knocking, _) = listener.accept().await.unwrap();
        let another = timeout(OUT_OF_TURN, listener.accept()).await;
        assert!(another.is_err(), "another knocks at the same time");
        drop(knocking);
        let refused = statements.join_next().await.unwrap().unwrap();
        assert!(refused.unwrap_err().is_unavailable());
    }
}

#[sqlx::test(migrations = false)]
async fn a_free_one_that_was_cut_is_replaced_unseen(pool: PgPool) {
    let mut first = acquire(&pool).await.unwrap();
    let mut second = acquire(&pool).await.unwrap();
    second.return_to_pool().await;
    assert_eq!((pool.size(), pool.num_idle()), (2, 1));
    let cut: bool = sqlx::query_scalar(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .fetch_one(&mut *first)
    .await
    .unwrap();
    assert!(cut);
    ping(&pool).await.unwrap();
    assert_eq!(pool.size(), 2);
}

const SETTINGS: &str = "select concat_ws(' ', current_setting('plan_cache_mode'), \
                        current_setting('enable_seqscan'), current_setting('jit'))";

#[sqlx::test(migrations = false)]
async fn a_pool_plans_each_execution_and_compiles_none(pool: PgPool) {
    let url = pool.connect_options().to_url_lossy().to_string();
    let ours = StoreConfig::new(url.into(), 1).pool().unwrap();
    let settings: String = sqlx::query_scalar(SETTINGS).fetch_one(&ours).await.unwrap();
    assert_eq!(settings, "force_custom_plan on off");
}

/// What tells one connection from another.
const SELF: &str = "select pg_backend_pid()";

async fn lent(kept: &Kept) -> (i32, String) {
    let mut connection = kept.lend().await.unwrap();
    let process = sqlx::query_scalar(SELF).fetch_one(&mut *connection).await;
    let settings = sqlx::query_scalar(SETTINGS)
        .fetch_one(&mut *connection)
        .await;
    connection.done();
    (process.unwrap(), settings.unwrap())
}

#[sqlx::test(migrations = false)]
async fn a_kept_one_is_kept_as_long_as_its_statements_end_well(pool: PgPool) {
    let kept = Kept::new(pool.clone());
    let (first, settings) = lent(&kept).await;
    assert_eq!(settings, "force_generic_plan off off");
    assert_eq!(lent(&kept).await.0, first);

    let mut connection = kept.lend().await.unwrap();
    connection.execute("select 1 / 0").await.unwrap_err();
    drop(connection);
    let (second, settings) = lent(&kept).await;
    assert_ne!(second, first);
    assert_eq!(settings, "force_generic_plan off off");

    // Given up while it is under way.
    let mut connection = kept.lend().await.unwrap();
    let given_up = timeout(OUT_OF_TURN, connection.execute("select pg_sleep(600)")).await;
    assert!(given_up.is_err());
    drop(connection);
    assert_ne!(lent(&kept).await.0, second);
    assert_eq!(pool.size(), 1, "what is not used any more is closed");
}

#[sqlx::test(migrations = false)]
async fn a_kept_one_that_was_cut_is_replaced(pool: PgPool) {
    let kept = Kept::new(pool.clone());
    let (first, _) = lent(&kept).await;
    let cut: bool = sqlx::query_scalar("select pg_terminate_backend($1, 5000)")
        .bind(first)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(cut);
    // Whether it is asked first depends on how long it has not been used; if it is not, one statement fails.
    let mut connection = kept.lend().await.unwrap();
    let process = sqlx::query_scalar::<_, i32>(SELF)
        .fetch_one(&mut *connection)
        .await;
    match process {
        Ok(process) => assert_ne!(process, first),
        Err(error) => assert!(taskmaster_store::Error::from(error).is_unavailable()),
    }
    drop(connection);
    assert_ne!(lent(&kept).await.0, first);
}

#[sqlx::test(migrations = false)]
async fn of_a_pool_that_has_few_none_is_kept(pool: PgPool) {
    let small = crate::support::own_pool(&pool, 3);
    let kept = Kept::new(small.clone());
    let one = kept.lend().await.unwrap();
    let another = kept.lend().await.unwrap();
    one.done();
    another.done();
    assert_eq!(lent(&kept).await.1, "force_custom_plan on off");
    small.close().await;
}
