//! Workers as the tasks of a Swarm service.
//!
//! Swarm itself decides which tasks go and where new ones run; what is changed here is one number, the service's replicas.
//! A worker that goes gets SIGTERM and the service's `stop_grace_period`, and drains.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{Node, Task};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::steps::{tell, tell_failure};
use crate::{FleetError, FleetNode, FleetWorker, FleetWorkerState, ScaleOutcome, StepKind, Steps};
use change::Change;
use manager::{Manager, SwarmError};
use task::{has_ended, host, is_wanted, name, placed, state};

mod change;
mod manager;
mod task;

/// How often Swarm is asked what has become of its tasks: it has no events for them.
const PAUSE: Duration = Duration::from_secs(1);
/// How long Swarm gets to start the tasks of a new number: a machine may have to pull the image first.
const STARTED_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked in that time.
const POLL: Duration = Duration::from_millis(100);
/// How often a change is tried on a service that others change at the same time.
const TRIES: u32 = 5;

/// Where Swarm's manager is, and which of its services the workers are.
#[derive(Clone, Debug)]
pub struct SwarmFleetConfig {
    /// `unix:///var/run/docker.sock`, or `tcp://host:port`: of a manager.
    pub host: String,
    /// The stack; `None` for the only one that has such a service.
    pub stack: Option<String>,
    /// The service in it, without the stack's name.
    pub service: String,
}

/// A fleet of a Swarm service's tasks. Clones are the same fleet.
#[derive(Clone, Debug)]
pub struct SwarmFleet {
    manager: Arc<Manager>,
    workers: Arc<watch::Sender<Vec<FleetWorker>>>,
}

impl SwarmFleet {
    /// A fleet whose engine may be away.
    pub fn new(config: SwarmFleetConfig) -> Self {
        Self {
            manager: Arc::new(Manager::new(config)),
            workers: Arc::default(),
        }
    }

    /// How many replicas the service is to have.
    pub(crate) async fn desired(&self) -> Result<u32, FleetError> {
        let service = self.manager.service().await?;
        Ok(service.replicas()?)
    }

    /// The workers as Swarm has them now, by slot: those that are to run, and those that go and have not ended.
    pub(crate) async fn workers(&self) -> Result<Vec<FleetWorker>, FleetError> {
        let seen = members(&self.manager).await?;
        publish(&self.workers, &seen);
        Ok(seen)
    }

    /// The workers as they were last seen, and whenever they are looked at.
    pub(crate) fn changes(&self) -> watch::Receiver<Vec<FleetWorker>> {
        self.workers.subscribe()
    }

