//! The size of the fleet: how many workers there are, which of them go when there are too many, and stopping one by name.
//!
//! Today the workers are child processes of `taskmaster up`; containers will be another variant of [`Fleet`] with the same
//! methods. What a worker does is no matter of this crate: it starts programs and sends them signals.

mod error;
mod processes;
pub mod scaling;

use std::collections::HashMap;

use serde::Serialize;
use tokio::sync::watch;

pub use error::FleetError;
pub use processes::{Output, ProcessFleet, ProcessFleetConfig};

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
}

/// The name of a [`Fleet`]'s variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetKind {
    /// No control over the workers.
    None,
    /// Child processes.
    Processes,
}

impl FleetKind {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Processes => "processes",
        }
    }
}

/// One worker of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetWorker {
    /// `worker-1` and so on.
    pub name: String,
    /// Its process; `None` while it waits to be started again.
    pub pid: Option<u32>,
    /// What it is doing, as the fleet sees it.
    pub state: FleetWorkerState,
}

/// What a worker of the fleet is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetWorkerState {
    /// It runs. Put there by a start; taken out by its end, a scaling or a kill.
    Running,
    /// It was told to stop (scaled down, drained, killed, or everything stops) and has not ended yet. Only its end takes
    /// it out.
    Draining,
    /// It ended unexpectedly and is started again after a while. Taken out by that start, a scaling or a kill.
    Restarting,
}

/// What a scaling did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScaleOutcome {
    /// The names of the workers that were started.
    pub started: Vec<String>,
    /// The names of the workers that were told to drain.
    pub draining: Vec<String>,
}

impl Fleet {
    /// Which kind it is.
    pub fn kind(&self) -> FleetKind {
        match self {
            Self::None => FleetKind::None,
            Self::Processes(_) => FleetKind::Processes,
        }
    }

    /// How many workers there should be; `None` where nobody here decides it.
    pub async fn desired(&self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Processes(fleet) => Some(fleet.desired()),
        }
    }

    /// The fleet's workers, by number; none where nobody here controls them.
    pub async fn workers(&self) -> Vec<FleetWorker> {
        match self {
            Self::None => Vec::new(),
            Self::Processes(fleet) => fleet.workers(),
        }
    }

    /// The workers as they change; `None` where nobody here controls them.
    pub fn changes(&self) -> Option<watch::Receiver<Vec<FleetWorker>>> {
        match self {
            Self::None => None,
            Self::Processes(fleet) => Some(fleet.changes()),
        }
    }

    /// Makes the fleet this large. New workers get the lowest free numbers; those that have least to do, by `loads`
    /// (tasks running and assigned, by worker name), drain. Returns at once: draining takes as long as the tasks do.
    ///
    /// # Errors
    ///
    /// [`FleetError::OutOfRange`], [`FleetError::NotAvailable`], or [`FleetError::Io`] when a worker cannot be started.
    pub async fn scale(
        &self,
        count: u32,
        loads: &HashMap<String, u32>,
    ) -> Result<ScaleOutcome, FleetError> {
        if !(MIN_WORKERS..=MAX_WORKERS).contains(&count) {
            return Err(FleetError::OutOfRange { count });
        }
        match self {
            Self::None => Err(FleetError::NotAvailable),
            Self::Processes(fleet) => fleet.scale(count, loads).await,
        }
    }

    /// Stops one worker, and makes the fleet smaller by it. Returns at once; see `ProcessFleet::kill` for what follows.
    ///
    /// # Errors
    ///
    /// [`FleetError::UnknownWorker`] unless it is exactly the name of a worker of this fleet, or [`FleetError::NotAvailable`].
    pub async fn kill(&self, name: &str) -> Result<(), FleetError> {
        match self {
            Self::None => Err(FleetError::NotAvailable),
            Self::Processes(fleet) => fleet.kill(name).await,
        }
    }

    /// Drains one worker, and makes the fleet smaller by it. Returns at once: draining takes as long as the tasks do.
    ///
    /// # Errors
    ///
    /// As [`kill`](Self::kill).
    pub async fn drain(&self, name: &str) -> Result<(), FleetError> {
        match self {
            Self::None => Err(FleetError::NotAvailable),
            Self::Processes(fleet) => fleet.drain(name).await,
        }
    }

    /// Stops every worker that is ours and returns when all are gone.
    pub async fn shutdown(&self) {
        match self {
            Self::None => {}
            Self::Processes(fleet) => fleet.shutdown().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_fleet_controls_nothing() {
        let fleet = Fleet::None;
        assert_eq!(fleet.kind().as_str(), "none");
        assert_eq!(fleet.desired().await, None);
        assert_eq!(fleet.workers().await, []);
        let scaled = fleet.scale(3, &HashMap::new()).await;
        assert!(matches!(scaled, Err(FleetError::NotAvailable)));
        let killed = fleet.kill("worker-1").await;
        assert!(matches!(killed, Err(FleetError::NotAvailable)));
        let drained = fleet.drain("worker-1").await;
        assert!(matches!(drained, Err(FleetError::NotAvailable)));
        for count in [0, 51] {
            let scaled = fleet.scale(count, &HashMap::new()).await;
            assert!(matches!(scaled, Err(FleetError::OutOfRange { .. })));
        }
    }
}
