//! apalis on Postgres: large batches, no second write to say that a job runs (`lock_tasks`), and a short poll interval, as its
//! `Config` documents them. Its LISTEN and NOTIFY, one notification for each job to each worker, is for latency only.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use sqlx::postgres::PgPoolOptions;

use crate::ledger::Ledger;
use crate::{Mode, Queue};

const WORKERS: usize = 4;
const BATCH: usize = 1000;
const POLL: Duration = Duration::from_millis(10);

pub(crate) struct Apalis {
    pool: PgPool,
}

impl Apalis {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(20)
            .connect(url)
            .await?;
        PostgresStorage::setup(&pool).await?;
        Ok(Self { pool })
    }

    fn storage(&self) -> PostgresStorage<u32> {
        let config = Config::default().queue("no-op").batch_size(BATCH);
        PostgresStorage::new(&self.pool).with_config(config.lock_tasks(false))
    }
}

async fn no_op(job: u32, ledger: Data<Arc<Ledger>>) -> Result<(), BoxDynError> {
    ledger.record(job);
    Ok(())
}

impl Queue for Apalis {
    async fn add_many(&self, jobs: Range<u32>) -> Result<()> {
        Ok(self.storage().push_bulk(jobs.collect()).await?)
    }

    async fn add(&self, job: u32) -> Result<()> {
        Ok(self.storage().push(job).await?)
    }

    async fn analyze(&self) -> Result<()> {
        sqlx::raw_sql("analyze").execute(&self.pool).await?;
        Ok(())
    }

    async fn start(&self, mode: Mode, ledger: Arc<Ledger>) -> Result<()> {
        for number in 0..WORKERS {
            let worker = WorkerBuilder::new(format!("worker-{number}"));
            let (storage, ledger) = (self.storage(), ledger.clone());
            if mode == Mode::Latency {
                let backend = storage.with_pubsub().poll_with_interval(POLL);
                let worker = worker.backend(backend).data(ledger).build(no_op);
                tokio::spawn(worker.run());
            } else {
                let backend = storage.poll_with_interval(POLL);
                let worker = worker.backend(backend).data(ledger).build(no_op);
                tokio::spawn(worker.run());
            }
        }
        Ok(())
    }

    async fn done(&self) -> Result<i64> {
        let count = sqlx::query_scalar("select count(*) from apalis.jobs where status = 'Done'");
        Ok(count.fetch_one(&self.pool).await?)
    }
}
