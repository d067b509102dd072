//! `/api/v1/tasks/{id}/output/stream`: what a command prints, as it prints it, until its end.

use std::time::Duration;

use async_stream::try_stream;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use taskmaster_core::TaskStatus;
use taskmaster_store::attempts::{self, Attempt};
use taskmaster_store::{self as store, Task, bounded, tasks};
use uuid::Uuid;

use super::run_output::{RunOutput, find_attempt, read_attempt};
use super::sse;
use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::live::{Change, Listener};
use crate::query::Parameters;
use crate::task_id::TaskId;

/// How long new output of a task that runs may go unseen.
const POLL_RUNNING: Duration = Duration::from_millis(200);
/// How long the start of a task may go unseen should its event be lost.
const POLL_WAITING: Duration = Duration::from_secs(1);

/// How it ended.
#[derive(Debug, Serialize)]
struct End {
    status: String,
    exit_code: Option<i32>,
    signal: Option<i32>,
    error_message: Option<String>,
}

impl From<Task> for End {
    fn from(task: Task) -> Self {
        Self {
            status: task.status.to_string(),
            exit_code: task.exit_code,
            signal: task.signal,
            error_message: task.error_message,
        }
    }
}

impl From<Attempt> for End {
    fn from(attempt: Attempt) -> Self {
        Self {
            status: attempt.outcome,
            exit_code: attempt.exit_code,
            signal: attempt.signal,
            error_message: attempt.error_message,
        }
    }
}

/// Follows what a command prints as server-sent events, from its start to its end.
///
/// `output` has `{"attempt", "seq", "stream", "text"}`, where `seq` counts from 0 in each attempt and `stream` is
/// `stdout`, `stderr` or `note` (a remark of the worker's, as where output was cut). `end` has
/// `{"status", "exit_code", "signal", "error_message"}` and is the last. Without `attempt` it waits for the start and goes
/// on with the next attempt until the task has ended; with it, it ends with that attempt.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/output/stream", tag = "tasks", operation_id = "output_stream",
    params(
        ("id" = Uuid, Path, description = "The task."),
        ("attempt" = Option<i32>, Query, description = "Only this attempt."),
    ),
    responses((status = 200, body = String, content_type = "text/event-stream")),
)]
pub(crate) async fn follow(
    _caller: Caller,
    State(state): State<ApiState>,
    TaskId(id): TaskId,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let number = read_attempt(parameters)?;
    let listener = state.live.listen();
    let first = find_attempt(&state.pool, id, number).await?;
    let output = first.map(|attempt| RunOutput::of(id, &attempt));
    let shutdown = state.shutdown.clone();
    let events = match (number, output) {
        (Some(_), Some(output)) => follow_attempt(state, listener, id, output).left_stream(),
        (_, output) => follow_task(state, listener, id, output).right_stream(),
    };
    // The stream just ends when Postgres goes away: whoever follows asks again, and is then told so.
    let events = events.take_while(|event| std::future::ready(event.is_ok()));
    let events = events.filter_map(|event| std::future::ready(event.ok()));
    Ok(sse::answer(events.take_until(shutdown.cancelled_owned())))
}

/// Every attempt from `output` on, until the task has ended.
fn follow_task(
    state: ApiState,
    mut listener: Listener,
    id: Uuid,
    mut output: Option<RunOutput>,
) -> impl Stream<Item = store::Result<Event>> {
    try_stream! {
        // The task is looked at before its output: of a run that has ended, the output is then all there.
        while let Some(task) = bounded(tasks::get(&state.pool, id)).await? {
            if let Some(output) = &mut output {
                while let Some(pieces) = output.next(&state.pool).await? {
                    for piece in pieces {
                        yield sse::event("output", &piece);
                    }
                }
            }
            let lease = output.as_ref().map_or(-1, RunOutput::lease);
            if task.lease > lease && task.started_at.is_some() {
                let attempts = bounded(attempts::list(&state.pool, id)).await?.unwrap_or_default();
                if let Some(next) = attempts.iter().find(|attempt| attempt.lease > lease) {
                    for piece in output.iter_mut().flat_map(RunOutput::end) {
                        yield sse::event("output", &piece);
                    }
                    output = Some(RunOutput::of(id, next));
                    continue;
                }
            }
            if task.status.is_final() {
                for piece in output.iter_mut().flat_map(RunOutput::end) {
                    yield sse::event("output", &piece);
                }
                yield sse::event("end", &End::from(task));
                return;
            }
            wait(&mut listener, id, task.status).await;
        }
    }
}

/// One attempt, until it has ended.
fn follow_attempt(
    state: ApiState,
    mut listener: Listener,
    id: Uuid,
    mut output: RunOutput,
) -> impl Stream<Item = store::Result<Event>> {
    try_stream! {
        loop {
            let attempts = bounded(attempts::list(&state.pool, id)).await?.unwrap_or_default();
            while let Some(pieces) = output.next(&state.pool).await? {
                for piece in pieces {
                    yield sse::event("output", &piece);
                }
            }
            let attempt = attempts.into_iter().find(|attempt| attempt.lease == output.lease());
            if attempt.as_ref().is_some_and(|attempt| attempt.outcome == "running") {
                wait(&mut listener, id, TaskStatus::Running).await;
                continue;
            }
            for piece in output.end() {
                yield sse::event("output", &piece);
            }
            // A run that was handed back leaves no record.
            let lost = || End {
                status: "lost".to_owned(),
                exit_code: None,
                signal: None,
                error_message: Some("it was stopped and handed back".to_owned()),
            };
            yield sse::event("end", &attempt.map_or_else(lost, End::from));
            return;
        }
    }
}

/// Waits until there may be something new of the task.
async fn wait(listener: &mut Listener, id: Uuid, status: TaskStatus) {
    let pause = match status {
        TaskStatus::Running => POLL_RUNNING,
        _ => POLL_WAITING,
    };
    let changed = async {
        loop {
            match listener.next().await {
                Some(Change::Tasks(tasks)) if tasks.iter().any(|task| task.id == id) => return,
                Some(Change::Unknown) => return,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    };
    // Either is as good as the other.
    tokio::time::timeout(pause, changed).await.ok();
}
