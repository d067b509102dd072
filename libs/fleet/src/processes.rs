//! Workers as child processes.
//!
//! Each worker has a task that owns its process: starts it again when it ends unexpectedly, and sees it off when it is told to
//! go. One that ends as a success has drained because somebody else told it to, and stays away. The fleet only gives
//! orders. Nothing ever passes through a shell, and a name is only compared with the fleet's own.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use crate::{
    FleetError, FleetWorker, FleetWorkerState, MAX_WORKERS, ScaleFailure, ScaleOutcome, StepKind,
    Steps, Workload,
    scaling::{Candidate, pick_to_drain},
    steps::{tell, tell_failure},
};
use member::{Member, Order};

mod backoff;
mod member;

/// Where the workers' output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To our own.
    Inherit,
    /// Appended to `worker-N.log` in this folder, which is made when it is not there.
    Files(PathBuf),
}

/// What the workers are. No `Debug`: the environment holds secrets.
#[derive(Clone)]
pub struct ProcessFleetConfig {
    /// The program; it is run as `PROGRAM worker --name worker-N ARGS…`.
    ///
    /// It gets our environment, and in `TASKMASTER_PARENT_PID` our process id: by that a worker notices that we died and
    /// stops by itself, because a parent that was killed with SIGKILL can tell it nothing any more.
    pub program: PathBuf,
    /// What follows the name. Never a secret: everyone on the machine can read arguments.
    pub args: Vec<OsString>,
    /// What is added to the environment: `DATABASE_URL`, `AMQP_URL` and the like.
    pub envs: Vec<(OsString, OsString)>,
    /// How long a draining worker may take to finish what it runs; it should be told the same. Then it is told to stop at
    /// once, and 5 s later it is killed.
    pub grace: Duration,
    /// Where their output goes.
    pub output: Output,
}

/// A fleet of child processes. Clones are the same fleet.
#[derive(Clone, Debug)]
pub struct ProcessFleet {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    config: ProcessFleetConfig,
    state: Mutex<State>,
    workers: watch::Sender<Vec<FleetWorker>>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Inner")
            .field("program", &self.config.program)
            .field("workers", &self.workers.borrow())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    /// By number. A worker stays until its process has ended, so that its number is free again only then.
    members: BTreeMap<u32, Member>,
    desired: u32,
    closed: bool,
}

impl ProcessFleet {
    /// Starts this many workers, from none to 50.
    ///
    /// # Errors
    ///
    /// [`FleetError::OutOfRange`], or [`FleetError::Io`] when one cannot be started; those that were are stopped then.
    pub async fn start(config: ProcessFleetConfig, count: u32) -> Result<Self, FleetError> {
        if count > MAX_WORKERS {
            return Err(FleetError::OutOfRange { count });
        }
        let fleet = Self {
            inner: Arc::new(Inner {
                config,
                state: Mutex::default(),
                workers: watch::Sender::default(),
                tasks: TaskTracker::new(),
            }),
        };
        let (steps, _) = mpsc::unbounded_channel();
        match fleet.resize(count, &Workload::default(), &steps)? {
            (_, None) => Ok(fleet),
            (_, Some(error)) => {
                fleet.shutdown().await;
                Err(error)
            }
        }
    }

    /// How many workers there should be.
    pub fn desired(&self) -> u32 {
        self.inner.state().desired
    }

    /// The workers, by number: also those that drain or wait to be started again.
    pub fn workers(&self) -> Vec<FleetWorker> {
        self.inner.workers.borrow().clone()
    }

    /// The workers as they change.
    pub fn changes(&self) -> watch::Receiver<Vec<FleetWorker>> {
        self.inner.workers.subscribe()
    }

    /// See [`Fleet::scale`](crate::Fleet::scale). One scaling or kill at a time: the second one sees what the first has done.
    pub(crate) async fn scale(
        &self,
        count: u32,
        workload: &Workload,
        steps: &Steps,
    ) -> Result<ScaleOutcome, FleetError> {
        let (outcome, _) = self.resize(count, workload, steps)?;
        Ok(outcome)
    }

    /// What was done, and why it ended with a worker that could not be started.
    fn resize(
        &self,
        count: u32,
        workload: &Workload,
        steps: &Steps,
    ) -> Result<(ScaleOutcome, Option<FleetError>), FleetError> {
        let mut state = self.inner.state();
        if state.closed {
            return Err(FleetError::ShuttingDown);
        }
        let mut outcome = ScaleOutcome::default();
        let staying: Vec<Candidate> = state
            .members
            .values()
            .filter(|member| member.stays())
            .map(|member| {
                let load = workload.loads.get(&member.name).copied();
                Candidate {
                    name: member.name.clone(),
                    load: load.unwrap_or_default(),
                    is_well: member.pid.is_some(),
                }
            })
            .collect();
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);

