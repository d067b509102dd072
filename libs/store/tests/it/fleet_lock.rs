//! One change of the fleet at a time.

use std::future::pending;
use std::time::{Duration, Instant};

use sqlx::ConnectOptions;
use taskmaster_store::fleet_lock::FleetLock;
use taskmaster_store::{PgPool, StoreConfig};
use taskmaster_testkit::until_waiting;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::support::config;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

async fn acquire(config: &StoreConfig) -> FleetLock {
    let lock = FleetLock::acquire(config, PATIENCE).await.unwrap();
    lock.expect("somebody else has it")
}

#[sqlx::test(migrations = false)]
async fn the_second_one_waits_for_the_first(pool: PgPool) {
    let config = config(&pool, 1);
    let first = acquire(&config).await;
    let waiting = tokio::spawn({
        let config = config.clone();
        async move { acquire(&config).await }
    });
    until_waiting(&pool, 1).await.unwrap();
    assert!(!waiting.is_finished());
    first.release().await.unwrap();
    let second = waiting.await.unwrap();
    // Without a word, as by a crash.
    drop(second);
    acquire(&config).await.release().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn who_has_waited_long_enough_goes_without(pool: PgPool) {
    let config = config(&pool, 1);
    let first = acquire(&config).await;
    for patience in [Duration::ZERO, Duration::from_millis(300)] {
        let begun = Instant::now();
        let second = FleetLock::acquire(&config, patience).await.unwrap();
        assert!(second.is_none());
        assert!(begun.elapsed() >= patience);
    }
    first.release().await.unwrap();
    acquire(&config).await.release().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn who_lost_the_connection_hears_of_it(pool: PgPool) {
    let config = config(&pool, 1);
    let first = acquire(&config).await;
    let cut: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_locks
         where locktype = 'advisory' and granted
           and database = (select oid from pg_database where datname = current_database())",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(cut, 1);
    acquire(&config).await.release().await.unwrap();
    let error = first.release().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
}

/// A connection that was cut silently tells nothing for many minutes, in which nobody of this process would get a turn.
#[sqlx::test(migrations = false)]
async fn who_gets_no_answer_does_not_wait_for_ever(pool: PgPool) {
    let options = pool.connect_options();
    let server = (options.get_host().to_owned(), options.get_port());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = (*options)
        .clone()
        .host("127.0.0.1")
        .port(address.port())
        .to_url_lossy();
    let config = StoreConfig::new(options.to_string().into(), 1);
    let (cut, is_cut) = oneshot::channel();
    let wire = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(server).await.unwrap();
        tokio::select! {
            biased;
            _ = is_cut => {}
            _ = copy_bidirectional(&mut near, &mut far) => {}
        }
        pending::<()>().await
    });
    let lock = acquire(&config).await;
    cut.send(()).unwrap();
    tokio::time::pause();
    let error = lock.release().await.unwrap_err();
    tokio::time::resume();
    assert!(error.is_unavailable(), "{error}");
    // Postgres hears of the end, and the database can go.
    wire.abort();
    assert!(wire.await.unwrap_err().is_cancelled());
}
