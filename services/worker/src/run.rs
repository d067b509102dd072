//! Wiring: registers, starts the parts, and stops them in order.

use std::process;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use taskmaster_broker::{
    Assignment, EventPublisher, WorkerEvent, WorkerMessage, consume_assignments,
};
use taskmaster_core::{RetryPolicy, TaskLease, WorkerName};
use taskmaster_runtime::{Backoff, Shutdown};
use taskmaster_store::rescue::{self, Of};
use taskmaster_store::start::{Holder, Started};
use taskmaster_store::workers::{self, Registration};
use taskmaster_store::{Kept, PgPool, Result as StoreResult};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::WorkerConfig;
use crate::capture::Capture;
use crate::drain::{drain, stop_everything};
use crate::execute::{Settings, SharedCapture, execute};
use crate::heartbeat::Heartbeat;
use crate::held::Held;
use crate::oom::OomKills;
use crate::reaper::Reaper;
use crate::reporter::{Captures, Report, Reporter};
use crate::starter::Starter;
use crate::stop::StopReason;
use crate::tenure::{Tenure, Term};

/// How long the last writes may take once nothing is held any more.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// How many messages may wait to be looked at.
const MESSAGES: usize = 16;

/// Runs a worker until it is asked to stop, and has stopped. Postgres and RabbitMQ may come and go.
///
/// What commands leave behind is found among this process's children, so nothing else in it may start processes.
///
/// # Errors
/// When the configuration cannot be read, or another process took over this worker's name.
pub async fn run(config: WorkerConfig, shutdown: Shutdown) -> anyhow::Result<()> {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let name = match &config.name {
        Some(name) => name.clone(),
        None => host
            .parse::<WorkerName>()
            .context("the machine's name cannot be a worker's: give --name")?,
    };
    config.broker.check().context("AMQP_URL")?;
    config.check()?;
    // Another process of the same user, such as a command, must not read our environment.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    let reaper = Reaper::new().context("cannot look after the processes of commands")?;
    let pool = config.store.pool().context("DATABASE_URL")?;
    let Some((holder, registered)) = register(&pool, &config, &name, &host, &shutdown).await else {
        return Ok(());
    };
    tracing::info!(worker.name = %name, worker.id = holder.worker_id, worker.slots = config.slots, "online");

    let stopped = CancellationToken::new();
    let events = EventPublisher::spawn(
        config.broker.clone(),
        format!("taskmaster worker {name}: events"),
        stopped.clone(),
    );
    let worker = Worker {
        held: Arc::default(),
        tenure: Arc::default(),
        registered,
        captures: Arc::default(),
        finished: Arc::default(),
        news: Arc::default(),
        slots: Arc::new(Semaphore::new(config.slots as usize)),
        settings: Arc::new(Settings {
            worker_name: name.to_string(),
            kill_grace: config.kill_grace(),
            simulate: config.simulate.options(),
            reaper: reaper.clone(),
            oom_kills: Arc::new(OomKills::open()),
        }),
        name: name.to_string(),
        pool,
        holder,
        events: events.clone(),
        config,
        shutdown,
    };
    worker.announce("idle");
    let cleaning = worker.keep_clean(reaper, stopped.clone());
    let result = worker.run().await;
    stopped.cancel();
    events.stopped().await;
    cleaning.await.context("the reaper panicked")?;
    result
}

/// Enters this worker in Postgres, as soon as it is there, and gives back what an earlier process of the same name
/// had. Returns with it the moment before it was entered. `None` if it is asked to stop before.
async fn register(
    pool: &PgPool,
    config: &WorkerConfig,
    name: &WorkerName,
    host: &str,
    shutdown: &Shutdown,
) -> Option<(Holder, Instant)> {
    let incarnation = Uuid::now_v7();
    let registration = Registration {
        name: name.as_str(),
        incarnation,
        slots: i32::try_from(config.slots).unwrap_or(i32::MAX),
        host,
        pid: i32::try_from(process::id()).unwrap_or(0),
        version: env!("CARGO_PKG_VERSION"),
        heartbeat_timeout_seconds: i32::try_from(config.heartbeat_timeout).unwrap_or(i32::MAX),
    };
    let mut backoff = Backoff::default();
    loop {
        let asked = Instant::now();
        let registered: StoreResult<i32> = async {
            let id = workers::register(pool, &registration).await?;
            let moved =
                rescue::rescue(pool, Of::EarlierIncarnation(id), RetryPolicy::default()).await?;
            if !moved.is_empty() {
                tracing::warn!(
                    tasks.count = moved.len(),
                    "gave back what an earlier process of this name ran"
                );
            }
            Ok(id)
        }
        .await;
        match registered {
            Ok(worker_id) => {
                let holder = Holder {
                    worker_id,
                    incarnation,
                };
                return Some((holder, asked));
            }
            Err(error) => {
                if backoff.is_fresh() {
                    tracing::warn!(postgres.address = config.store.redacted(), %error, "cannot register yet");
                }
                tokio::select! {
                    () = shutdown.drain.cancelled() => return None,
                    () = backoff.wait() => {}
                }
            }
        }
    }
}

