//! Sending many tasks, in as few requests as the API takes them.

use std::ops::Range;

use anyhow::anyhow;
use serde::Deserialize;
use taskmaster_core::{IdempotencyKey, MAX_BATCH};
use uuid::Uuid;

use super::file::Tasks;
use super::send::{Unsent, send};
use crate::client::{Client, Error, Json};
use crate::commands::Usage;
use crate::output::{Terminal, bar, count};

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
/// Each request has a key of its own that follows from `key` and its place: the same file under the same key is taken in
/// once, also when only a part of it was before.
///
/// # Errors
/// Names the tasks that were refused, and how many had been taken in before.
pub(super) async fn submit(
    client: &Client,
    tasks: &Tasks,
    key: &IdempotencyKey,
    json: bool,
    terminal: &mut Terminal,
) -> anyhow::Result<Vec<Uuid>> {
    let batches = split(tasks.len(), |index| tasks.json(index).len());
    let keys = keys(key, batches.len())?;
    let bar = bar(tasks.len(), "submitting");
    let mut ids: Vec<Uuid> = Vec::with_capacity(tasks.len());
    let mut were_there = 0;
    for (batch, own_key) in batches.into_iter().zip(keys) {
        let texts: Vec<&str> = batch.clone().map(|index| tasks.json(index)).collect();
        let body = format!("[{}]", texts.join(","));
        let note = |note| bar.suspend(|| terminal.note(note));
        let sent = match send(client, &body, &own_key, key.as_str(), note).await {
            Ok(sent) => sent,
            Err(error) => {
                bar.finish_and_clear();
                return Err(explain(&error, tasks, &batch, ids.len()));
            }
        };
        if sent.was_there {
            were_there += batch.len();
        }
        for task in client.read::<Answer>(&sent.answer)?.tasks {
            if json {
                terminal.json(&task)?;
            }
            let Submitted { id } = client.read(&task)?;
            ids.push(id);
        }
        bar.set_position(ids.len() as u64);
    }
    bar.finish_and_clear();
    if were_there > 0 {
        let tasks = count(were_there, "task");
        terminal.note(format!(
            "{tasks} of these had been submitted before, with the key {key}"
        ));
    }
    Ok(ids)
}

/// A key for each of `count` requests.
fn keys(key: &IdempotencyKey, count: usize) -> anyhow::Result<Vec<IdempotencyKey>> {
    let keys = (1..=count).map(|number| {
        format!("{key}/{number}").parse().map_err(|_| {
            let room = IdempotencyKey::MAX_LENGTH - format!("/{count}").len();
            let told =
                format!("--idempotency-key: at most {room} characters for a file of this size");
            Usage(told).into()
        })
    });
    keys.collect()
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

fn explain(error: &Unsent, tasks: &Tasks, batch: &Range<usize>, before: usize) -> anyhow::Error {
    let refused = match error {
        Unsent::Refused(Error::Refused { problem, .. }) => problem
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
    fn each_request_has_a_key_of_its_own() {
        let key = "nightly".parse().unwrap();
        let own: Vec<String> = keys(&key, 2)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(own, ["nightly/1", "nightly/2"]);
        let long = "x".repeat(253).parse().unwrap();
        assert_eq!(keys(&long, 9).unwrap().len(), 9);
        let error = keys(&long, 10).unwrap_err();
        assert!(
            error.is::<Usage>() && error.to_string().contains("at most 252"),
            "{error}"
        );
    }

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
