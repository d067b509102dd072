//! `taskmaster submit`: one task from the command line, or many from a file.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use taskmaster_core::{ExecutorKind, IdempotencyKey, SubmitTask, TaskStatus};
use uuid::Uuid;

use super::Usage;
use super::follow::{Followed, follow};
use crate::cli::{ClientArgs, duration, variable, when};
use crate::client::{Client, Task};
use crate::output::{Terminal, count, now, one_line, relative};

mod batches;
mod file;
mod send;
mod watch;

/// Submit a task, or many from a file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskmaster submit 'gzip -k report.csv' --follow
  taskmaster submit 'backup /srv' --at '2026-01-23 02:00' --attempts 3 --timeout 1h
  taskmaster submit --argv -- ls -l '/a folder'
  taskmaster submit --file tasks.jsonl --follow")]
pub(crate) struct Args {
    /// The command, as one word; workers run it with /bin/sh -c
    #[arg(value_name = "COMMAND", required_unless_present = "file")]
    command: Vec<String>,
    /// COMMAND is a program and its arguments, run without a shell
    #[arg(long, conflicts_with = "file")]
    argv: bool,
    /// Run it at this time: 2026-01-23 10:00 (here) or 2026-01-23T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = when::at, conflicts_with_all = ["delay", "file"])]
    at: Option<String>,
    /// Run it after this long: 30s, 10m, 1h 30m
    #[arg(long = "in", value_name = "TIME", value_parser = duration::seconds, conflicts_with = "file")]
    delay: Option<i64>,
    /// -100 to 100; higher goes first
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        conflicts_with = "file"
    )]
    priority: Option<i64>,
    /// Stop it after this long: 30s, 10m; unlimited unless told
    #[arg(long, value_name = "TIME", value_parser = duration::positive_seconds, conflicts_with = "file")]
    timeout: Option<i64>,
    /// Start it at most this often, when it fails or its worker is lost; once unless told
    #[arg(long, value_name = "N", conflicts_with = "file")]
    attempts: Option<i64>,
    /// Add an environment variable; may be given more than once
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable::parse, conflicts_with = "file")]
    variables: Vec<(String, String)>,
    /// Give it this file as standard input; - for ours
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    stdin_file: Option<PathBuf>,
    /// How it is run: process or simulate
    #[arg(long, value_name = "NAME", value_parser = executor, conflicts_with = "file")]
    executor: Option<ExecutorKind>,
    /// Submit the tasks in this file instead: one JSON object a line, or a JSON array; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
    /// Take this in once, however often the command is repeated with the same KEY (for a day): 1 to 255 visible ASCII
    /// characters. One of its own for each command unless told
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<IdempotencyKey>,
    /// Wait for the end: of one task, print its output and exit with its exit code
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Submits, and follows if told to.
    ///
    /// # Errors
    /// When the submission is refused or cannot be read, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let mut terminal = Terminal::new();
        match &self.file {
            Some(path) => self.submit_file(path, &client, &mut terminal).await,
            None => self.submit_one(&client, &mut terminal).await,
        }
    }

    async fn submit_one(
        self,
        client: &Client,
        terminal: &mut Terminal,
    ) -> anyhow::Result<ExitCode> {
        let (json, follows) = (self.client.json, self.follow);
        let key = self.key()?;
        let body = serde_json::to_string(&self.task()?)?;
        let note = |note| terminal.note(note);
        let sent = send::send(client, &body, &key, key.as_str(), note).await?;
        let answer = sent.answer;
        if sent.was_there {
            terminal.note(format!("was submitted before, with the key {key}"));
        }
        if json {
            terminal.json(&answer)?;
        }
        let task: Task = client.read(&answer)?;
        let due = relative(task.scheduled_at, now());
        if !follows {
            if !json {
                terminal.line(task.id)?;
            }
            if !json && std::io::stderr().is_terminal() {
                terminal.note(format!(
                    "due {due}; see it with: taskmaster logs -f {}",
                    task.id
                ));
            }
            return Ok(ExitCode::SUCCESS);
        }
        if !json {
            terminal.note(format!("task {}, due {due}", task.id));
        }
        match follow(client, task.id, None, json, terminal).await? {
            Followed::Interrupted => Ok(ExitCode::from(130)),
            Followed::Ended(end) => {
                if !json && end.status != TaskStatus::Completed.as_str() {
                    let reason = end
                        .error_message
                        .as_deref()
                        .map(one_line)
                        .unwrap_or_default();
                    let colon = if reason.is_empty() { "" } else { ": " };
                    terminal.note(format!("task {} {}{colon}{reason}", task.id, end.status));
                }
                Ok(ExitCode::from(end.exit_code()))
            }
        }
    }

    async fn submit_file(
        &self,
        path: &Path,
        client: &Client,
        terminal: &mut Terminal,
    ) -> anyhow::Result<ExitCode> {
        let tasks = file::Tasks::load(path)?;
        let json = self.client.json;
        let ids = batches::submit(client, &tasks, &self.key()?, json, terminal).await?;
        if !self.follow {
            if !json {
                terminal.line(format!("{} submitted", count(ids.len(), "task")))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        watch::watch(client, ids, json, terminal).await
    }

    /// The key that was given, or one that nobody else has.
    fn key(&self) -> anyhow::Result<IdempotencyKey> {
        match &self.idempotency_key {
            Some(key) => Ok(key.clone()),
            None => Ok(Uuid::now_v7().to_string().parse()?),
        }
    }

    fn task(self) -> anyhow::Result<SubmitTask> {
        let (command, argv) = match (self.argv, <[String; 1]>::try_from(self.command)) {
            (true, Ok(program)) => (None, Some(program.to_vec())),
            (true, Err(argv)) => (None, Some(argv)),
            (false, Ok([command])) => (Some(command), None),
            (false, Err(words)) => {
                let hint = format!(
                    "the command is one word: quote it, as in '{}', or use --argv",
                    words.join(" ")
                );
                return Err(Usage(hint).into());
            }
        };
        Ok(SubmitTask {
            command,
            argv,
            scheduled_at: self.at,
            delay_seconds: self.delay,
            priority: self.priority,
            timeout_seconds: self.timeout,
            max_attempts: self.attempts,
            env: variable::collect(self.variables),
            stdin: self.stdin_file.as_deref().map(read_text).transpose()?,
            executor: self.executor,
            simulate: None,
        })
    }
}

/// A file, or standard input for `-`, as text.
fn read_text(path: &Path) -> anyhow::Result<String> {
    let name = shown(path);
    let bytes = if is_stdin(path) {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.with_context(|| format!("cannot read {name}"))?;
    String::from_utf8(bytes).with_context(|| format!("{name} is not UTF-8 text"))
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn shown(path: &Path) -> String {
    if is_stdin(path) {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

fn executor(text: &str) -> Result<ExecutorKind, String> {
    [ExecutorKind::Process, ExecutorKind::Simulate]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| "expected process or simulate".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn task(arguments: &[&str]) -> anyhow::Result<SubmitTask> {
        let cli = Cli::try_parse_from([&["submit"], arguments].concat())?;
        cli.args.task()
    }

    #[test]
    fn a_command_is_one_word_unless_it_is_argv() {
        assert_eq!(
            task(&["echo hi"]).unwrap().command.as_deref(),
            Some("echo hi")
        );
        let argv = task(&["--argv", "--priority", "-5", "--", "ls", "-l", "a b"]).unwrap();
        assert_eq!(argv.argv.unwrap(), ["ls", "-l", "a b"]);
        assert_eq!(argv.priority, Some(-5));
        assert_eq!(task(&["--argv", "date"]).unwrap().argv.unwrap(), ["date"]);
        let error = task(&["echo", "hi"]).unwrap_err();
        assert!(
            error.is::<Usage>() && error.to_string().contains("'echo hi'"),
            "{error}"
        );
    }

    #[test]
    fn options_become_fields() {
        let task = task(&[
            "x",
            "--in",
            "10m",
            "--timeout",
            "30s",
            "--attempts",
            "2",
            "--env",
            "A=1",
            "--env",
            "B==",
            "--executor",
            "simulate",
        ])
        .unwrap();
        assert_eq!(
            (task.delay_seconds, task.timeout_seconds, task.max_attempts),
            (Some(600), Some(30), Some(2))
        );
        let env = task.env.unwrap();
        assert_eq!((env["A"].as_str(), env["B"].as_str()), ("1", "="));
        assert_eq!(task.executor, Some(ExecutorKind::Simulate));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for arguments in [
            &[][..],
            &["x", "--at", "2026-01-23T10:00:00Z", "--in", "5"],
            &["x", "--at", "tomorrow"],
            &["x", "--file", "tasks.jsonl"],
            &["--file", "tasks.jsonl", "--priority", "1"],
            &["x", "--env", "A"],
            &["x", "--executor", "docker"],
            &["x", "--timeout", "0"],
            &["x", "--idempotency-key", "a b"],
            &["x", "--idempotency-key", ""],
        ] {
            assert!(task(arguments).is_err(), "{arguments:?}");
        }
    }
}