#[derive(Clone)]
struct Worker {
    config: WorkerConfig,
    name: String,
    pool: PgPool,
    holder: Holder,
    held: Arc<Held>,
    tenure: Arc<Tenure>,
    registered: Instant,
    captures: Arc<Captures>,
    finished: Arc<AtomicU64>,
    news: Arc<Notify>,
    slots: Arc<Semaphore>,
    settings: Arc<Settings>,
    events: EventPublisher,
    shutdown: Shutdown,
}

impl Worker {
    /// Ends what the runs leave, until `stopped` and nothing is left.
    fn keep_clean(&self, reaper: Arc<Reaper>, stopped: CancellationToken) -> JoinHandle<()> {
        let guarded = CancellationToken::new();
        let guard = self.config.guard.clone();
        let guard = guard.map(|guard| tokio::spawn(guard.keep(reaper.clone(), guarded.clone())));
        tokio::spawn(async move {
            reaper.run(stopped).await;
            guarded.cancel();
            if let Some(guard) = guard {
                drop(guard.await);
            }
        })
    }

    async fn run(self) -> anyhow::Result<()> {
        let (reports, reported) = mpsc::unbounded_channel();
        let reporter = tokio::spawn(self.reporter().run(reported));
        let stop = CancellationToken::new();
        let mut parts = JoinSet::new();
        parts.spawn(self.clone().consume(self.shutdown.drain.clone()));
        let runner = (Arc::new(self.clone()), reports.clone());
        parts.spawn(
            self.starter()
                .run(stop.clone(), move |started, term, slot| {
                    let (worker, reports) = runner.clone();
                    tokio::spawn(worker.run_task(started, term, slot, reports));
                }),
        );
        let beating = self.heartbeat().run(stop.clone(), {
            let worker = self.clone();
            move |tasks| worker.assign(tasks)
        });
        let mut beating = tokio::spawn(beating);

        let outlived = tokio::select! {
            () = drain(&self.shutdown, &self.held, &self.pool, &self.events, self.config.drain_grace()) => None,
            ended = &mut beating => Some(ended.context("the heartbeat panicked")?),
        };
        if outlived.is_some() {
            self.shutdown.stop_now();
            stop_everything(&self.held, StopReason::LeaseLost).await;
        }
        stop.cancel();
        drop(reports);
        // Whoever waits for Postgres with nothing left to run has been given up on.
        let parts_end = async {
            while parts.join_next().await.is_some() {}
            reporter.await
        };
        if let Ok(reporter) = tokio::time::timeout(LAST_WRITES, parts_end).await {
            reporter.context("the reporter panicked")?;
        }
        match outlived {
            Some(ended) => ended?,
            // A heartbeat that is under way must not arrive after the sign-off.
            None => beating.await.context("the heartbeat panicked")??,
        }
        self.sign_off().await;
        Ok(())
    }

    fn reporter(&self) -> Reporter {
        Reporter {
            pool: self.pool.clone(),
            connection: Kept::new(self.pool.clone()),
            holder: self.holder,
            worker_name: self.name.clone(),
            held: self.held.clone(),
            slot_count: self.config.slots as usize,
            captures: self.captures.clone(),
            events: self.events.clone(),
            finished: self.finished.clone(),
        }
    }

