//! Taking tasks in: from JSON to stored tasks, and word to the coordinator.

use std::collections::HashMap;

use serde_json::Value;
use taskmaster_broker::TaskEvent;
use taskmaster_core::{FieldError, IdempotencyKey, MAX_BATCH, NewTask, SubmitTask, TaskStatus};
use taskmaster_store::keys::{KEPT_HOURS, Known};
use taskmaster_store::submit::Accepted;
use taskmaster_store::{Task, bounded, tasks};
use uuid::Uuid;

use crate::ApiState;
use crate::error::ApiError;
use crate::group_commit::{Committed, Submission};

/// Reads one task.
///
/// # Errors
/// [`ApiError::BadInput`] with all that is wrong with it.
pub(crate) fn read(body: Value) -> Result<NewTask, ApiError> {
    check(body).map_err(|errors| {
        let named = errors.into_iter().map(|error| match error.field.as_str() {
            "" => FieldError::new("body", error.message),
            _ => error,
        });
        ApiError::BadInput(named.collect())
    })
}

/// Reads 1 to 1,000 tasks.
///
/// # Errors
/// [`ApiError::BadInput`] with all that is wrong with each of them.
pub(crate) fn read_many(items: Vec<Value>) -> Result<Vec<NewTask>, ApiError> {
    if items.is_empty() || items.len() > MAX_BATCH {
        let message = format!("must have 1 to {MAX_BATCH} tasks; this has {}", items.len());
        return Err(ApiError::field("body", message));
    }
    let mut tasks = Vec::with_capacity(items.len());
    let mut errors = Vec::new();
    for (i, item) in items.into_iter().enumerate() {
        match check(item) {
            Ok(task) => tasks.push(task),
            Err(wrong) => errors.extend(wrong.into_iter().map(|error| in_item(i, error))),
        }
    }
    if errors.is_empty() {
        Ok(tasks)
    } else {
        Err(ApiError::BadInput(errors))
    }
}

fn check(value: Value) -> Result<NewTask, Vec<FieldError>> {
    let task = SubmitTask::from_json(value).map_err(|error| vec![error])?;
    task.check(Uuid::now_v7())
}

fn in_item(i: usize, error: FieldError) -> FieldError {
    let field = match error.field.as_str() {
        "" => format!("[{i}]"),
        field => format!("[{i}].{field}"),
    };
    FieldError::new(field, error.message)
}

/// The tasks of a submission, in its order.
pub(crate) struct Stored {
    pub(crate) tasks: Vec<Task>,
    /// Whether they were stored before, under the same key.
    pub(crate) is_replay: bool,
}

/// Stores tasks, all or none, and tells the coordinator. Of a submission whose key is known, stores nothing, and returns
/// the tasks of the first time as they are now.
///
/// # Errors
/// [`ApiError::Conflict`] when the key belongs to other content, or when Postgres is away.
pub(crate) async fn store(
    state: &ApiState,
    tasks: Vec<NewTask>,
    key: Option<IdempotencyKey>,
) -> Result<Stored, ApiError> {
    let count = tasks.len();
    let accepted = match state.submissions.submit(Submission { tasks, key }).await? {
        Committed::Known(known) => return replay(state, known).await,
        Committed::New(accepted) => accepted,
    };
    if accepted.len() < count {
        return Err(anyhow::anyhow!("an id that was just made was there already").into());
    }
    state
        .events
        .tasks(accepted.iter().map(|(task, _)| TaskEvent {
            id: task.id,
            status: TaskStatus::Scheduled,
            assigned_worker_name: None,
        }));
    // Put together here rather than read again: what was committed is not to be answered with a 503.
    let tasks = accepted
        .into_iter()
        .map(|(task, times)| stored(task, times));
    Ok(Stored {
        tasks: tasks.collect(),
        is_replay: false,
    })
}

async fn replay(state: &ApiState, known: Known) -> Result<Stored, ApiError> {
    if !known.is_same {
        let detail = format!(
            "Idempotency-Key: in the last {KEPT_HOURS} hours this key came with other content; to try again, send \
             exactly what was sent then, and for anything else use a key of its own"
        );
        return Err(ApiError::Conflict(detail));
    }
    let there = bounded(tasks::get_many(&state.pool, &known.task_ids)).await?;
    let mut there: HashMap<Uuid, Task> = there.into_iter().map(|task| (task.id, task)).collect();
    let tasks = known.task_ids.iter().map(|id| there.remove(id));
    let tasks = tasks.collect::<Option<_>>().ok_or_else(|| {
        let detail = "Idempotency-Key: what came under this key was stored and has been deleted since; to submit it \
                      once more, use a new key";
        ApiError::Conflict(detail.to_owned())
    })?;
    Ok(Stored {
        tasks,
        is_replay: true,
    })
}

fn stored(task: NewTask, times: Accepted) -> Task {
    Task {
        id: task.id,
        command: task.command,
        argv: task.argv,
        executor: task.executor.as_str().to_owned(),
        status: TaskStatus::Scheduled,
        priority: task.priority,
        created_at: times.created_at,
        scheduled_at: times.scheduled_at,
        picked_at: None,
        started_at: None,
        finished_at: None,
        completed_at: None,
        failed_at: None,
        cancelled_at: None,
        cancel_requested_at: None,
        assigned_worker: None,
        assigned_worker_name: None,
        attempt: 0,
        max_attempts: task.max_attempts,
        timeout_seconds: task.timeout_seconds,
        exit_code: None,
        signal: None,
        error_message: None,
        env: task.env.map(|env| serde_json::json!(env)),
        stdin: task.stdin.is_some(),
        lease: 0,
        outcome: None,
    }
}
