//! awa with what its "Configuration" and "Benchmarking Notes" have for throughput: a queue in partitions, many workers that
//! claim in large batches, no deadline (which lets a claim be recorded in short), and jobs that are copied in.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use awa::{
    Client, InsertOpts, JobArgs, JobResult, PartitionedQueue, QueueConfig, QueueStorage,
    QueueStorageConfig, migrations,
};
use serde::{Deserialize, Serialize};
use sqlx_0_8::PgPool;
use sqlx_0_8::postgres::PgPoolOptions;
use tokio::sync::OnceCell;

use crate::ledger::Ledger;
use crate::{Mode, Queue};

const PARTITIONS: usize = 2;
const WORKERS: u32 = 1024;
/// Nobody looks at them.
const STATISTICS: Duration = Duration::from_secs(300);

#[derive(Serialize, Deserialize)]
struct NoOp {
    job: u32,
}

impl JobArgs for NoOp {
    fn kind() -> &'static str {
        "no_op"
    }
}

pub(crate) struct Awa {
    pool: PgPool,
    queue: PartitionedQueue,
    storage: QueueStorage,
    client: OnceCell<Client>,
}

impl Awa {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(30)
            .connect(url)
            .await?;
        migrations::run(&pool).await?;
        Ok(Self {
            pool,
            queue: PartitionedQueue::new("no-op", PARTITIONS)?,
            storage: QueueStorage::new(QueueStorageConfig::default())?,
            client: OnceCell::new(),
        })
    }

    fn options(&self, job: u32) -> InsertOpts {
        let options = InsertOpts::default();
        self.queue.route_opts_by_index(options, job as usize)
    }
}

impl Queue for Awa {
    async fn add_many(&self, jobs: Range<u32>) -> Result<()> {
        let jobs = jobs.map(|job| awa::insert::params_with(&NoOp { job }, self.options(job)));
        let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
        self.storage.enqueue_params_copy(&self.pool, &jobs).await?;
        Ok(())
    }

    async fn add(&self, job: u32) -> Result<()> {
        awa::insert_with(&self.pool, &NoOp { job }, self.options(job)).await?;
        Ok(())
    }

    async fn analyze(&self) -> Result<()> {
        sqlx_0_8::raw_sql("analyze").execute(&self.pool).await?;
        Ok(())
    }

    async fn start(&self, _: Mode, ledger: Arc<Ledger>) -> Result<()> {
        let config = QueueConfig {
            max_workers: WORKERS / PARTITIONS as u32,
            claim_batch_size: 512,
            deadline_duration: Duration::ZERO,
            poll_interval: Duration::from_millis(50),
            ..QueueConfig::default()
        };
        let client = Client::builder(self.pool.clone())
            .partitioned_queue(&self.queue, config)
            .queue_stats_interval(STATISTICS)
            .runtime_snapshot_interval(STATISTICS)
            .register::<NoOp, _, _>(move |NoOp { job }, _| {
                ledger.record(job);
                async { Ok(JobResult::Completed) }
            })
            .build()?;
        client.start().await?;
        ensure!(self.client.set(client).is_ok(), "it runs already");
        Ok(())
    }

    async fn done(&self) -> Result<i64> {
        let mut done = 0;
        for queue in self.queue.physical_queues() {
            let counts = self.storage.queue_counts(&self.pool, queue).await?;
            done += counts.terminal;
        }
        Ok(done)
    }
}
