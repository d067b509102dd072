//! What travels: JSON, small, read often. Everything here can be lost, doubled or late without harm.

use serde::{Deserialize, Serialize};
pub use taskmaster_core::TaskLease;
use taskmaster_core::TaskStatus;
use uuid::Uuid;

use crate::Error;

/// The queue of every task until tasks have queues of their own.
pub(crate) const DEFAULT_QUEUE: &str = "default";

/// What a worker is told, in the order in which it was sent.
///
/// As JSON `{"assign":{"tasks":[{"id":"…","lease":1}]}}`, `{"cancel":{"tasks":[…]}}` or `"drain"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerMessage {
    /// Start these tasks, if their leases still hold.
    Assign {
        /// Everything that one claim gave this worker.
        tasks: Vec<Assignment>,
    },
    /// Stop these tasks: someone asked for it.
    Cancel {
        /// The runs to stop.
        tasks: Vec<TaskLease>,
    },
    /// Look into Postgres at once: someone asked for this worker to take nothing new, finish what runs, and exit. Only
    /// Postgres says which incarnation was asked, so a message that comes late drains nobody.
    Drain,
}

/// One task for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The task.
    pub id: Uuid,
    /// The claim's number; the worker's start is refused when it is no longer the task's.
    pub lease: i32,
    /// How long the worker waits before it starts the task, in milliseconds: 0 except for `simulate`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wait_ms: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A task changed its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// The task.
    pub id: Uuid,
    /// Its new status.
    pub status: TaskStatus,
    /// The worker that has or had it.
    pub assigned_worker_name: Option<String>,
}

/// A worker changed its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerEvent {
    /// The worker.
    pub name: String,
    /// `idle`, `busy`, `draining` or `offline`.
    pub status: String,
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    Ok(serde_json::to_vec(message)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_wire_format_stays_as_it_is() {
        let id = Uuid::nil();
        let assign = WorkerMessage::Assign {
            tasks: vec![
                Assignment {
                    id,
                    lease: 3,
                    wait_ms: 0,
                },
                Assignment {
                    id,
                    lease: 4,
                    wait_ms: 2000,
                },
            ],
        };
        let cancel = WorkerMessage::Cancel {
            tasks: vec![TaskLease { id, lease: 3 }],
        };
        for (message, wire) in [
            (
                assign,
                json!({"assign": {"tasks": [{"id": id, "lease": 3}, {"id": id, "lease": 4, "wait_ms": 2000}]}}),
            ),
            (
                cancel,
                json!({"cancel": {"tasks": [{"id": id, "lease": 3}]}}),
            ),
            (WorkerMessage::Drain, json!("drain")),
        ] {
            assert_eq!(serde_json::to_value(&message).unwrap(), wire);
            assert_eq!(
                serde_json::from_value::<WorkerMessage>(wire).unwrap(),
                message
            );
        }
    }

    #[test]
    fn an_event_says_which_worker_or_null() {
        let event = TaskEvent {
            id: Uuid::nil(),
            status: TaskStatus::Scheduled,
            assigned_worker_name: None,
        };
        let wire = json!({"id": Uuid::nil(), "status": "scheduled", "assigned_worker_name": null});
        assert_eq!(serde_json::to_value(event).unwrap(), wire);
    }
}
