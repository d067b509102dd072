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

use std::collections::HashMap;

use serde::Serialize;
use tokio::sync::watch;

pub use docker::{DockerFleet, DockerFleetConfig};
pub use error::FleetError;
pub use processes::{Output, ProcessFleet, ProcessFleetConfig};
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

    /// How many workers there should be; `None` where nobody here decides it.
    ///
    /// # Errors
    ///
    /// [`FleetError::EngineAway`].
    pub async fn desired(&self) -> Result<Option<u32>, FleetError> {
        match self {
            Self::None => Ok(None),
            Self::Processes(fleet) => Ok(Some(fleet.desired())),
            // There is no number but what the engine has: Compose changes it as well.
            Self::Docker(fleet) => {
                let workers = fleet.workers().await?;
                let wanted = workers.iter().filter(|worker| worker.state.is_wanted());
                Ok(u32::try_from(wanted.count()).ok())
            }
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

    /// The workers as they change, and as they were last seen; `None` where nobody here controls them.
    pub fn changes(&self) -> Option<watch::Receiver<Vec<FleetWorker>>> {
        match self {
            Self::None => None,
            Self::Processes(fleet) => Some(fleet.changes()),
            Self::Docker(fleet) => Some(fleet.changes()),
            Self::Swarm(fleet) => Some(fleet.changes()),
        }
    }

    /// Makes the fleet this large. Of processes, new ones get the lowest free numbers; of containers, those that do not run
    /// are started first, and new ones get the numbers that Compose would give them. Those that have least to do, by `loads`
    /// (tasks running and assigned, by worker name or host), drain. Returns when the new ones are started: draining takes
    /// as long as the tasks do. One scaling at a time is the caller's matter.
    ///
    /// # Errors
    ///
    /// [`FleetError::OutOfRange`], [`FleetError::NotAvailable`], [`FleetError::Io`] when a process cannot be started; for
    /// containers [`FleetError::EngineAway`], [`FleetError::NoTemplate`] and [`FleetError::Refused`], when nothing was
    /// changed. Single containers that fail are in the outcome.
    pub async fn scale(
        &self,
        count: u32,
        loads: &HashMap<String, u32>,
        steps: Steps,
    ) -> Result<ScaleOutcome, FleetError> {
        if !(MIN_WORKERS..=MAX_WORKERS).contains(&count) {
            return Err(FleetError::OutOfRange { count });
        }
        match self {
            Self::None => Err(FleetError::NotAvailable),
            Self::Processes(fleet) => fleet.scale(count, loads, &steps).await,
            Self::Docker(fleet) => fleet.scale(count, loads, &steps).await,
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

    /// Drains one worker, and makes the fleet smaller by it. Returns at once: draining takes as long as the tasks do.
    ///
    /// # Errors
    ///
    /// As [`kill`](Self::kill).
    pub async fn drain(&self, name: &str, steps: Steps) -> Result<(), FleetError> {
        match self {
            Self::None => Err(FleetError::NotAvailable),
            Self::Processes(fleet) => fleet.drain(name, &steps).await,
            Self::Docker(fleet) => fleet.drain(name, &steps).await,
            Self::Swarm(fleet) => Err(fleet.cannot_go(name).await),
        }
    }

    /// Goes on with workers that a program which has ended since had told to go. Those that are gone, and names that are not
    /// this fleet's, are told of as removed; nothing is done to them.
    ///
    /// # Errors
    ///
    /// [`FleetError::EngineAway`].
    pub async fn resume(&self, names: &[String], steps: Steps) -> Result<(), FleetError> {
        match self {
            // Processes end with the program that started them.
            Self::None | Self::Processes(_) => Ok(()),
            // Swarm goes on by itself.
            Self::Swarm(_) => Ok(()),
            Self::Docker(fleet) => fleet.resume(names, &steps).await,
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
        let scaled = fleet.scale(3, &HashMap::new(), steps()).await;
        assert!(matches!(scaled, Err(FleetError::NotAvailable)));
        let killed = fleet.kill("worker-1", steps()).await;
        assert!(matches!(killed, Err(FleetError::NotAvailable)));
        let drained = fleet.drain("worker-1", steps()).await;
        assert!(matches!(drained, Err(FleetError::NotAvailable)));
        for count in [0, 51] {
            let scaled = fleet.scale(count, &HashMap::new(), steps()).await;
            assert!(matches!(scaled, Err(FleetError::OutOfRange { .. })));
        }
    }
}
