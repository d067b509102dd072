//! What Swarm says of a task and of a machine.

use bollard::models::{Node, Task, TaskState};

use crate::{FleetNode, FleetWorkerState};

/// Whether Swarm wants it to run.
pub(super) fn is_wanted(task: &Task) -> bool {
    matches!(
        task.desired_state,
        Some(TaskState::RUNNING | TaskState::READY)
    )
}

/// Whether there is no process of it.
pub(super) fn has_ended(task: &Task) -> bool {
    let state = task.status.as_ref().and_then(|status| status.state);
    matches!(
        state,
        Some(
            TaskState::COMPLETE
                | TaskState::SHUTDOWN
                | TaskState::FAILED
                | TaskState::REJECTED
                | TaskState::REMOVE
                | TaskState::ORPHANED
        )
    )
}

/// Whether there is a process of it.
pub(super) fn is_running(task: &Task) -> bool {
    let state = task.status.as_ref().and_then(|status| status.state);
    state == Some(TaskState::RUNNING)
}

/// What it is doing.
pub(super) fn state(task: &Task) -> FleetWorkerState {
    if !is_wanted(task) {
        return FleetWorkerState::Draining;
    }
    FleetWorkerState::of_wanted(has_ended(task), is_running(task))
}

/// As `docker service ps` shows it: the service and the slot.
pub(super) fn name(service: &str, task: &Task) -> String {
    in_slot(service, task.slot.unwrap_or_default())
}

/// The name of whatever task is in the slot.
pub(super) fn in_slot(service: &str, slot: i64) -> String {
    format!("{service}.{slot}")
}

/// The host name inside its container, by which the worker signs on: the first 12 digits of the container's id.
pub(super) fn host(task: &Task) -> Option<String> {
    let container = task.status.as_ref()?.container_status.as_ref()?;
    let id = container.container_id.as_deref()?;
    Some(id.get(..12)?.to_owned())
}

/// A machine with so many workers.
pub(super) fn placed(node: &Node, workers: usize) -> FleetNode {
    let description = node.description.as_ref();
    let name = description.and_then(|description| description.hostname.clone());
    let availability = node.spec.as_ref().and_then(|spec| spec.availability);
    let state = node.status.as_ref().and_then(|status| status.state);
    FleetNode {
        name: name.or_else(|| node.id.clone()).unwrap_or_default(),
        availability: availability
            .map_or_else(String::new, |availability| availability.to_string()),
        state: state.map_or_else(String::new, |state| state.to_string()),
        workers: u32::try_from(workers).unwrap_or(u32::MAX),
    }
}
