//! Waiting until the system works again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time::sleep;

use crate::harm::Harm;
use crate::ledger::Run;

/// How long anything may take to work again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// How often that is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

impl Harm<'_> {
    /// Submits a task by HTTP and one by AMQP, ahead of whatever waits, and waits until both run.
    pub(crate) async fn until_new_tasks_run(&self) -> Result<Duration> {
        let since = Instant::now();
        let mut last = since;
        for number in self.load.probe() {
            let is_it = |run: &Run| run.number == number;
            let ran = self
                .until_runs(since, is_it, "a task that was submitted after it")
                .await?;
            last = last.max(ran);
        }
        Ok(last - since)
    }

    /// Waits until that worker runs a task.
    pub(crate) async fn until_worker_runs(&self, worker: usize) -> Result<Duration> {
        let name = self.worker(worker).process.name();
        let is_there = |run: &Run| run.worker == name;
        let since = Instant::now();
        let ran = self
            .until_runs(since, is_there, &format!("anything at {name}"))
            .await?;
        Ok(ran - since)
    }

    async fn until_runs(
        &self,
        since: Instant,
        is_such: impl Fn(&Run) -> bool,
        what: &str,
    ) -> Result<Instant> {
        loop {
            if let Some(seen) = self.ledger.first_since(since, &is_such) {
                return Ok(seen);
            }
            if since.elapsed() > PATIENCE {
                let republished = self.load.counters.republished.load(Ordering::Relaxed);
                bail!("{what} did not run within {PATIENCE:?} (published again: {republished})");
            }
            sleep(LOOK).await;
        }
    }
}
