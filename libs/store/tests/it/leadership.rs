//! One leads at a time.

use std::time::Duration;

use taskmaster_store::leadership::{Candidate, Leadership, Office};
use taskmaster_store::{PgPool, StoreConfig};

use crate::support::config;

/// Leads as soon as the lock is free: Postgres frees it when it notices that the connection is gone.
async fn lead(config: &StoreConfig) -> Leadership {
    let lead = async {
        loop {
            if let Some(leadership) = acquire(config).await {
                return leadership;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), lead)
        .await
        .expect("the lock was never freed")
}

async fn acquire(config: &StoreConfig) -> Option<Leadership> {
    let candidate = Candidate::connect(config, Office::Coordinator)
        .await
        .unwrap();
    candidate.try_lead().await.unwrap().ok()
}

async fn nobody_else(config: &StoreConfig) {
    assert!(acquire(config).await.is_none());
}

#[sqlx::test(migrations = false)]
async fn one_at_a_time(pool: PgPool) {
    let config = config(&pool, 1);
    let mut first = lead(&config).await;
    first.check().await.unwrap();
    nobody_else(&config).await;
    nobody_else(&config).await;
    first.resign().await.unwrap();
    let mut second = lead(&config).await;
    second.check().await.unwrap();
    nobody_else(&config).await;
    // Without a word, as by a crash.
    drop(second);
    lead(&config).await.resign().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn who_is_cut_off_knows_it(pool: PgPool) {
    let config = config(&pool, 1);
    let mut first = lead(&config).await;
    let cut: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_locks
         where locktype = 'advisory' and granted
           and database = (select oid from pg_database where datname = current_database())",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(cut, 1);
    let mut second = lead(&config).await;
    let error = first.check().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    second.check().await.unwrap();
    nobody_else(&config).await;
    second.resign().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn who_says_nothing_loses_it(pool: PgPool) {
    let config = config(&pool, 1);
    let mut first = lead(&config).await;
    // It never says another word, as a process that hangs, and its connection stays open.
    let second = lead(&config).await;
    assert!(first.check().await.unwrap_err().is_unavailable());
    second.resign().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn who_waits_leads_next_on_the_same_connection(pool: PgPool) {
    let config = config(&pool, 1);
    let first = lead(&config).await;
    let mut candidate = Candidate::connect(&config, Office::Coordinator)
        .await
        .unwrap();
    candidate = candidate.try_lead().await.unwrap().unwrap_err();
    first.resign().await.unwrap();
    let next = async {
        loop {
            match candidate.try_lead().await.unwrap() {
                Ok(leadership) => return leadership,
                Err(still) => candidate = still,
            }
        }
    };
    let mut second = tokio::time::timeout(Duration::from_secs(20), next)
        .await
        .unwrap();
    second.check().await.unwrap();
    nobody_else(&config).await;
    second.resign().await.unwrap();
}

#[sqlx::test(migrations = false)]
async fn each_office_has_a_leader_of_its_own(pool: PgPool) {
    let config = config(&pool, 1);
    let coordinator = lead(&config).await;
    let api = || async {
        let candidate = Candidate::connect(&config, Office::Autoscaler).await;
        candidate.unwrap().try_lead().await.unwrap().ok()
    };
    let autoscaler = api().await.expect("the coordinator's lead is another's");
    assert!(api().await.is_none());
    nobody_else(&config).await;
    autoscaler.resign().await.unwrap();
    coordinator.resign().await.unwrap();
}
