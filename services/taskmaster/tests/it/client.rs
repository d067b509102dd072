//! The command line client, as people and scripts use it.

use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskmaster_testkit::Stack;
use tokio::io::AsyncWriteExt;

use crate::TASKMASTER;

/// Runs the client against the stack to its end.
async fn client(stack: &Stack, arguments: &[&str]) -> Result<Output> {
    Ok(stack.command(arguments).output().await?)
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn follow_prints_what_the_command_prints_and_exits_as_it_exits() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let ok = client(stack, &["submit", "echo out; echo err >&2", "--follow"]).await?;
        assert_eq!((ok.status.code(), out(&ok)), (Some(0), "out\n".to_owned()));
        assert!(err(&ok).lines().any(|line| line == "err"), "{}", err(&ok));
        for (command, code) in [("exit 7", 7), ("kill -9 $$", 128 + 9)] {
            let failed = client(stack, &["submit", command, "--follow"]).await?;
            assert_eq!(
                failed.status.code(),
                Some(code),
                "{command}: {}",
                err(&failed)
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_task_is_submitted_listed_shown_cancelled_and_retried() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let submitted = client(
            stack,
            &[
                "submit",
                "echo $NAME",
                "--in",
                "10m",
                "--priority",
                "7",
                "--timeout",
                "90s",
                "--attempts",
                "3",
                "--env",
                "NAME=value",
                "--json",
            ],
        )
        .await?;
        let task: Value =
            serde_json::from_slice(&submitted.stdout).with_context(|| err(&submitted))?;
        assert_eq!(
            (
                &task["priority"],
                &task["timeout_seconds"],
                &task["max_attempts"],
                &task["env"]["NAME"]
            ),
            (&json!(7), &json!(90), &json!(3), &json!("value"))
        );
        let id = task["id"].as_str().context("no id")?;
        assert!(out(&client(stack, &["tasks", "--status", "scheduled"]).await?).contains(id));
        assert!(out(&client(stack, &["task", id]).await?).contains("echo $NAME"));
        assert!(client(stack, &["cancel", id]).await?.status.success());
        let twice = client(stack, &["cancel", id]).await?;
        assert_eq!(twice.status.code(), Some(1));
        assert!(err(&twice).contains("cancelled"), "{}", err(&twice));

        let _worker = stack.worker("worker-1", &[]).await?;
        assert!(client(stack, &["retry", id]).await?.status.success());
        let followed = client(stack, &["logs", id, "-f"]).await?;
        assert_eq!(out(&followed), "value\n", "{}", err(&followed));
        let workers: Value =
            serde_json::from_slice(&client(stack, &["workers", "--json"]).await?.stdout)?;
        assert!(workers.to_string().contains("worker-1"), "{workers}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_file_of_a_thousand_real_commands_completes_each_with_its_output() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _workers = (stack.worker("worker-1", &[]).await?, stack.worker("worker-2", &[]).await?);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tasks.jsonl");
        let file = file.to_str().context("a path that is text")?;
        let all = client(stack, &["submit", "--file", file, "--follow"]).await?;
        assert!(all.status.success(), "{}", err(&all));
        assert!(out(&all).contains("1000 of 1000 completed"), "{}", out(&all));
        let (without_output,): (i64,) = taskmaster_testkit::sqlx::query_as(
            "select count(*) from finished_tasks t where not exists (select from output o where o.task_id = t.id)",
        )
        .fetch_one(stack.pool())
        .await?;
        assert_eq!(without_output, 0);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_file_may_come_from_standard_input_and_its_faults_are_named_by_line() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        for (text, code, told) in [
            (
                "{\"command\": \"true\"}\n\n{\"command\": \"true\"}\n",
                0,
                "2 of 2 completed",
            ),
            ("{\"command\": \"true\"}\n{\"command\": \"true\"\n", 1, "2"),
            (
                "{\"command\": \"true\"}\n{\"command\": \"true\", \"priority\": 900}\n",
                1,
                "priority",
            ),
        ] {
            let mut command = stack.command(&["submit", "--file", "-", "--follow"]);
            command.stdin(std::process::Stdio::piped());
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            let mut child = command.spawn()?;
            child
                .stdin
                .take()
                .context("no stdin")?
                .write_all(text.as_bytes())
                .await?;
            let output = child.wait_with_output().await?;
            let said = format!("{}{}", out(&output), err(&output));
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.contains(told), "{said}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_wrong_is_told_in_one_line() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let unknown = uuid_like();
        for (arguments, told) in [
            (vec!["submit", "true", "--at", "tomorrow"], "tomorrow"),
            (vec!["submit", "true", "--priority", "1000"], "-100 to 100"),
            (vec!["submit", ""], "command"),
            (vec!["task", &unknown], &unknown),
            (vec!["kill", "; rm -rf /"], "worker"),
            (vec!["scale", "51"], "50"),
            (vec!["scale", "2"], "taskmaster up"),
            (
                vec!["--api", "http://127.0.0.1:1", "stats"],
                "taskmaster up",
            ),
        ] {
            // The address is each command's own option.
            let arguments = if arguments[0] == "--api" {
                vec!["stats", "--api", arguments[1]]
            } else {
                arguments
            };
            let output = client(stack, &arguments).await?;
            assert!(!output.status.success(), "{arguments:?}");
            assert!(
                err(&output).contains(told),
                "{arguments:?}: {}",
                err(&output)
            );
            assert!(out(&output).is_empty(), "{arguments:?}: {}", out(&output));
        }
        Ok(())
    })
    .await
}

fn uuid_like() -> String {
    "01a20787-6308-7133-a6a3-000000000000".to_owned()
}
