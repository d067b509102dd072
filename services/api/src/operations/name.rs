//! Which worker of the fleet a name is about. People give the worker's own name or that of its container; both are only
//! ever compared with what there is.

use taskmaster_fleet::FleetWorker;
use taskmaster_store::bounded;
use taskmaster_store::workers::{self, Worker};

use crate::ApiState;
use crate::error::ApiError;

/// Whether this member of the fleet is this worker. A container's is the one on the host that the container is; a child
/// process's has its name.
pub(crate) fn is_worker_of(member: &FleetWorker, worker: &Worker) -> bool {
    match &member.host {
        Some(host) => *host == worker.host,
        None => member.name == worker.name,
    }
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The name in the fleet, if it is one of the fleet.
    pub(super) member: Option<String>,
    /// The name among the workers.
    pub(super) worker: String,
}

/// Looks for `name`.
///
/// # Errors
/// When Postgres or the engine is away.
pub(super) async fn look_up(state: &ApiState, name: &str) -> Result<Named, ApiError> {
    let members = state.fleet.workers().await?;
    let workers = bounded(workers::list(&state.pool)).await?;
    Ok(find(&members, &workers, name))
}

/// The fleet's own names first: nobody can take one of them by calling a worker so.
fn find(members: &[FleetWorker], workers: &[Worker], name: &str) -> Named {
    if let Some(member) = members.iter().find(|member| member.name == name) {
        let worker = workers.iter().find(|worker| is_worker_of(member, worker));
        return Named {
            member: Some(member.name.clone()),
            worker: worker.map_or(name, |worker| &worker.name).to_owned(),
        };
    }
    let worker = workers.iter().find(|worker| worker.name == name);
    let member = worker.and_then(|worker| {
        let mut members = members.iter();
        members.find(|member| is_worker_of(member, worker))
    });
    Named {
        member: member.map(|member| member.name.clone()),
        worker: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use taskmaster_fleet::FleetWorkerState;

    use super::*;

    fn member(name: &str, host: Option<&str>) -> FleetWorker {
        FleetWorker {
            name: name.to_owned(),
            host: host.map(str::to_owned),
            pid: None,
            node: None,
            state: FleetWorkerState::Running,
        }
    }

    fn worker(name: &str, host: &str) -> Worker {
        Worker {
            id: 1,
            name: name.to_owned(),
            status: "idle".to_owned(),
            slots: 4,
            running: 0,
            assigned: 0,
            current_task_ids: Vec::new(),
            tasks_completed: 0,
            tasks_failed: 0,
            host: host.to_owned(),
            pid: 7,
            version: "0.0.0".to_owned(),
            started_at: DateTime::UNIX_EPOCH,
            last_active_at: DateTime::UNIX_EPOCH,
        }
    }

    fn named(member: Option<&str>, worker: &str) -> Named {
        Named {
            member: member.map(str::to_owned),
            worker: worker.to_owned(),
        }
    }

    #[test]
    fn a_container_is_found_by_its_name_and_by_its_workers() {
        let members = [
            member("tm-worker-1", Some("0123456789ab")),
            member("tm-worker-2", Some("cdef01234567")),
        ];
        let workers = [
            worker("cdef01234567", "cdef01234567"),
            worker("by-hand", "somewhere"),
            // Somebody calls a worker as one of our containers is called.
            worker("tm-worker-1", "elsewhere"),
        ];
        for (name, expected) in [
            ("tm-worker-1", named(Some("tm-worker-1"), "tm-worker-1")),
            ("tm-worker-2", named(Some("tm-worker-2"), "cdef01234567")),
            ("cdef01234567", named(Some("tm-worker-2"), "cdef01234567")),
            ("by-hand", named(None, "by-hand")),
            ("tm-postgres-1", named(None, "tm-postgres-1")),
            ("0123456789ab", named(None, "0123456789ab")),
        ] {
            assert_eq!(find(&members, &workers, name), expected, "{name}");
        }
    }

    #[test]
    fn a_child_process_is_found_by_its_name_whatever_machine_it_is_on() {
        let members = [member("worker-1", None), member("worker-2", None)];
        let workers = [worker("worker-1", "here"), worker("worker-9", "here")];
        for (name, expected) in [
            ("worker-1", named(Some("worker-1"), "worker-1")),
            ("worker-2", named(Some("worker-2"), "worker-2")),
            ("worker-9", named(None, "worker-9")),
        ] {
            assert_eq!(find(&members, &workers, name), expected, "{name}");
        }
    }
}
