//! What the API answers, as far as the command line looks into it. `--json` prints the answers themselves, whole.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use taskmaster_core::TaskStatus;
use uuid::Uuid;

use super::Json;

/// A task.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: Uuid,
    pub(crate) command: String,
    pub(crate) executor: String,
    pub(crate) status: TaskStatus,
    pub(crate) priority: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) scheduled_at: DateTime<Utc>,
    pub(crate) picked_at: Option<DateTime<Utc>>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) cancel_requested_at: Option<DateTime<Utc>>,
    pub(crate) assigned_worker_name: Option<String>,
    pub(crate) attempt: i64,
    pub(crate) max_attempts: i64,
    pub(crate) timeout_seconds: Option<i64>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) signal: Option<i64>,
    pub(crate) error_message: Option<String>,
}

/// One attempt of a task.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) attempt: i64,
    pub(crate) worker_name: Option<String>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) outcome: String,
    pub(crate) exit_code: Option<i64>,
    pub(crate) signal: Option<i64>,
    pub(crate) error_message: Option<String>,
}

/// A worker.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) slots: i64,
    pub(crate) running: i64,
    pub(crate) assigned: i64,
    pub(crate) tasks_completed: i64,
    pub(crate) tasks_failed: i64,
    pub(crate) host: String,
    pub(crate) pid: i64,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) last_active_at: DateTime<Utc>,
}

impl Worker {
    /// Whether it takes tasks.
    pub(crate) fn is_online(&self) -> bool {
        matches!(self.status.as_str(), "idle" | "busy")
    }

    /// Whether it has ended.
    pub(crate) fn is_offline(&self) -> bool {
        self.status == "offline"
    }
}

/// A page of a list of tasks, as they came.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) tasks: Vec<Json>,
    pub(crate) next_cursor: Option<String>,
}

/// The counts.
#[derive(Debug, Deserialize)]
pub(crate) struct Stats {
    pub(crate) total_tasks: u64,
    pub(crate) pending_tasks: u64,
    pub(crate) running_tasks: u64,
    pub(crate) completed_tasks: u64,
    pub(crate) failed_tasks: u64,
    pub(crate) cancelled_tasks: u64,
}

/// What a scaling set in motion.
#[derive(Debug, Deserialize)]
pub(crate) struct Scaled {
    pub(crate) message: String,
    pub(crate) failed: Vec<Failed>,
}

/// A worker that could not be started.
#[derive(Debug, Deserialize)]
pub(crate) struct Failed {
    pub(crate) name: String,
    pub(crate) step: String,
    pub(crate) reason: String,
}

/// Something that was done to a worker.
#[derive(Debug, Deserialize)]
pub(crate) struct Step {
    pub(crate) at: DateTime<Utc>,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) reason: Option<String>,
}

/// A change of the fleet.
#[derive(Debug, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: Uuid,
    pub(crate) at: DateTime<Utc>,
    pub(crate) caller: String,
    pub(crate) action: String,
    pub(crate) request: Value,
    pub(crate) reason: Option<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) outcome: Option<String>,
    pub(crate) error: Option<String>,
}

/// A page of the audit, as it came.
#[derive(Debug, Deserialize)]
pub(crate) struct AuditPage {
    pub(crate) entries: Vec<Json>,
    pub(crate) next_cursor: Option<String>,
}

/// What a kill did, in words.
#[derive(Debug, Deserialize)]
pub(crate) struct Done {
    pub(crate) message: String,
}
