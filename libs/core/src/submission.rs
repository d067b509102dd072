//! A submission: the shape that people and programs send, over HTTP and AMQP alike, and the checked task it becomes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest command, in bytes; also the limit for all of `argv` together.
pub const MAX_COMMAND_BYTES: usize = 64 * 1024;
/// The most that `env` may hold, names and values together, in bytes.
pub const MAX_ENV_BYTES: usize = 64 * 1024;
/// The most that `stdin` may hold, in bytes.
pub const MAX_STDIN_BYTES: usize = 1024 * 1024;
/// Priorities run from minus this to plus this.
pub const MAX_PRIORITY: i64 = 100;
/// The most attempts a task may have.
pub const MAX_ATTEMPTS: i64 = 100;
/// The longest time limit, in seconds: a year.
pub const MAX_TIMEOUT_SECONDS: i64 = 31_536_000;
/// The most tasks in one submission.
pub const MAX_BATCH: usize = 1000;
/// The furthest a delay may reach, in seconds: ten years.
const MAX_DELAY_SECONDS: i64 = 10 * 31_536_000;
/// The longest time a simulated step may take, in milliseconds: a day.
const MAX_SIMULATED_MS: u32 = 86_400_000;

/// How a task is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExecutorKind {
    /// As a process: `command` by `/bin/sh -c`, `argv` directly.
    #[default]
    Process,
    /// Not at all: waits, runs for a while, ends. For demonstrations and load tests.
    Simulate,
}

impl ExecutorKind {
    /// The name that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Simulate => "simulate",
        }
    }
}

/// What a simulated task does. The defaults are those of the original system: 2 s assigned, 5 s running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SimulateOptions {
    /// Milliseconds between the assignment and the start.
    pub wait_ms: u32,
    /// Milliseconds between the start and the end.
    pub run_ms: u32,
    /// Whether it fails.
    pub fail: bool,
}

impl Default for SimulateOptions {
    fn default() -> Self {
        Self {
            wait_ms: 2000,
            run_ms: 5000,
            fail: false,
        }
    }
}

/// A task as it is submitted. Exactly one of `command` and `argv` is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SubmitTask {
    /// The command, run by `/bin/sh -c`. 1 to 65,536 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// A program and its arguments, run directly, without a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    /// When it is due: RFC 3339 with a zone. Now, if neither this nor `delay_seconds` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub scheduled_at: Option<String>,
    /// How long from now it is due, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<i64>,
    /// Higher goes first; -100 to 100, 0 unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// How long one run may take, in seconds. No limit unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// How often it is started at most; 1 to 100, 1 unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<i64>,
    /// Environment variables to add.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// What the command reads from standard input; nothing unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// How it is run; as a process unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<ExecutorKind>,
    /// For the executor `simulate` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulate: Option<SimulateOptions>,
}

/// What is wrong with one field of a submission, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{field}: {message}")]
pub struct FieldError {
    /// The field, as a path: `command`, `env.PATH`, `[3].priority`.
    pub field: String,
    /// What is wrong with it and what is allowed.
    pub message: String,
}

impl FieldError {
    /// An error of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// When a task is due, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// At this time.
    At(DateTime<Utc>),
    /// This many seconds after it was taken in.
    AfterSeconds(i64),
}

/// A submission that was checked and can be stored as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Its id, version 7.
    pub id: Uuid,
    /// The command; for `argv`, the same quoted as a shell would need it, to be shown.
    pub command: String,
    /// The program and its arguments, if it runs without a shell.
    pub argv: Option<Vec<String>>,
    /// When it is due.
    pub when: When,
    /// Higher goes first.
    pub priority: i16,
    /// The time limit of one run.
    pub timeout_seconds: Option<i32>,
    /// How often it is started at most.
    pub max_attempts: i32,
    /// Environment variables to add.
    pub env: Option<BTreeMap<String, String>>,
    /// What it reads from standard input.
    pub stdin: Option<String>,
    /// How it is run.
    pub executor: ExecutorKind,
    /// For [`ExecutorKind::Simulate`].
    pub simulate: Option<SimulateOptions>,
}

impl NewTask {
    /// How much it carries, in bytes, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let argv = self.argv.iter().flatten().map(String::len);
        let env = self.env.iter().flatten();
        let env = env.map(|(name, value)| name.len() + value.len());
        let stdin = self.stdin.as_ref().map_or(0, String::len);
        self.command.len() + argv.sum::<usize>() + env.sum::<usize>() + stdin
    }
}

mod check;

#[cfg(test)]
mod tests;