    fn starter(&self) -> Starter {
        Starter {
            connection: Kept::new(self.pool.clone()),
            holder: self.holder,
            worker_name: self.name.clone(),
            held: self.held.clone(),
            tenure: self.tenure.clone(),
            slots: self.slots.clone(),
            slot_count: self.config.slots as usize,
            events: self.events.clone(),
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            pool: self.pool.clone(),
            holder: self.holder,
            events: self.events.clone(),
            held: self.held.clone(),
            tenure: self.tenure.clone(),
            registered: self.registered,
            slots: self.config.slots,
            interval: self.config.heartbeat_interval(),
            timeout: self.config.heartbeat_timeout(),
            finished: self.finished.clone(),
            news: self.news.clone(),
            draining: self.shutdown.drain.clone(),
        }
    }

    /// Takes messages until it is asked to stop.
    async fn consume(self, shutdown: CancellationToken) {
        let (sender, mut messages) = mpsc::channel(MESSAGES);
        let (connected, _) = watch::channel(false);
        let consumer = tokio::spawn(consume_assignments(
            self.config.broker.clone(),
            self.name.clone(),
            sender,
            connected,
            shutdown.clone(),
        ));
        while let Some(message) = messages.recv().await {
            match message {
                // What comes while it drains is still assigned to it, and handed back at the next heartbeat.
                WorkerMessage::Assign { .. } if shutdown.is_cancelled() => {}
                WorkerMessage::Assign { tasks } => self.assign(
                    tasks
                        .into_iter()
                        .map(|Assignment { id, lease, wait_ms }| (TaskLease { id, lease }, wait_ms))
                        .collect(),
                ),
                WorkerMessage::Cancel { tasks } => {
                    for task in tasks {
                        self.held.stop(task, StopReason::Cancelled);
                    }
                }
                // It may have been meant for an earlier incarnation: Postgres says.
                WorkerMessage::Drain => self.news.notify_one(),
            }
        }
        if let Err(error) = consumer.await {
            tracing::error!(%error, "the consumer panicked");
        }
    }

    /// Takes tasks on, each once; those that have to wait become ready later.
    fn assign(&self, tasks: Vec<(TaskLease, u32)>) {
        let mut ready = Vec::with_capacity(tasks.len());
        for (task, wait_ms) in tasks {
            if !self.held.insert(task) {
                continue;
            }
            let own_wait = self.settings.simulate.map_or(0, |options| options.wait_ms);
            match if wait_ms > 0 { wait_ms } else { own_wait } {
                0 => ready.push(task),
                wait_ms => {
                    let held = self.held.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(wait_ms.into())).await;
                        held.make_ready([task]);
                    });
                }
            }
        }
        self.held.make_ready(ready);
    }

    /// Runs one started task to its end and reports it.
    async fn run_task(
        self: Arc<Self>,
        started: Started,
        term: Term,
        slot: OwnedSemaphorePermit,
        reports: mpsc::UnboundedSender<Report>,
    ) {
        let task = started.task;
        let stop = self.held.started(task);
        // Only now, so that a term that ends after this look finds a run to stop.
        if self.tenure.term() != Some(term) {
            self.held.stop(task, StopReason::LeaseLost);
        }
        let capture: SharedCapture = Arc::new(Mutex::new(Capture::new(
            task,
            started.attempt,
            self.config.output_limit,
        )));
        self.captures.insert(task, capture.clone());
        let end = execute(&started, &self.settings, &capture, stop).await;
        self.held.reporting(task);
        drop(slot);
        let handed_back = matches!(end, crate::execute::End::Stopped(StopReason::HandBack, _));
        let report = match end.ending(&started, &capture) {
            Some(ending) => Report::Ended(started, ending),
            None if handed_back => Report::HandBack(started),
            None => Report::Stale(task),
        };
        if reports.send(report).is_err() {
            tracing::error!(task.id = %task.id, "the reporter is gone, the coordinator will report this task as lost");
        }
    }

    fn announce(&self, status: &str) {
        self.events.worker(WorkerEvent {
            name: self.name.clone(),
            status: status.to_owned(),
        });
    }

    /// Says goodbye, so that nobody waits for a heartbeat.
    async fn sign_off(&self) {
        match tokio::time::timeout(
            Duration::from_secs(2),
            workers::sign_off(&self.pool, self.holder),
        )
        .await
        {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "did not sign off"),
            Err(_) => tracing::debug!("did not sign off in time"),
        }
        self.announce("offline");
        tracing::info!(worker.name = self.name, "offline");
    }
}
