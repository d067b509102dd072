//! Connections: opened one at a time, and replaced when they are cut.

use std::time::Duration;

use taskmaster_store::{PgPool, StoreConfig, acquire, ping};
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
