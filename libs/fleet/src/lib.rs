//! The size of the fleet: how many workers there are, which of them go when there are too many, and stopping one by name.
//!
//! The workers are child processes of `taskmaster up`, or containers of a Compose service. What a worker does is no matter
//! of this crate: it starts programs and sends them signals.

pub mod docker;
mod error;
mod processes;
pub mod scaling;
mod steps;
pub mod swarm;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::watch;

pub use docker::{DockerFleet, DockerFleetConfig};
pub use error::FleetError;
pub use processes::{Output, ProcessFleet, ProcessFleetConfig};
pub use scaling::Workload;
pub use steps::{ScaleFailure, ScaleOutcome, Step, StepKind, Steps};
pub use swarm::{SwarmFleet, SwarmFleetConfig};

/// The fewest workers that can be asked for.
pub const MIN_WORKERS: u32 = 1;
/// The most workers that can be asked for.
pub const MAX_WORKERS: u32 = 50;

/// Who controls how many workers there are.
#[derive(Clone, Debug, Default)]
pub enum Fleet {
    /// Nobody here: workers are started and stopped elsewhere.
    #[default]
    None,
    /// This process, whose children the workers are.
    Processes(ProcessFleet),
    /// A Docker engine, whose containers the workers are.
    Docker(DockerFleet),
    /// A Swarm manager, of whose service the workers are tasks.
    Swarm(SwarmFleet),
}

/// The name of a [`Fleet`]'s variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetKind {
    /// No control over the workers.
    None,
    /// Child processes.
    Processes,
    /// Containers of a Compose service.
    Docker,
    /// Tasks of a Swarm service.
    Swarm,
}

impl FleetKind {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Processes => "processes",
            Self::Docker => "docker",
            Self::Swarm => "swarm",
        }
    }
}

/// One worker of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetWorker {
    /// `worker-1` and so on, or the container's name.
    pub name: String,
    /// The container's host name, by which its worker signs on; `None` for processes, whose name is the worker's.
    pub host: Option<String>,
    /// Its process; `None` for a container, and while it waits to be started again.
    pub pid: Option<u32>,
    /// The machine it runs on; `None` where there is only ours.
    pub node: Option<String>,
    /// What it is doing, as the fleet sees it.
    pub state: FleetWorkerState,
}

/// A machine that workers may run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetNode {
    /// Its host name.
    pub name: String,
    /// `active`, `pause` (gets nothing new) or `drain` (what it has goes).
    pub availability: String,
    /// `ready`, `down`, `disconnected` or `unknown`.
    pub state: String,
    /// How many workers are to run there.
    pub workers: u32,
}

/// What a worker of the fleet is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetWorkerState {
    /// Its container was made and has not started yet.
    Starting,
    /// It runs. Put there by a start; taken out by its end, a scaling or a kill.
    Running,
    /// It was told to stop (scaled down, drained, killed, or everything stops) and has not ended yet. Only its end takes
    /// it out.
    Draining,
    /// Its container runs and does not answer the engine's health check.
    Unhealthy,
    /// It ended unexpectedly and is started again after a while. Taken out by that start, a scaling or a kill.
    Restarting,
    /// Its container is there and its program has ended; the next scaling may start it.
    Gone,
}

/// A worker that was told to go by a program that has ended since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldToGo {
    /// Its name.
    pub name: String,
    /// When that was, at the latest.
    pub at: DateTime<Utc>,
    /// Whether it was killed, not drained.
    pub kill: bool,
}

impl FleetWorkerState {
    /// Whether it counts as a worker that there should be.
    pub fn is_wanted(self) -> bool {
        !matches!(self, Self::Draining | Self::Gone)
    }
}

impl Fleet {
    /// Which kind it is.
    pub fn kind(&self) -> FleetKind {
        match self {
            Self::None => FleetKind::None,
            Self::Processes(_) => FleetKind::Processes,
            Self::Docker(_) => FleetKind::Docker,
            Self::Swarm(_) => FleetKind::Swarm,
        }
    }

    /// How many workers there should be, as far as this program knows; `None` where nobody here decides it.
    ///
    /// # Errors
    ///
    /// [`FleetError::EngineAway`].
    pub async fn desired(&self) -> Result<Option<u32>, FleetError> {
        self.desired_without(&HashSet::new()).await
    }

    /// How many workers there should be; `None` where nobody here decides it. Of containers, those that are there and stay:
    /// not those on the hosts that are `draining`, whoever has told them to.
    ///
    /// # Errors
    ///
    /// [`FleetError::EngineAway`].
    pub async fn desired_without(
        &self,
        draining: &HashSet<String>,
    ) -> Result<Option<u32>, FleetError> {
        match self {
            Self::None => Ok(None),
            Self::Processes(fleet) => Ok(Some(fleet.desired())),
            Self::Docker(fleet) => fleet.desired(draining).await.map(Some),
            Self::Swarm(fleet) => fleet.desired().await.map(Some),
        }
    }

