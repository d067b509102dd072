//! Reading a submission and checking it, field by field.

use chrono::DateTime;
use uuid::Uuid;

use super::{
    ExecutorKind, FieldError, MAX_ATTEMPTS, MAX_COMMAND_BYTES, MAX_DELAY_SECONDS, MAX_ENV_BYTES,
    MAX_PRIORITY, MAX_SIMULATED_MS, MAX_STDIN_BYTES, MAX_TIMEOUT_SECONDS, NewTask, SubmitTask,
    When,
};

impl SubmitTask {
    /// Reads a submission from JSON, naming the field that does not fit.
    ///
    /// # Errors
    /// One [`FieldError`]: a missing brace, an unknown field, a value of the wrong type.
    pub fn from_json(value: serde_json::Value) -> Result<Self, FieldError> {
        if !value.is_object() {
            return Err(FieldError::new(
                "",
                "a task is a JSON object such as {\"command\": \"date\"}",
            ));
        }
        serde_path_to_error::deserialize(value).map_err(|error| {
            let field = match error.path().to_string() {
                path if path == "." => String::new(),
                path => path,
            };
            // serde names Rust's types, which say nothing to whoever sent this.
            let message = error
                .inner()
                .to_string()
                .replace("expected i64", "expected a whole number")
                .replace("expected u32", "expected a whole number from 0 up");
            FieldError::new(field, message)
        })
    }

    /// Checks every field and makes the task that is stored, with the id `id`.
    ///
    /// # Errors
    /// Everything that is wrong, field by field.
    pub fn check(self, id: Uuid) -> Result<NewTask, Vec<FieldError>> {
        let mut errors = Vec::new();
        let command = self.checked_command(&mut errors);
        let when = self.checked_when(&mut errors);
        let priority = in_range(
            &mut errors,
            "priority",
            self.priority,
            -MAX_PRIORITY,
            MAX_PRIORITY,
        );
        let timeout = in_range(
            &mut errors,
            "timeout_seconds",
            self.timeout_seconds,
            1,
            MAX_TIMEOUT_SECONDS,
        );
        let attempts = in_range(
            &mut errors,
            "max_attempts",
            self.max_attempts,
            1,
            MAX_ATTEMPTS,
        );
        self.check_env(&mut errors);
        if let Some(stdin) = &self.stdin {
            if stdin.len() > MAX_STDIN_BYTES {
                errors.push(FieldError::new(
                    "stdin",
                    format!("at most {MAX_STDIN_BYTES} bytes"),
                ));
            }
            no_nul(&mut errors, "stdin", stdin);
        }
        let executor = self.executor.unwrap_or_default();
        if let Some(simulate) = &self.simulate {
            if executor != ExecutorKind::Simulate {
                errors.push(FieldError::new(
                    "simulate",
                    "only with \"executor\": \"simulate\"",
                ));
            }
            if simulate.wait_ms > MAX_SIMULATED_MS || simulate.run_ms > MAX_SIMULATED_MS {
                errors.push(FieldError::new(
                    "simulate",
                    format!("at most {MAX_SIMULATED_MS} ms for each step"),
                ));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(NewTask {
            id,
            command,
            argv: self.argv,
            when,
            priority: priority.unwrap_or(0) as i16,
            timeout_seconds: timeout.map(|seconds| seconds as i32),
            max_attempts: attempts.unwrap_or(1) as i32,
            env: self.env.filter(|env| !env.is_empty()),
            stdin: self.stdin,
            executor,
            simulate: (executor == ExecutorKind::Simulate)
                .then(|| self.simulate.unwrap_or_default()),
        })
    }

    fn checked_command(&self, errors: &mut Vec<FieldError>) -> String {
        match (&self.command, &self.argv) {
            (Some(_), Some(_)) => errors.push(FieldError::new(
                "argv",
                "give either command or argv, not both",
            )),
            (None, None) => errors.push(FieldError::new(
                "command",
                "required: the command to run (or argv, a list)",
            )),
            (Some(command), None) => {
                if command.trim().is_empty() {
                    errors.push(FieldError::new("command", "must not be empty"));
                }
                if command.len() > MAX_COMMAND_BYTES {
                    let message = format!(
                        "at most {MAX_COMMAND_BYTES} bytes; this one has {}",
                        command.len()
                    );
                    errors.push(FieldError::new("command", message));
                }
                no_nul(errors, "command", command);
                return command.clone();
            }
            (None, Some(argv)) => {
                if argv.first().is_none_or(|program| program.is_empty()) {
                    errors.push(FieldError::new(
                        "argv",
                        "must begin with the program to run",
                    ));
                }
                if argv.iter().map(String::len).sum::<usize>() > MAX_COMMAND_BYTES {
                    errors.push(FieldError::new(
                        "argv",
                        format!("at most {MAX_COMMAND_BYTES} bytes together"),
                    ));
                }
                for (i, argument) in argv.iter().enumerate() {
                    no_nul(errors, &format!("argv[{i}]"), argument);
                }
                return shell_words::join(argv);
            }
        }
        String::new()
    }

    fn checked_when(&self, errors: &mut Vec<FieldError>) -> When {
        match (&self.scheduled_at, self.delay_seconds) {
            (Some(_), Some(_)) => {
                errors.push(FieldError::new(
                    "delay_seconds",
                    "give either scheduled_at or delay_seconds, not both",
                ));
                When::Now
            }
            (Some(text), None) => match DateTime::parse_from_rfc3339(text) {
                Ok(at) => When::At(at.to_utc()),
                Err(_) => {
                    let message = "must be a time with a zone, as in RFC 3339: 2026-01-23T10:00:00Z or 2026-01-23T10:00:00+01:00";
                    errors.push(FieldError::new("scheduled_at", message));
                    When::Now
                }
            },
            (None, Some(0)) | (None, None) => When::Now,
            (None, Some(_)) => {
                let delay = in_range(
                    errors,
                    "delay_seconds",
                    self.delay_seconds,
                    0,
                    MAX_DELAY_SECONDS,
                );
                When::AfterSeconds(delay.unwrap_or(0))
            }
        }
    }

    fn check_env(&self, errors: &mut Vec<FieldError>) {
        let Some(env) = &self.env else { return };
        if env
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>()
            > MAX_ENV_BYTES
        {
            errors.push(FieldError::new(
                "env",
                format!("at most {MAX_ENV_BYTES} bytes together"),
            ));
        }
        for (name, value) in env {
            if name.is_empty() || name.contains(['=', '\0']) {
                errors.push(FieldError::new(
                    "env",
                    "a variable's name must not be empty nor have '=' or NUL in it",
                ));
            } else if name.starts_with("TASKMASTER_") {
                errors.push(FieldError::new(
                    format!("env.{name}"),
                    "names that begin with TASKMASTER_ are reserved",
                ));
            }
            no_nul(errors, &format!("env.{name}"), value);
        }
    }
}

fn in_range(
    errors: &mut Vec<FieldError>,
    field: &str,
    value: Option<i64>,
    low: i64,
    high: i64,
) -> Option<i64> {
    if let Some(value) = value
        && !(low..=high).contains(&value)
    {
        errors.push(FieldError::new(
            field,
            format!("must be {low} to {high}; this is {value}"),
        ));
        return None;
    }
    value
}

fn no_nul(errors: &mut Vec<FieldError>, field: &str, text: &str) {
    if text.contains('\0') {
        errors.push(FieldError::new(field, "must not have a NUL byte in it"));
    }
}
