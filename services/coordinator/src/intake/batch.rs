//! Messages that arrived together: read, checked, and put together into what is committed at once.

use std::ops::Range;

use taskmaster_broker::Submission;
use taskmaster_core::{
    Fingerprint, IdempotencyKey, InvalidIdempotencyKey, MAX_BATCH, NewTask, SubmitTask,
};
use taskmaster_store::keys::Keyed;
use uuid::Uuid;

/// The largest message, as large as the largest body over HTTP.
const MAX_BODY_BYTES: usize = 32 << 20;
/// When this much, or this many tasks, came together, it is committed before more is added.
const COMMIT_BYTES: usize = 8 << 20;
/// See [`COMMIT_BYTES`].
const COMMIT_TASKS: usize = 5000;

/// Messages that arrived together, sorted.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) valid: Vec<Lot>,
    pub(super) invalid: Vec<(Submission, String)>,
}

/// Messages that are committed together.
#[derive(Default)]
pub(super) struct Lot {
    pub(super) messages: Vec<Message>,
    pub(super) tasks: Vec<NewTask>,
    bytes: usize,
}

/// A message that is valid.
pub(super) struct Message {
    pub(super) submission: Submission,
    /// Where its tasks are in its lot.
    pub(super) tasks: Range<usize>,
    /// Its id and the fingerprint of its tasks, if it has an id.
    key: Option<(IdempotencyKey, Fingerprint)>,
}

impl Batch {
    /// Reads each of them.
    pub(super) fn parse(submissions: Vec<Submission>) -> Self {
        let mut batch = Self::default();
        for submission in submissions {
            match read(&submission) {
                Ok((tasks, key)) => batch.add(submission, tasks, key),
                Err(reason) => batch.invalid.push((submission, reason)),
            }
        }
        batch
    }

    /// Adds a message to what is committed together, or begins a new lot where the last one has grown large.
    fn add(&mut self, submission: Submission, tasks: Vec<NewTask>, key: Option<IdempotencyKey>) {
        let full = |lot: &Lot| lot.bytes >= COMMIT_BYTES || lot.tasks.len() >= COMMIT_TASKS;
        if self.valid.last().is_none_or(full) {
            self.valid.push(Lot::default());
        }
        if let Some(lot) = self.valid.last_mut() {
            lot.bytes += submission.body.len();
            lot.messages.push(Message {
                submission,
                tasks: lot.tasks.len()..lot.tasks.len() + tasks.len(),
                key: key.map(|key| (key, Fingerprint::of(&tasks))),
            });
            lot.tasks.extend(tasks);
        }
    }
}

impl Lot {
    /// The messages that have an id.
    pub(super) fn keyed(&self) -> Vec<Keyed> {
        let keyed = self.messages.iter().filter_map(|message| {
            let (key, fingerprint) = message.key.clone()?;
            Some(Keyed {
                key,
                fingerprint,
                tasks: message.tasks.clone(),
            })
        });
        keyed.collect()
    }

    /// A lot for each message.
    pub(super) fn split(self) -> impl Iterator<Item = Self> {
        let Self {
            messages,
            mut tasks,
            ..
        } = self;
        messages.into_iter().map(move |message| {
            let own: Vec<NewTask> = tasks.drain(..message.tasks.len()).collect();
            let message = Message {
                tasks: 0..own.len(),
                ..message
            };
            Self {
                messages: vec![message],
                tasks: own,
                bytes: 0,
            }
        })
    }
}

/// Reads a message: its tasks, and its id if it has one.
fn read(submission: &Submission) -> Result<(Vec<NewTask>, Option<IdempotencyKey>), String> {
    let key = submission.message_id.as_deref().map(str::parse).transpose();
    let key = key.map_err(|error: InvalidIdempotencyKey| format!("message_id: {error}"))?;
    if submission.body.len() > MAX_BODY_BYTES {
        return Err(format!("a message may have {MAX_BODY_BYTES} bytes at most"));
    }
    Ok((parse(&submission.body)?, key))
}

/// Reads a body: one task, or an array of up to 1,000.
fn parse(body: &[u8]) -> Result<Vec<NewTask>, String> {
    let value: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| format!("the message is not JSON: {error}"))?;
    let values = match value {
        serde_json::Value::Array(values) if (1..=MAX_BATCH).contains(&values.len()) => values,
        serde_json::Value::Array(values) => {
            return Err(format!(
                "an array must have 1 to {MAX_BATCH} tasks; this one has {}",
                values.len()
            ));
        }
        value => return parse_one(value).map(|task| vec![task]),
    };
    let numbered = values.into_iter().enumerate();
    numbered
        .map(|(i, value)| parse_one(value).map_err(|error| format!("task {i}: {error}")))
        .collect()
}

fn parse_one(value: serde_json::Value) -> Result<NewTask, String> {
    let task = SubmitTask::from_json(value).map_err(|error| error.to_string())?;
    task.check(Uuid::now_v7()).map_err(|errors| {
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_an_array() {
        assert_eq!(parse(br#"{"command": "date"}"#).unwrap().len(), 1);
        assert_eq!(
            parse(br#"[{"command": "date"}, {"argv": ["date"]}]"#)
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn each_fault_is_told() {
        let many = serde_json::to_vec(&vec![serde_json::json!({"command": "date"}); 1001]).unwrap();
        for (body, told) in [
            (b"date".as_slice(), "not JSON"),
            (b"\xff", "not JSON"),
            (b"[]", "1 to 1000"),
            (&many, "has 1001"),
            (br#"{"comand": "date"}"#, "comand"),
            (
                br#"[{"command": "date"}, {"command": ""}]"#,
                "task 1: command",
            ),
            (b"3", "JSON object"),
        ] {
            let reason = parse(body).unwrap_err();
            assert!(reason.contains(told), "{reason}");
        }
    }
}
