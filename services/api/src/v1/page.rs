//! One page of tasks: its filters and its cursor.

use serde::Serialize;
use taskmaster_core::{TaskStatus, WorkerName};
use taskmaster_store::tasks::Filter;
use taskmaster_store::{PgPool, Task, bounded, tasks};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::error::ApiError;
use crate::query::{Parameters, number};

/// How many tasks a page has unless told.
const DEFAULT_LIMIT: i64 = 100;
/// How many tasks a page has at most.
const MAX_LIMIT: i64 = 1000;
/// The longest text to look for, in bytes.
const MAX_TEXT_BYTES: usize = 1000;

/// The parameters of a list of tasks.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `read` takes")]
pub(crate) struct TaskFilter {
    /// Only these statuses, joined by commas.
    #[param(example = "assigned,running")]
    status: Option<String>,
    /// Only those of the worker with this name.
    worker: Option<String>,
    /// Only those whose command has this in it, in any case of letters.
    q: Option<String>,
    /// How many at most; 100 unless told.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One page of tasks, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskPage {
    /// The tasks. A page for `worker` or `q` looks through 2,500 tasks at most: it may have fewer than `limit`, or none, and
    /// yet a `next_cursor`, from which the next page goes on looking.
    pub(crate) tasks: Vec<Task>,
    /// What to give as `cursor` for the next page; nothing: this is the last one.
    pub(crate) next_cursor: Option<String>,
}

/// Reads the page that `parameters` ask for.
///
/// # Errors
/// [`ApiError::BadInput`], or when Postgres is away.
pub(crate) async fn read(pool: &PgPool, parameters: Parameters) -> Result<TaskPage, ApiError> {
    let filter = filter(parameters)?;
    let page = bounded(tasks::list(pool, &filter)).await?;
    Ok(TaskPage {
        next_cursor: page.next.map(cursor),
        tasks: page.tasks,
    })
}

fn filter(mut parameters: Parameters) -> Result<Filter, ApiError> {
    let filter = Filter {
        statuses: parameters.take("status", statuses).unwrap_or_default(),
        worker: parameters.take("worker", worker),
        text: parameters.take("q", text),
        before: parameters.take("cursor", read_cursor),
        limit: parameters
            .take("limit", number(1, MAX_LIMIT))
            .unwrap_or(DEFAULT_LIMIT),
    };
    parameters.finish()?;
    Ok(filter)
}

fn statuses(text: &str) -> Result<Vec<TaskStatus>, String> {
    let statuses: Result<_, taskmaster_core::UnknownStatus> = text
        .split(',')
        .map(|status| status.trim().parse())
        .collect();
    statuses.map_err(|error| error.to_string())
}

fn worker(text: &str) -> Result<String, String> {
    let name: Result<WorkerName, _> = text.parse();
    name.map(String::from).map_err(|error| error.to_string())
}

fn text(text: &str) -> Result<String, String> {
    if text.len() > MAX_TEXT_BYTES || text.contains('\0') {
        return Err(format!("at most {MAX_TEXT_BYTES} bytes, no NUL byte"));
    }
    Ok(text.to_owned())
}

/// The id of the last thing of a page, in a form that nobody takes for an id.
pub(crate) fn cursor(last: Uuid) -> String {
    format!("{:x}", last.as_u128())
}

/// Reads what [`cursor`] has written.
///
/// # Errors
/// What it must be.
pub(crate) fn read_cursor(text: &str) -> Result<Uuid, String> {
    let fault = || "must be the next_cursor of another page".to_owned();
    let number = u128::from_str_radix(text, 16).map_err(|_| fault())?;
    let id = Uuid::from_u128(number);
    if cursor(id) == text {
        Ok(id)
    } else {
        Err(fault())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let id = Uuid::now_v7();
        assert_eq!(read_cursor(&cursor(id)), Ok(id));
        for bad in ["x", "+1", "01", "FF", &id.to_string(), &"f".repeat(33)] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