    /// The machines, by name.
    pub(crate) async fn nodes(&self) -> Result<Vec<FleetNode>, FleetError> {
        let (nodes, tasks) = tokio::try_join!(self.manager.nodes(), self.manager.tasks())?;
        let workers_on = |node: &Node| {
            let here = |task: &&Task| is_wanted(task) && task.node_id == node.id;
            tasks.iter().filter(here).count()
        };
        let nodes = nodes.iter().map(|node| placed(node, workers_on(node)));
        let mut nodes: Vec<FleetNode> = nodes.collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    /// Sets the service's replicas, and says which tasks Swarm has made and told to go for that.
    pub(crate) async fn scale(
        &self,
        count: u32,
        steps: &Steps,
    ) -> Result<ScaleOutcome, FleetError> {
        let service = self.manager.service().await?.name().to_owned();
        let mut change = Change::from(service, &self.manager.tasks().await?);
        self.set_replicas(count).await?;
        // From here on something was changed: what goes wrong is part of what came of it.
        let deadline = Instant::now() + STARTED_WITHIN;
        let away = loop {
            let error = match self.manager.tasks().await {
                Ok(tasks) if change.see(&tasks, count, steps) => break None,
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            };
            if Instant::now() >= deadline {
                break error;
            }
            sleep(POLL).await;
        };
        let going = change.going();
        if !going.is_empty() {
            let manager = Arc::clone(&self.manager);
            let service = change.service().to_owned();
            tokio::spawn(see_off(manager, service, going, steps.clone()));
        }
        Ok(change.end(away, steps))
    }

    /// Nobody can be told to go by name: Swarm would start another in its place.
    ///
    /// # Errors
    ///
    /// [`FleetError::UnknownWorker`] for one that is not there, else [`FleetError::Refused`].
    pub(crate) async fn cannot_go(&self, name: &str) -> FleetError {
        match self.workers().await {
            Ok(workers) if workers.iter().any(|worker| worker.is(name)) => {
                let advice = "Swarm starts another worker in the place of one that stops: scale the fleet down, or drain \
                              the worker to have it replaced";
                FleetError::Refused(advice.to_owned())
            }
            Ok(_) => FleetError::UnknownWorker(name.to_owned()),
            Err(error) => error,
        }
    }

    async fn set_replicas(&self, count: u32) -> Result<(), SwarmError> {
        let mut tries = 1..TRIES;
        loop {
            let service = self.manager.service().await?;
            if service.replicas()? == count {
                return Ok(());
            }
            match self.manager.update(&service, count).await {
                // Somebody else has changed it since we read it.
                Err(SwarmError::OutOfSequence) if tries.next().is_some() => {}
                updated => return updated,
            }
        }
    }
}

/// Tells of the end of those that go.
async fn see_off(manager: Arc<Manager>, service: String, mut going: HashSet<String>, steps: Steps) {
    while !going.is_empty() {
        sleep(PAUSE).await;
        let tasks = match manager.tasks().await {
            Ok(tasks) => tasks,
            Err(SwarmError::Away) => continue,
            Err(error) => {
                tell_failure(&steps, &service, &error.to_string());
                return;
            }
        };
        let alive: HashSet<&str> = {
            let alive = tasks.iter().filter(|task| !has_ended(task));
            alive.filter_map(|task| task.id.as_deref()).collect()
        };
        going.retain(|id| {
            let stays = alive.contains(id.as_str());
            if !stays {
                let task = tasks.iter().find(|task| task.id.as_ref() == Some(id));
                let name = task.map_or_else(|| id.clone(), |task| name(&service, task));
                tell(&steps, &name, StepKind::Removed);
            }
            stays
        });
    }
}

async fn members(manager: &Manager) -> Result<Vec<FleetWorker>, SwarmError> {
    let (service, tasks, nodes) =
        tokio::try_join!(manager.service(), manager.tasks(), manager.nodes())?;
    let mut tasks: Vec<&Task> = tasks
        .iter()
        .filter(|task| is_wanted(task) || !has_ended(task))
        .collect();
    tasks.sort_by_key(|task| (task.slot, task.created_at.clone()));
    let workers = tasks.into_iter().map(|task| FleetWorker {
        name: name(service.name(), task),
        host: host(task),
        pid: None,
        node: nodes
            .iter()
            .find(|node| node.id.is_some() && node.id == task.node_id)
            .map(|node| placed(node, 0).name),
        state: state(task),
    });
    Ok(workers.collect())
}

fn publish(sender: &watch::Sender<Vec<FleetWorker>>, seen: &[FleetWorker]) {
    sender.send_if_modified(|last| {
        let changed = *last != seen;
        last.clear();
        last.extend_from_slice(seen);
        changed
    });
}

impl From<SwarmError> for FleetError {
    fn from(error: SwarmError) -> Self {
        match error {
            SwarmError::Away => Self::EngineAway,
            SwarmError::Failed { status } => Self::EngineFailed { status },
            error => Self::Refused(error.to_string()),
        }
    }
}

impl FleetWorker {
    /// Whether it is the one that somebody means by this name.
    fn is(&self, name: &str) -> bool {
        self.name == name || self.host.as_deref() == Some(name)
    }
}

impl FleetWorkerState {
    /// What becomes of a task that is to run.
    fn of_wanted(ran: bool, runs: bool) -> Self {
        match (runs, ran) {
            (true, _) => Self::Running,
            (false, true) => Self::Restarting,
            (false, false) => Self::Starting,
        }
    }
}