        outcome.draining = pick_to_drain(&staying, staying.len().saturating_sub(wanted));
        for member in state.members.values_mut() {
            if outcome.draining.contains(&member.name) {
                tracing::info!(worker.name = %member.name, "draining");
                member.order(Order::Drain);
                member.tell_until_its_end(steps);
            }
        }
        state.desired = count.min(u32::try_from(staying.len()).unwrap_or(u32::MAX));
        let mut failed = None;
        while state.desired < count {
            let number = (1..).find(|number| !state.members.contains_key(number));
            let number = number.unwrap_or(u32::MAX);
            match Member::start(&self.inner, number) {
                Ok(member) => {
                    outcome.started.push(member.name.clone());
                    tell(steps, &member.name, StepKind::Started);
                    state.members.insert(member.number, member);
                    state.desired += 1;
                }
                Err(error) => {
                    let failure = ScaleFailure {
                        name: format!("worker-{number}"),
                        step: StepKind::Started,
                        reason: error.to_string(),
                    };
                    tell_failure(steps, &failure.name, &failure.reason);
                    outcome.failed.push(failure);
                    failed = Some(error);
                    break;
                }
            }
        }
        self.inner.publish(&state);
        Ok((outcome, failed))
    }

    /// Stops one worker: SIGTERM, on which it drains (one that drains already stops at once); another SIGTERM after 10 s, on
    /// which it stops at once and hands back; after 5 s more SIGKILL to its process group.
    ///
    /// # Errors
    ///
    /// [`FleetError::UnknownWorker`].
    pub async fn kill(&self, name: &str, steps: &Steps) -> Result<(), FleetError> {
        self.send_off(name, Order::Kill, steps)
    }

    /// Drains one worker: SIGTERM, and the fleet's grace period. One that goes already goes on as it was told.
    pub(crate) async fn drain(&self, name: &str, steps: &Steps) -> Result<(), FleetError> {
        self.send_off(name, Order::Drain, steps)
    }

    /// Tells one worker to go; the fleet is smaller by it from now on.
    fn send_off(&self, name: &str, order: Order, steps: &Steps) -> Result<(), FleetError> {
        let mut state = self.inner.state();
        let Some(member) = state
            .members
            .values_mut()
            .find(|member| member.name == name)
        else {
            return Err(FleetError::UnknownWorker(name.to_owned()));
        };
        tracing::info!(worker.name = %member.name, ?order, "told to go");
        let counted = member.stays();
        member.order(order);
        member.tell_until_its_end(steps);
        if counted {
            state.desired = state.desired.saturating_sub(1);
        }
        self.inner.publish(&state);
        Ok(())
    }

    /// Drains every worker at once and returns when all are gone: at the latest 5 s after the grace period. No worker is
    /// started any more.
    pub async fn shutdown(&self) {
        {
            let mut state = self.inner.state();
            state.closed = true;
            for member in state.members.values_mut() {
                if member.stays() {
                    member.order(Order::Drain);
                }
            }
            self.inner.publish(&state);
        }
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's process has started, or ended and will start again.
    fn update(&self, number: u32, pid: Option<u32>) {
        let mut state = self.state();
        if let Some(member) = state.members.get_mut(&number) {
            member.pid = pid;
        }
        self.publish(&state);
    }

    /// A worker is gone for good. One that nobody here told to go makes the fleet smaller only now.
    fn remove(&self, number: u32) {
        let mut state = self.state();
        let left = state.members.remove(&number);
        if let Some(member) = &left {
            member.tell_of_its_end();
        }
        if left.is_some_and(|member| member.stays()) {
            state.desired = state.desired.saturating_sub(1);
        }
        self.publish(&state);
    }

    fn publish(&self, state: &State) {
        let workers: Vec<FleetWorker> = state
            .members
            .values()
            .map(|member| FleetWorker {
                name: member.name.clone(),
                host: None,
                pid: member.pid,
                node: None,
                state: match (member.stays(), member.pid) {
                    (false, _) => FleetWorkerState::Draining,
                    (true, Some(_)) => FleetWorkerState::Running,
                    (true, None) => FleetWorkerState::Restarting,
                },
            })
            .collect();
        self.workers.send_if_modified(|last| {
            let changed = *last != workers;
            *last = workers;
            changed
        });
    }
}
