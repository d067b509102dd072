//! Doing each kind of harm, and undoing it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use taskmaster_embedded::StopMode;
use taskmaster_store::witness::{self, IdleConnections};
use tokio::process::Command;
use tokio::time::sleep;

use crate::fault::{Fault, Schedule};
use crate::ledger::Ledger;
use crate::load::Load;
use crate::proxy::Condition;
use crate::recover::{LOOK, PATIENCE};
use crate::system::{HEARTBEAT_TIMEOUT, Node, System};
use crate::work::number_of;

/// RabbitMQ itself loses a quorum queue that is younger than that when it is killed: it has it in its books and not in
/// its storage (docs/guarantees.md).
const QUEUES_SETTLE: Duration = Duration::from_secs(2);
/// How many connections are held.
const CONNECTIONS: usize = 300;

/// Who harms.
pub(crate) struct Harm<'a> {
    pub(crate) system: &'a mut System,
    pub(crate) load: &'a Load,
    pub(crate) ledger: &'a Ledger,
    pub(crate) schedule: &'a mut Schedule,
}

impl Harm<'_> {
    /// Does one kind of harm, undoes it, and returns how long the recovery took.
    ///
    /// # Errors
    /// When the system does not recover, or the harm cannot be done.
    pub(crate) async fn run(&mut self, fault: Fault) -> Result<Duration> {
        match fault {
            Fault::WorkerKilled => self.kill_worker().await,
            Fault::WorkerHangs => {
                let worker = self.pick_worker();
                self.worker(worker).process.signal(Signal::STOP)?;
                self.past_time_out().await;
                self.worker(worker).process.signal(Signal::CONT)?;
                self.until_worker_runs(worker).await
            }
            Fault::WorkerRestarted => {
                let worker = self.pick_worker();
                let process = &mut self.system.workers[worker].process;
                let status = process.end(Signal::TERM).await?;
                if !status.success() {
                    bail!("{} ended with {status} when asked to", process.name());
                }
                process.start()?;
                self.until_worker_runs(worker).await
            }
            Fault::CoordinatorKilled => {
                let leader = self.leader().await?;
                let process = &mut self.system.coordinators[leader].process;
                process.end(Signal::KILL).await?;
                let recovered = self.until_new_tasks_run().await;
                self.system.coordinators[leader].process.start()?;
                recovered
            }
            Fault::CoordinatorHangs => {
                let leader = self.leader().await?;
                self.system.coordinators[leader]
                    .process
                    .signal(Signal::STOP)?;
                let recovered = self.until_new_tasks_run().await;
                self.system.coordinators[leader]
                    .process
                    .signal(Signal::CONT)?;
                recovered
            }
            Fault::ApiKilled => self.kill_api().await,
            Fault::PostgresLinkCut => {
                self.worker_links(&[Link::Postgres], Condition::Cut, 3000)
                    .await
            }
            Fault::RabbitmqLinkCut => {
                self.worker_links(&[Link::Rabbitmq], Condition::Cut, 3000)
                    .await
            }
            Fault::BothLinksCut => {
                let long = millis(HEARTBEAT_TIMEOUT) + 2000;
                self.worker_links(&[Link::Postgres, Link::Rabbitmq], Condition::Cut, long)
                    .await
            }
            Fault::LinksDelayed => {
                let condition = Condition::Delayed(Duration::from_millis(100));
                self.worker_links(&[Link::Postgres, Link::Rabbitmq], condition, 3000)
                    .await
            }
            Fault::LinksSilent => {
                let long = millis(HEARTBEAT_TIMEOUT) + 2000;
                self.worker_links(&[Link::Postgres, Link::Rabbitmq], Condition::Silent, long)
                    .await
            }
            Fault::AnswersLost => self.lose_answers().await,
            Fault::SubmissionsCut => self.cut_submissions().await,
            Fault::RabbitmqRestarted => {
                self.system.rabbitmq.stop().await;
                self.system.rabbitmq.restart().await?;
                self.until_new_tasks_run().await
            }
            Fault::RabbitmqKilled => {
                sleep(QUEUES_SETTLE).await;
                self.system.rabbitmq.kill().await;
                self.system.rabbitmq.restart().await?;
                self.until_new_tasks_run().await
            }
            Fault::RabbitmqWiped => self.wipe_rabbitmq().await,
            Fault::QueuesDeleted => self.delete_queues().await,
            Fault::PostgresRestarted => self.restart_postgres(StopMode::Fast).await,
            Fault::PostgresCrashed => self.restart_postgres(StopMode::Immediate).await,
            Fault::BackendsKilled => {
                witness::terminate_backends(&self.system.pool).await?;
                self.until_new_tasks_run().await
            }
            Fault::ConnectionsHeld => {
                let held = IdleConnections::open(&self.system.store, CONNECTIONS).await;
                sleep(Duration::from_secs(2)).await;
                held.close().await;
                self.until_new_tasks_run().await
            }
            Fault::OutputDiskFull => self.fill_output_disk().await,
        }
    }

    pub(crate) fn worker(&self, worker: usize) -> &Node {
        &self.system.workers[worker]
    }

    fn pick_worker(&mut self) -> usize {
        self.schedule.pick(self.system.workers.len())
    }

    async fn leader(&self) -> Result<usize> {
        let asked = Instant::now();
        loop {
            match self.system.leader() {
                Some(leader) => return Ok(leader),
                None if asked.elapsed() > PATIENCE => bail!("no coordinator leads"),
                None => sleep(LOOK).await,
            }
        }
    }

    async fn past_time_out(&mut self) {
        let more = Duration::from_millis(self.schedule.millis(1000, 2500));
        sleep(HEARTBEAT_TIMEOUT + more).await;
    }

    async fn kill_worker(&mut self) -> Result<Duration> {
        let worker = self.pick_worker();
        let process = &mut self.system.workers[worker].process;
        let name = process.name().to_owned();
        process.end(Signal::KILL).await?;
        let killed = Instant::now();
        let held = witness::held_by(&self.system.pool, &name).await?;
        while witness::standing(&self.system.pool, &held).await? > 0 {
            if killed.elapsed() > PATIENCE {
                bail!("what {name} held when it was killed was not given back");
            }
            sleep(LOOK).await;
        }
        let recovered = killed.elapsed();
        self.system.workers[worker].process.start()?;
        self.until_worker_runs(worker).await?;
        Ok(recovered)
    }

    async fn kill_api(&mut self) -> Result<Duration> {
        let api = self.schedule.pick(self.system.apis.len());
        let api = &mut self.system.apis[api];
        api.node.process.end(Signal::KILL).await?;
        api.node.process.start()?;
        let started = Instant::now();
        let url = format!("http://{}/readyz", api.from_clients.address());
        loop {
            match reqwest::get(&url).await {
                Ok(answer) if answer.status().is_success() => return Ok(started.elapsed()),
                _ if started.elapsed() > PATIENCE => bail!("{url} was not ready again"),
                _ => sleep(LOOK).await,
            }
        }
    }

    async fn worker_links(
        &mut self,
        links: &[Link],
        condition: Condition,
        at_most_ms: u64,
    ) -> Result<Duration> {
        let worker = self.pick_worker();
        let lasts = Duration::from_millis(self.schedule.millis(at_most_ms / 2, at_most_ms));
        let set = |node: &Node, condition| {
            for link in links {
                match link {
                    Link::Postgres => node.to_postgres.set(condition),
                    Link::Rabbitmq => node.to_rabbitmq.set(condition),
                }
            }
        };
        set(self.worker(worker), condition);
        sleep(lasts).await;
        set(self.worker(worker), Condition::Up);
        self.until_worker_runs(worker).await
    }

    /// Again and again for a moment, so that it hits statements of every kind.
    async fn lose_answers(&mut self) -> Result<Duration> {
        let worker = self.pick_worker();
        let coordinator = self.schedule.pick(self.system.coordinators.len());
        for _ in 0..10 {
            let nodes = [self.worker(worker), &self.system.coordinators[coordinator]];
            for node in nodes {
                node.to_postgres.set(Condition::AnswersLost);
            }
            sleep(Duration::from_millis(30)).await;
            for node in nodes {
                node.to_postgres.set(Condition::Up);
            }
            sleep(Duration::from_millis(120)).await;
        }
        self.until_new_tasks_run().await
    }

    async fn cut_submissions(&mut self) -> Result<Duration> {
        for _ in 0..10 {
            let links = || {
                let apis = self.system.apis.iter().map(|api| &api.from_clients);
                apis.chain([&self.system.from_producers])
            };
            links().for_each(|link| link.set(Condition::AnswersLost));
            sleep(Duration::from_millis(50)).await;
            links().for_each(|link| link.set(Condition::Up));
            sleep(Duration::from_millis(100)).await;
        }
        self.until_new_tasks_run().await
    }

    async fn delete_queues(&mut self) -> Result<Duration> {
        let workers: Vec<&str> = self
            .system
            .workers
            .iter()
            .map(|node| node.process.name())
            .collect();
        taskmaster_broker::delete_queues(&self.system.broker, &workers).await?;
        let deleted = Instant::now();
        let recovered = self.until_new_tasks_run().await;
        self.publish_lost(deleted).await?;
        recovered
    }

    async fn wipe_rabbitmq(&mut self) -> Result<Duration> {
        self.system.rabbitmq.wipe().await?;
        let wiped = Instant::now();
        self.system.rabbitmq.restart().await?;
        let recovered = self.until_new_tasks_run().await;
        self.publish_lost(wiped).await?;
        recovered
    }

    /// A producer's part: what was in a queue that is gone was confirmed by RabbitMQ, and not accepted by us. What is
    /// there already is recognized by its key.
    async fn publish_lost(&self, gone: Instant) -> Result<()> {
        // Before the look at Postgres: what an API accepts in between is there, and would be taken for lost.
        let submitted = self.load.submitted();
        let mut known: Vec<u64> = Vec::new();
        for live in witness::live(&self.system.pool).await? {
            known.extend(number_of(&live.command));
        }
        for end in witness::ends(&self.system.pool).await? {
            known.extend(number_of(&end.command));
        }
        known.sort_unstable();
        let lost = submitted
            .iter()
            .filter(|(_, submitted)| submitted.at < gone && submitted.accepted)
            .map(|(number, _)| *number)
            .filter(|number| known.binary_search(number).is_err());
        self.load.publish_again(lost);
        Ok(())
    }

    async fn restart_postgres(&mut self, mode: StopMode) -> Result<Duration> {
        self.system.postgres.stop(mode).await;
        let down = Duration::from_millis(self.schedule.millis(0, 2000));
        sleep(down).await;
        self.system.postgres.restart().await?;
        self.until_new_tasks_run().await
    }

    async fn fill_output_disk(&mut self) -> Result<Duration> {
        let disk = self.system.output_disk.as_ref();
        let filler = disk.context("there is no disk to fill")?.filler();
        // Until there is no room: the error is what is wanted.
        let full = Command::new("dd")
            .args(["if=/dev/zero", "bs=1M", "status=none"])
            .arg(format!("of={}", filler.display()))
            .stderr(Stdio::null())
            .status()
            .await?;
        if full.success() {
            bail!("{} could not be filled", filler.display());
        }
        sleep(Duration::from_secs(3)).await;
        // Tasks go on while output cannot be stored.
        self.until_new_tasks_run().await?;
        std::fs::remove_file(&filler)?;
        self.until_new_tasks_run().await
    }

    /// Undoes whatever was done when a kind of harm could not be carried through.
    ///
    /// # Errors
    /// When something cannot be started again.
    pub(crate) async fn heal(&mut self) -> Result<()> {
        for link in self.system.links() {
            link.set(Condition::Up);
        }
        if let Some(disk) = &self.system.output_disk {
            std::fs::remove_file(disk.filler()).ok();
        }
        if self.system.postgres.pid().is_none() {
            self.system.postgres.restart().await?;
        }
        if self.system.rabbitmq.pid().is_none() {
            self.system.rabbitmq.restart().await?;
        }
        for process in self.system.processes() {
            // One that hangs on our behalf goes on, and one that is not there is started.
            if process.signal(Signal::CONT).is_err() {
                process.start()?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Link {
    Postgres,
    Rabbitmq,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
