//! Sending many tasks, in as few requests as the API takes them.

use std::ops::Range;

use anyhow::anyhow;
use serde::Deserialize;
use taskmaster_core::MAX_BATCH;
use uuid::Uuid;

use super::file::Tasks;
use crate::client::{Client, Error, Json};
use crate::output::{Terminal, bar};

/// The most bytes of tasks in one request; half of what the API takes.
const MAX_BYTES: usize = 8 << 20;

#[derive(Deserialize)]
struct Answer {
    tasks: Vec<Json>,
}

#[derive(Deserialize)]
struct Submitted {
    id: Uuid,
}

/// Submits all of them in order, and returns their ids. With `json`, prints each as it was taken in.
///
/// A request that fails is not sent again: whether it was taken in is not known.
///
/// # Errors
/// Names the tasks that were refused, and how many had been taken in before.
pub(super) async fn submit(
    client: &Client,
    tasks: &Tasks,
    json: bool,
    terminal: &mut Terminal,
) -> anyhow::Result<Vec<Uuid>> {
    let bar = bar(tasks.len(), "submitting");
    let mut ids: Vec<Uuid> = Vec::with_capacity(tasks.len());
    for batch in split(tasks.len(), |index| tasks.json(index).len()) {
        let texts: Vec<&str> = batch.clone().map(|index| tasks.json(index)).collect();
        let sent = client
            .post_text("/api/v1/tasks", format!("[{}]", texts.join(",")))
            .await;
        let answer: Answer = match sent.and_then(|answer| client.read(&answer)) {
            Ok(answer) => answer,
            Err(error) => {
                bar.finish_and_clear();
                return Err(explain(&error, tasks, &batch, ids.len()));
            }
        };
        for task in answer.tasks {
            if json {
                terminal.json(&task)?;
            }
            let Submitted { id } = client.read(&task)?;
            ids.push(id);
        }
        bar.set_position(ids.len() as u64);
    }
    bar.finish_and_clear();
    Ok(ids)
}

/// Cuts `0..count` into batches of at most [`MAX_BATCH`] tasks and [`MAX_BYTES`] bytes, but at least one task.
fn split(count: usize, bytes: impl Fn(usize) -> usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut size) = (0, 0);
    for index in 0..count {
        let more = bytes(index) + 1;
        if index > start && (index - start == MAX_BATCH || size + more > MAX_BYTES) {
            batches.push(start..index);
            (start, size) = (index, 0);
        }
        size += more;
    }
    if start < count {
        batches.push(start..count);
    }
    batches
}

fn explain(error: &Error, tasks: &Tasks, batch: &Range<usize>, before: usize) -> anyhow::Error {
    let refused = match error {
        Error::Refused { problem, .. } => problem
            .errors
            .iter()
            .find_map(|error| in_file(&error.field, &error.message, tasks, batch)),
        _ => None,
    };
    let reason = refused.unwrap_or_else(|| error.to_string());
    if before == 0 {
        anyhow!("{reason}")
    } else {
        anyhow!(
            "{reason} ({before} of {} tasks were submitted before)",
            tasks.len()
        )
    }
}

/// `[3].priority` of a batch, as it is in the file.
fn in_file(field: &str, message: &str, tasks: &Tasks, batch: &Range<usize>) -> Option<String> {
    let (index, field) = field.strip_prefix('[')?.split_once(']')?;
    let index = batch.start + index.parse::<usize>().ok()?;
    let place = batch.contains(&index).then(|| tasks.place(index))?;
    match field.trim_start_matches('.') {
        "" => Some(format!("{place}: {message}")),
        field => Some(format!("{place}: {field}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_full_but_not_too_large() {
        assert!(split(0, |_| 1).is_empty());
        assert_eq!(split(2500, |_| 100), [0..1000, 1000..2000, 2000..2500]);
        assert_eq!(split(5, |_| 3 << 20), [0..2, 2..4, 4..5]);
        assert_eq!(
            split(2, |_| 100 << 20),
            [0..1, 1..2],
            "one that is too large is for the API to refuse"
        );
    }
}
