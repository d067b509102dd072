//! One worker: its process, started again when it ends unexpectedly, seen off when it is told to go, and let go when it has
//! drained by itself.

use std::{
    fs::{self, OpenOptions},
    io,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Inner, Output, ProcessFleetConfig, backoff::Backoff};
use crate::{FleetError, StepKind, Steps, steps::tell};

/// What a killed worker gets for what it runs.
const KILL_GRACE: Duration = Duration::from_secs(10);
/// What a worker that was told to stop at once gets to hand back what it holds.
const HAND_BACK: Duration = Duration::from_secs(5);

/// What a worker is told. Only ever raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Run, and be started again after an unexpected end. One that ends as a success was told to by somebody else.
    Stay,
    /// Go, within the fleet's grace period.
    Drain,
    /// Go, soon.
    Kill,
}

/// The fleet's side of one worker.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) pid: Option<u32>,
    order: watch::Sender<Order>,
    /// Who told it to go, and wants to hear of its end.
    listeners: Vec<Steps>,
}

impl Member {
    /// Starts the worker of this number, and the task that owns its process.
    pub(super) fn start(fleet: &Arc<Inner>, number: u32) -> Result<Self, FleetError> {
        let name = format!("worker-{number}");
        let child = spawn(&fleet.config, &name).map_err(|source| FleetError::Io {
            name: name.clone(),
            source,
        })?;
        tracing::info!(worker.name = %name, process.pid = child.id(), "started");
        let (order, orders) = watch::channel(Order::Stay);
        let member = Self {
            number,
            name: name.clone(),
            pid: child.id(),
            order,
            listeners: Vec::new(),
        };
        let keeper = Keeper {
            fleet: Arc::clone(fleet),
            number,
            name,
            orders,
        };
        fleet.tasks.spawn(keeper.keep(child));
        Ok(member)
    }

    /// Whether it has not been told to go.
    pub(super) fn stays(&self) -> bool {
        *self.order.borrow() == Order::Stay
    }

    /// Tells it to go; a lesser order than an earlier one changes nothing.
    pub(super) fn order(&mut self, order: Order) {
        self.order.send_if_modified(|last| {
            let raised = order > *last;
            *last = order.max(*last);
            raised
        });
    }

    /// Tells that it was told to go, and of its end when it comes.
    pub(super) fn tell_until_its_end(&mut self, steps: &Steps) {
        tell(steps, &self.name, StepKind::Draining);
        self.listeners.push(steps.clone());
    }

    pub(super) fn tell_of_its_end(&self) {
        for steps in &self.listeners {
            tell(steps, &self.name, StepKind::Removed);
        }
    }
}

/// The task that owns one worker's process.
struct Keeper {
    fleet: Arc<Inner>,
    number: u32,
    name: String,
    orders: watch::Receiver<Order>,
}

impl Keeper {
    async fn keep(mut self, first: Child) {
        let mut child = Some(first);
        let mut backoff = Backoff::new();
        loop {
            let born = Instant::now();
            if let Some(child) = &mut child {
                tokio::select! {
                    status = child.wait() => if self.has_left(status) { break },
                    order = told_to_go(&mut self.orders) => {
                        self.see_off(child, order).await;
                        break;
                    }
                }
            }
            self.fleet.update(self.number, None);
            let wait = backoff.after(born.elapsed());
            tokio::select! {
                () = sleep(wait) => {}
                _ = told_to_go(&mut self.orders) => break,
            }
            child = match spawn(&self.fleet.config, &self.name) {
                Ok(child) => {
                    tracing::info!(worker.name = %self.name, process.pid = child.id(), "started again");
                    self.fleet.update(self.number, child.id());
                    Some(child)
                }
                Err(error) => {
                    tracing::error!(worker.name = %self.name, %error, "could not be started again");
                    None
                }
            };
        }
        self.fleet.remove(self.number);
    }

    /// Ends the process: politely, then less so.
    async fn see_off(&mut self, child: &mut Child, mut order: Order) {
        signal(child, Signal::TERM);
        let mut deadline = Instant::now() + self.patience(order);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                () = sleep_until(deadline) => {
                    tracing::warn!(worker.name = %self.name, "has not stopped in time; telling it to stop at once");
                    signal(child, Signal::TERM);
                    match timeout(HAND_BACK, child.wait()).await {
                        Ok(status) => break status,
                        Err(_) => {
                            tracing::warn!(worker.name = %self.name, "does not stop; killing it");
                            signal_group(child, Signal::KILL);
                            break child.wait().await;
                        }
                    }
                }
                // Killed while it drains: for the worker a second SIGTERM means at once.
                harder = raised(&mut self.orders, order) => {
                    order = harder;
                    signal(child, Signal::TERM);
                    deadline = deadline.min(Instant::now() + self.patience(order));
                }
            }
        };
        match status {
            Ok(status) => tracing::info!(worker.name = %self.name, %status, "stopped"),
            Err(error) => tracing::error!(worker.name = %self.name, %error, "its end was not seen"),
        }
    }

    fn patience(&self, order: Order) -> Duration {
        match order {
            Order::Kill => KILL_GRACE,
            Order::Drain | Order::Stay => self.fleet.config.grace,
        }
    }

    /// Whether it ended because somebody else told it to: only then does a worker end as a success. It stays away.
    fn has_left(&self, status: io::Result<std::process::ExitStatus>) -> bool {
        match status {
            Ok(status) if status.success() => {
                tracing::info!(worker.name = %self.name, "has drained; it is not started again");
                return true;
            }
            Ok(status) => {
                tracing::warn!(worker.name = %self.name, %status, "ended unexpectedly; starting it again");
            }
            Err(error) => tracing::error!(worker.name = %self.name, %error, "its end was not seen"),
        }
        false
    }
}

/// Resolves when the worker is told to go.
async fn told_to_go(orders: &mut watch::Receiver<Order>) -> Order {
    raised(orders, Order::Stay).await
}

/// Resolves when there is a harder order than this one.
async fn raised(orders: &mut watch::Receiver<Order>, than: Order) -> Order {
    let order = orders
        .wait_for(|order| *order > than)
        .await
        .map(|order| *order);
    match order {
        Ok(order) => order,
        // The fleet keeps the sender until the process has ended, so there is nothing more to come.
        Err(_) => std::future::pending().await,
    }
}

fn spawn(config: &ProcessFleetConfig, name: &str) -> io::Result<Child> {
    let mut command = Command::new(&config.program);
    command
        .args(["worker", "--name", name])
        .args(&config.args)
        .envs(config.envs.iter().map(|(name, value)| (name, value)))
        .env("TASKMASTER_PARENT_PID", std::process::id().to_string())
        .stdin(Stdio::null())
        // A group of its own: the terminal's Ctrl-C reaches us alone, and we stop everything in order.
        .process_group(0)
        // Only when our runtime is torn down without a shutdown.
        .kill_on_drop(true);
    if let Output::Files(folder) = &config.output {
        fs::create_dir_all(folder)?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join(format!("{name}.log")))?;
        command.stdout(log.try_clone()?).stderr(log);
    }
    command.spawn()
}

/// Signals the process, unless it has ended: its pid is ours as long as we have not waited for it.
fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = pid(child) {
        kill_process(pid, signal).ok();
    }
}

fn signal_group(child: &Child, signal: Signal) {
    if let Some(pid) = pid(child) {
        kill_process_group(pid, signal).ok();
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}