    /// The fleet's workers, by number; none where nobody here controls them.
    ///
    /// # Errors
    ///
    /// [`FleetError::EngineAway`].
    pub async fn workers(&self) -> Result<Vec<FleetWorker>, FleetError> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Processes(fleet) => Ok(fleet.workers()),
            Self::Docker(fleet) => fleet.workers().await,
            Self::Swarm(fleet) => fleet.workers().await,
        }
    }

    /// The machines that workers may run on, by name; none where there is only ours.
    ///
    /// # Errors
    ///
    /// [`FleetError::EngineAway`].
    pub async fn nodes(&self) -> Result<Vec<FleetNode>, FleetError> {
        match self {
            Self::None | Self::Processes(_) | Self::Docker(_) => Ok(Vec::new()),
            Self::Swarm(fleet) => fleet.nodes().await,
        }
    }

    /// The workers as they were last seen, and as they change: processes at once, others when somebody looks at them.
    /// `None` where nobody here controls them.
    pub fn changes(&self) -> Option<watch::Receiver<Vec<FleetWorker>>> {
        match self {
            Self::None => None,
            Self::Processes(fleet) => Some(fleet.changes()),
            Self::Docker(fleet) => Some(fleet.changes()),
            Self::Swarm(fleet) => Some(fleet.changes()),
        }
    }

    /// Makes the fleet this large. Of processes, new ones get the lowest free numbers; of containers, those that do not run
    /// are started first, and new ones get the numbers that Compose would give them. Those that have least to do, by
    /// `workload`, drain, and those that drain already do not count. Returns when the new ones are started: draining takes
    /// as long as the tasks do. One scaling at a time is the caller's matter.
    ///
    /// # Errors
    ///
    /// [`FleetError::OutOfRange`], [`FleetError::NotAvailable`], [`FleetError::ShuttingDown`]; for containers
    /// [`FleetError::EngineAway`], [`FleetError::NoTemplate`] and [`FleetError::Refused`], when nothing was changed. Single
    /// workers that fail are in the outcome.
    pub async fn scale(
        &self,
        count: u32,
        workload: &Workload,
        steps: Steps,
    ) -> Result<ScaleOutcome, FleetError> {
        if !(MIN_WORKERS..=MAX_WORKERS).contains(&count) {
            return Err(FleetError::OutOfRange { count });
        }
        match self {
            Self::None => Err(FleetError::NotAvailable),
            Self::Processes(fleet) => fleet.scale(count, workload, &steps).await,
            Self::Docker(fleet) => fleet.scale(count, workload, &steps).await,
            Self::Swarm(fleet) => fleet.scale(count, &steps).await,
        }
    }

    /// Stops one worker, and makes the fleet smaller by it: 10 s for what it runs, 5 s more to hand back, then it is killed.
    /// Returns at once. The last container stays, stopped, for new ones to be made like it.
    ///
    /// # Errors
    ///
    /// [`FleetError::UnknownWorker`] unless it is exactly the name (or host) of a worker of this fleet,
    /// [`FleetError::NotAvailable`], [`FleetError::EngineAway`], or on Swarm [`FleetError::Refused`].
    pub async fn kill(&self, name: &str, steps: Steps) -> Result<(), FleetError> {
        match self {
            Self::None => Err(FleetError::NotAvailable),
            Self::Processes(fleet) => fleet.kill(name, &steps).await,
            Self::Docker(fleet) => fleet.kill(name, &steps).await,
            Self::Swarm(fleet) => Err(fleet.cannot_go(name).await),
        }
    }

    /// Drains one worker, and makes the fleet smaller by it. Returns at once: draining takes as long as the tasks do. One that
    /// goes already goes on as it was told; its end is told here as well. So do those on the hosts that are `draining` by
    /// somebody else's order, unless they are not gone when their time is over.
    ///
    /// # Errors
    ///
    /// As [`kill`](Self::kill).
    pub async fn drain(
        &self,
        name: &str,
        draining: &HashSet<String>,
        steps: Steps,
    ) -> Result<(), FleetError> {
        match self {
            Self::None => Err(FleetError::NotAvailable),
            Self::Processes(fleet) => fleet.drain(name, &steps).await,
            Self::Docker(fleet) => fleet.drain(name, draining, &steps).await,
            Self::Swarm(fleet) => Err(fleet.cannot_go(name).await),
        }
    }

    /// Goes on with workers that a program which has ended since had told to go: they get their time before they are told
    /// again, and those that have ended are removed. Those that are gone or were started since, and names that are not this
    /// fleet's, are told of as removed; nothing is done to them.
    ///
    /// # Errors
    ///
    /// [`FleetError::EngineAway`].
    pub async fn resume(&self, told: &[ToldToGo], steps: Steps) -> Result<(), FleetError> {
        match self {
            // Processes end with the program that started them.
            Self::None | Self::Processes(_) => Ok(()),
            // Swarm goes on by itself. Nobody waits for that: the operation is over while its tasks may still drain.
            Self::Swarm(_) => Ok(()),
            Self::Docker(fleet) => fleet.resume(told, &steps).await,
        }
    }

    /// Stops every worker that is our child and returns when all are gone. Containers outlive us.
    pub async fn shutdown(&self) {
        match self {
            Self::None | Self::Docker(_) | Self::Swarm(_) => {}
            Self::Processes(fleet) => fleet.shutdown().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn no_fleet_controls_nothing() {
        let fleet = Fleet::None;
        let steps = || mpsc::unbounded_channel().0;
        assert_eq!(fleet.kind().as_str(), "none");
        assert!(matches!(fleet.desired().await, Ok(None)));
        assert!(
            fleet
                .workers()
                .await
                .is_ok_and(|workers| workers.is_empty())
        );
        let scaled = fleet.scale(3, &Workload::default(), steps()).await;
        assert!(matches!(scaled, Err(FleetError::NotAvailable)));
        let killed = fleet.kill("worker-1", steps()).await;
        assert!(matches!(killed, Err(FleetError::NotAvailable)));
        let drained = fleet.drain("worker-1", &HashSet::new(), steps()).await;
        assert!(matches!(drained, Err(FleetError::NotAvailable)));
        for count in [0, 51] {
            let scaled = fleet.scale(count, &Workload::default(), steps()).await;
            assert!(matches!(scaled, Err(FleetError::OutOfRange { .. })));
        }
    }
}
