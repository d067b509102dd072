//! A worker of the fleet: what whoever started it sees of it, and what Postgres knows of it, together.

use serde::Serialize;
use taskmaster_fleet::{FleetWorker, FleetWorkerState};
use taskmaster_store::workers::Worker;
use utoipa::ToSchema;

use crate::operations::is_worker_of;

/// What a worker of the fleet does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FleetMemberState)]
pub(crate) enum State {
    /// It was started, and has not signed on.
    Starting,
    /// It takes tasks.
    Online,
    /// It takes nothing new, and goes when it has finished what it runs.
    Draining,
    /// It runs and does not answer the health check.
    Unhealthy,
    /// It ended unexpectedly and is started again.
    Restarting,
    /// It has ended.
    Gone,
}

/// A worker of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FleetMember)]
pub(crate) struct Member {
    /// Its name in the fleet: the process's or the container's.
    name: String,
    /// What it does.
    state: State,
    /// Its name among the workers, once it has signed on.
    worker: Option<String>,
    /// The host name that it sees, if it is a container.
    host: Option<String>,
    /// Its process id, if it is a process of this machine.
    pid: Option<u32>,
    /// The machine it runs on, if there are several.
    node: Option<String>,
}

impl Member {
    /// What `workers` knows of a member.
    pub(crate) fn of(member: &FleetWorker, workers: &[Worker]) -> Self {
        let worker = workers.iter().find(|worker| {
            // The row may still be that of a process which has ended.
            let same_process = member
                .pid
                .is_none_or(|pid| i64::from(pid) == i64::from(worker.pid));
            same_process && is_worker_of(member, worker)
        });
        Self {
            name: member.name.clone(),
            state: state(member.state, worker.map(|worker| &*worker.status)),
            worker: worker.map(|worker| worker.name.clone()),
            host: member.host.clone(),
            pid: member.pid,
            node: member.node.clone(),
        }
    }
}

fn state(seen: FleetWorkerState, status: Option<&str>) -> State {
    match (seen, status) {
        (FleetWorkerState::Draining, _) => State::Draining,
        (FleetWorkerState::Unhealthy, _) => State::Unhealthy,
        (FleetWorkerState::Restarting, _) => State::Restarting,
        (FleetWorkerState::Gone, _) => State::Gone,
        (FleetWorkerState::Starting | FleetWorkerState::Running, Some("draining")) => {
            State::Draining
        }
        (FleetWorkerState::Starting | FleetWorkerState::Running, Some("idle" | "busy")) => {
            State::Online
        }
        (FleetWorkerState::Starting | FleetWorkerState::Running, _) => State::Starting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_comes_of_both_views() {
        use FleetWorkerState as Seen;
        for (seen, status, expected) in [
            (Seen::Starting, None, State::Starting),
            (Seen::Running, None, State::Starting),
            (Seen::Running, Some("offline"), State::Starting),
            (Seen::Starting, Some("idle"), State::Online),
            (Seen::Running, Some("busy"), State::Online),
            (Seen::Running, Some("draining"), State::Draining),
            (Seen::Draining, Some("busy"), State::Draining),
            (Seen::Unhealthy, Some("busy"), State::Unhealthy),
            (Seen::Restarting, Some("idle"), State::Restarting),
            (Seen::Gone, Some("idle"), State::Gone),
        ] {
            assert_eq!(state(seen, status), expected, "{seen:?} {status:?}");
        }
    }
}
