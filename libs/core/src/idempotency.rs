//! Submitting again without doubling: the sender's key, and the fingerprint that tells whether what came with it is the
//! same again.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{ExecutorKind, NewTask, SimulateOptions, When};

/// A name that the sender of a submission gives it: HTTP's `Idempotency-Key`, AMQP's `message_id`.
///
/// 1 to 255 visible ASCII characters (0x21 to 0x7E), taken as they are: quotes around it would be a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(String);

/// The text cannot be an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 visible ASCII characters without spaces, such as a UUID")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// The most characters of a key: as many as AMQP's `message_id` can have.
    pub const MAX_LENGTH: usize = 255;

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_valid = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIdempotencyKey)
        }
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The SHA-256 of what was asked for, whatever ids it was given and however it was written down: white space, the order
/// of keys, defaults that are spelled out and the zone of a time make no difference.
///
/// It is stored, and compared with those of other versions of this program: what is hashed for a given task never
/// changes. A field that is new is left out where it has its default.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of these tasks, in this order.
    #[must_use]
    pub fn of(tasks: &[NewTask]) -> Self {
        let mut hash = Sha256::new();
        for task in tasks {
            // A line for each: no two lists of tasks have the same lines. Written into memory, it cannot fail.
            hash.update(serde_json::to_vec(&Content::of(task)).unwrap_or_default());
            hash.update(b"\n");
        }
        Self(hash.finalize().into())
    }

    /// The hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// What is hashed of a task.
#[derive(Serialize)]
struct Content<'a> {
    /// Not of an `argv` task, which has it only to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    argv: Option<&'a [String]>,
    /// In microseconds, as Postgres keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_seconds: Option<i64>,
    priority: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<i32>,
    max_attempts: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdin: Option<&'a str>,
    executor: ExecutorKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulate: Option<SimulateOptions>,
}

impl<'a> Content<'a> {
    fn of(task: &'a NewTask) -> Self {
        // Taken apart by name, so that a field that is added is not forgotten here.
        let NewTask {
            id: _,
            command,
            argv,
            when,
            priority,
            timeout_seconds,
            max_attempts,
            env,
            stdin,
            executor,
            simulate,
        } = task;
        let (at, after_seconds) = match when {
            When::Now => (None, None),
            When::At(at) => (Some(at.timestamp_micros()), None),
            When::AfterSeconds(seconds) => (None, Some(*seconds)),
        };
        Self {
            command: argv.is_none().then_some(command.as_str()),
            argv: argv.as_deref(),
            at,
            after_seconds,
            priority: *priority,
            timeout_seconds: *timeout_seconds,
            max_attempts: *max_attempts,
            env: env.as_ref(),
            stdin: stdin.as_deref(),
            executor: *executor,
            simulate: *simulate,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::SubmitTask;

    #[test]
    fn a_key_is_visible_ascii() {
        for good in [
            "1",
            "8e03978e-40d5-43e8-bc93-6894a57f9324",
            "\"quoted\"",
            "a/b:c~!",
            &"x".repeat(255),
        ] {
            assert_eq!(good.parse::<IdempotencyKey>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            " ",
            "a b",
            "a\t",
            "a\n",
            "ä",
            "a\0",
            "\u{7f}",
            &"x".repeat(256),
        ] {
            assert_eq!(
                bad.parse::<IdempotencyKey>(),
                Err(InvalidIdempotencyKey),
                "{bad:?}"
            );
        }
    }

    fn fingerprint(tasks: &[Value]) -> Fingerprint {
        let checked = tasks.iter().map(|task| {
            let task = SubmitTask::from_json(task.clone()).unwrap();
            task.check(Uuid::now_v7()).unwrap()
        });
        Fingerprint::of(&checked.collect::<Vec<_>>())
    }

    #[test]
    fn how_it_is_written_makes_no_difference() {
        let written: Value = serde_json::from_str(
            r#"{ "max_attempts": 1, "env": {"B": "2", "A": "1"}, "priority": 0, "executor": "process",
                 "scheduled_at": "2026-01-23T11:00:00+01:00", "command": "\u0061" }"#,
        )
        .unwrap();
        let bare = json!({"command": "a", "scheduled_at": "2026-01-23T10:00:00.000Z", "env": {"A": "1", "B": "2"}});
        assert_eq!(fingerprint(&[written]), fingerprint(&[bare]));
        assert_eq!(
            fingerprint(&[json!({"command": "a", "delay_seconds": 0, "env": {}})]),
            fingerprint(&[json!({"command": "a"})])
        );
    }

    #[test]
    fn whatever_else_is_asked_for_makes_one() {
        let a = || json!({"command": "a"});
        let contents = [
            vec![a()],
            vec![a(), a()],
            vec![json!({"command": "b"})],
            vec![json!({"argv": ["a"]})],
            vec![json!({"argv": ["a", "b"]})],
            vec![json!({"argv": ["a b"]})],
            vec![json!({"command": "a", "scheduled_at": "2026-01-23T10:00:00Z"})],
            vec![json!({"command": "a", "scheduled_at": "2026-01-23T10:00:00.000001Z"})],
            vec![json!({"command": "a", "delay_seconds": 1})],
            vec![json!({"command": "a", "priority": 1})],
            vec![json!({"command": "a", "timeout_seconds": 1})],
            vec![json!({"command": "a", "max_attempts": 2})],
            vec![json!({"command": "a", "env": {"A": ""}})],
            vec![json!({"command": "a", "env": {"A": "", "B": ""}})],
            vec![json!({"command": "a", "stdin": ""})],
            vec![json!({"command": "a", "executor": "simulate"})],
            vec![json!({"command": "a", "executor": "simulate", "simulate": {"fail": true}})],
            vec![a(), json!({"command": "b"})],
            vec![json!({"command": "b"}), a()],
        ];
        for (i, one) in contents.iter().enumerate() {
            assert_eq!(fingerprint(one), fingerprint(one), "ids make no difference");
            for other in &contents[..i] {
                assert_ne!(fingerprint(one), fingerprint(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn it_is_the_same_in_every_version() {
        let every_field = json!({
            "command": "cat", "scheduled_at": "2030-01-01T00:00:00.123456Z", "priority": -100, "timeout_seconds": 60,
            "max_attempts": 3, "env": {"A": "1"}, "stdin": "hello", "executor": "simulate",
            "simulate": {"wait_ms": 1, "run_ms": 2, "fail": true},
        });
        // As sha256sum tells it of the lines that are hashed, such as
        // {"command":"date","priority":0,"max_attempts":1,"executor":"process"}
        for (tasks, expected) in [
            (
                vec![json!({"command": "date"})],
                "fa580acf6e7698f1539f71b280380fd498f757a23338a7b93857b28fde34eb6c",
            ),
            (
                vec![every_field, json!({"argv": ["a"], "delay_seconds": 5})],
                "19f3c21908967f00c3b0b5c840e1ef04d5275762fd5172f5102427f8c92dab64",
            ),
        ] {
            assert_eq!(format!("{:?}", fingerprint(&tasks)), expected);
        }
    }
}
