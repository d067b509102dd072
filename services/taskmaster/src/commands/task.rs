//! `taskmaster task`.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use crate::cli::ClientArgs;
use crate::client::{Attempt, Client, Task};
use crate::output::{Table, Terminal, local, now, one_line, paint, relative, task_status, took};

/// Show one task: its times, its attempts, how it ended
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The task's id
    id: Uuid,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Deserialize)]
struct Attempts {
    attempts: Vec<Attempt>,
}

impl Args {
    /// Prints it.
    ///
    /// # Errors
    /// When there is no such task, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let path = format!("/api/v1/tasks/{}", self.id);
        let answer = client.get(&path, &[]).await?;
        let mut terminal = Terminal::new();
        if self.client.json {
            terminal.json(&answer)?;
            return Ok(ExitCode::SUCCESS);
        }
        let task: Task = client.read(&answer)?;
        for (name, value) in facts(&task, now()) {
            terminal.line(format!("{name:<10}  {value}"))?;
        }
        let Attempts { attempts } = client.get_as(&format!("{path}/attempts"), &[]).await?;
        if attempts.len() > 1 {
            terminal.line("")?;
            print_attempts(&attempts, &mut terminal)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn facts(task: &Task, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let moment = |at: DateTime<Utc>| format!("{} ({})", local(at), relative(at, now));
    let mut facts = vec![
        ("id", task.id.to_string()),
        ("command", one_line(&task.command)),
        ("status", task_status(task.status).to_string()),
    ];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add(
        "executor",
        (task.executor != "process").then(|| task.executor.clone()),
    );
    add(
        "priority",
        (task.priority != 0).then(|| task.priority.to_string()),
    );
    add(
        "attempt",
        Some(format!("{} of {}", task.attempt, task.max_attempts)),
    );
    add(
        "time limit",
        task.timeout_seconds.map(|seconds| format!("{seconds} s")),
    );
    add("worker", task.assigned_worker_name.as_deref().map(one_line));
    add("created", Some(moment(task.created_at)));
    add("due", Some(moment(task.scheduled_at)));
    add("assigned", task.picked_at.map(moment));
    add("started", task.started_at.map(moment));
    add("stop asked", task.cancel_requested_at.map(moment));
    add("finished", task.finished_at.map(moment));
    add(
        "took",
        task.started_at
            .zip(task.finished_at)
            .map(|(start, end)| took(end - start)),
    );
    add("exit code", task.exit_code.map(|code| code.to_string()));
    add("signal", task.signal.map(|signal| signal.to_string()));
    add("error", task.error_message.as_deref().map(one_line));
    facts
}

fn print_attempts(attempts: &[Attempt], terminal: &mut Terminal) -> anyhow::Result<()> {
    let dash = || "-".to_owned();
    let mut table = Table::new(&[
        "ATTEMPT", "OUTCOME", "WORKER", "STARTED", "TOOK", "EXIT", "ERROR",
    ]);
    for attempt in attempts {
        let exit = match (attempt.exit_code, attempt.signal) {
            (Some(code), _) => code.to_string(),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => dash(),
        };
        let times = attempt.started_at.zip(attempt.finished_at);
        table.row([
            attempt.attempt.to_string(),
            paint(&attempt.outcome).to_string(),
            attempt.worker_name.as_deref().map_or_else(dash, one_line),
            attempt.started_at.map_or_else(dash, local),
            times.map_or_else(dash, |(start, end)| took(end - start)),
            exit,
            attempt.error_message.as_deref().map_or_else(dash, one_line),
        ]);
    }
    table.print(terminal)
}
