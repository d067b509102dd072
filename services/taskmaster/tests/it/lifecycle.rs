//! A task's way through the system: submitted, claimed, carried, run, recorded.

use anyhow::Result;
use serde_json::{Value, json};
use taskmaster_testkit::{Stack, eventually};

use crate::TASKMASTER;

/// A moment of a task's, as text that sorts.
fn moment<'a>(task: &'a Value, name: &str) -> &'a str {
    task[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {task}"))
}

#[tokio::test]
async fn a_command_runs_and_every_step_is_recorded() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let command = "echo to stdout; echo to stderr >&2; echo \"$TASKMASTER_TASK_ID $TASKMASTER_WORKER $NAME\"";
        let id = stack.api().submit(&json!({"command": command, "env": {"NAME": "value"}})).await?;
        let task = stack.api().wait(&id, "completed").await?;
        assert!(moment(&task, "created_at") <= moment(&task, "picked_at"));
        assert!(moment(&task, "picked_at") < moment(&task, "started_at"));
        assert!(moment(&task, "started_at") < moment(&task, "completed_at"));
        assert_eq!(task["assigned_worker_name"], "worker-1");
        assert_eq!((&task["exit_code"], &task["attempt"]), (&json!(0), &json!(1)));
        let output = stack.api().output(&id).await?;
        for line in ["to stdout", "to stderr", &format!("{id} worker-1 value")] {
            assert!(output.lines().any(|printed| printed == line), "{line} is not in {output}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_original_requests_go_through_every_status() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let simulate = [
            "--simulate",
            "--simulate-wait-ms",
            "300",
            "--simulate-run-ms",
            "300",
        ];
        let _worker = stack.worker("worker-1", &simulate).await?;
        let request = json!({
            "command": "process-data --input file.csv", "scheduled_at": "2024-01-23T10:00:00.000Z",
        });
        let (_, answer) = stack.api().post("/api/schedule", &request).await?;
        assert_eq!(
            (&answer["status"], &answer["scheduled_at"]),
            (&json!("scheduled"), &request["scheduled_at"])
        );
        let id = answer["task_id"].as_str().expect("a task_id").to_owned();

        let mut seen = Vec::new();
        let last = eventually("the task is completed", async || {
            let (_, task) = stack
                .api()
                .get(&format!("/api/status?task_id={id}"))
                .await?;
            let status = task["status"].as_str().unwrap_or_default().to_owned();
            if seen.last() != Some(&status) {
                seen.push(status.clone());
            }
            Ok(if status == "completed" {
                Ok(task)
            } else {
                Err(status)
            })
        })
        .await?;
        // The first one may be over before anyone can look.
        assert!(
            seen.ends_with(&[
                "assigned".to_owned(),
                "running".to_owned(),
                "completed".to_owned()
            ]),
            "{seen:?}"
        );
        assert_eq!(
            (&last["task_id"], &last["failed_at"], &last["error_message"]),
            (&json!(id), &Value::Null, &Value::Null)
        );

        let (_, stats) = stack.api().get("/api/stats").await?;
        assert_eq!(
            (&stats["total_tasks"], &stats["completed_tasks"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(stats["workers"][0]["tasksCompleted"], 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn each_way_to_end_is_told_apart() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack
            .worker("worker-1", &["--slots", "8", "--kill-grace", "1"])
            .await?;
        let tasks = [
            json!({"command": "echo oh no >&2; exit 3"}),
            json!({"command": "kill -9 $$"}),
            json!({"command": "sleep 1000", "timeout_seconds": 1}),
            json!({"argv": ["no-such-program-anywhere"]}),
            json!({"command": "cat", "stdin": "what it reads"}),
        ];
        let ids = stack.api().submit_all(&tasks).await?;
        for (id, exit_code, signal, message) in [
            (&ids[0], json!(3), Value::Null, "exit code 3: oh no"),
            (&ids[1], Value::Null, json!(9), "killed by SIGKILL"),
            (&ids[2], Value::Null, json!(15), "time limit of 1 s"),
            (
                &ids[3],
                Value::Null,
                Value::Null,
                "no-such-program-anywhere",
            ),
        ] {
            let task = stack.api().wait(id, "failed").await?;
            assert_eq!(
                (&task["exit_code"], &task["signal"]),
                (&exit_code, &signal),
                "{task}"
            );
            assert!(moment(&task, "error_message").contains(message), "{task}");
        }
        stack.api().wait(&ids[4], "completed").await?;
        assert_eq!(stack.api().output(&ids[4]).await?, "what it reads");
        assert_eq!(
            stack.api().attempts(&ids[2]).await?[0]["outcome"],
            "timed_out"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_failed_attempt_is_tried_again_and_keeps_its_record() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let command = "echo attempt $TASKMASTER_ATTEMPT; test $TASKMASTER_ATTEMPT = 2";
        let id = stack
            .api()
            .submit(&json!({"command": command, "max_attempts": 2}))
            .await?;
        let task = stack.api().wait(&id, "completed").await?;
        assert_eq!(task["attempt"], 2);
        let attempts = stack.api().attempts(&id).await?;
        let outcomes: Vec<_> = attempts
            .iter()
            .map(|attempt| attempt["outcome"].as_str())
            .collect();
        assert_eq!(outcomes, [Some("failed"), Some("completed")]);
        assert_eq!(stack.api().output(&id).await?, "attempt 2\n");
        assert_eq!(
            stack
                .api()
                .text(&format!("/api/v1/tasks/{id}/output?attempt=1"))
                .await?,
            "attempt 1\n"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn cancel_stops_a_task_wherever_it_is() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let api = stack.api();
        let later = api
            .submit(&json!({"command": "true", "delay_seconds": 3600}))
            .await?;
        let waiting = api.submit(&json!({"command": "true"})).await?;
        for id in [&later, &waiting] {
            let (status, task) = api
                .post(&format!("/api/v1/tasks/{id}/cancel"), &Value::Null)
                .await?;
            assert_eq!((status, &task["status"]), (200, &json!("cancelled")));
        }
        // Before there is a worker, to which it might be given before the answer is made.
        let (status, again) = api
            .post(&format!("/api/v1/tasks/{waiting}/retry"), &Value::Null)
            .await?;
        assert_eq!((status, &again["status"]), (200, &json!("scheduled")));
        let _worker = stack.worker("worker-1", &["--slots", "1"]).await?;
        let running = api
            .submit(&json!({"command": "echo up; sleep 1000", "max_attempts": 3}))
            .await?;
        api.wait(&running, "running").await?;
        let (_, asked) = api
            .post(&format!("/api/v1/tasks/{running}/cancel"), &Value::Null)
            .await?;
        assert!(asked["cancel_requested_at"].is_string(), "{asked}");
        let task = api.wait(&running, "cancelled").await?;
        assert_eq!(task["attempt"], 1, "a cancelled task is not tried again");

        let (status, problem) = api
            .post(&format!("/api/v1/tasks/{running}/cancel"), &Value::Null)
            .await?;
        assert_eq!(status, 409, "{problem}");
        api.wait(&waiting, "completed").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_higher_priority_goes_first_and_then_the_older() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let log = stack.folder().join("order");
        let command = |name: &str| format!("echo {name} >> {}", log.display());
        let tasks = [
            json!({"command": command("low"), "priority": -5}),
            json!({"command": command("first")}),
            json!({"command": command("second")}),
            json!({"command": command("high"), "priority": 5}),
            json!({"command": command("not yet"), "priority": 100, "delay_seconds": 3600}),
        ];
        let ids = stack.api().submit_all(&tasks).await?;
        let _worker = stack.worker("worker-1", &["--slots", "1"]).await?;
        for id in &ids[..4] {
            stack.api().wait(id, "completed").await?;
        }
        assert_eq!(std::fs::read_to_string(&log)?, "high\nfirst\nsecond\nlow\n");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn workers_take_turns() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let mut workers = Vec::new();
        for name in ["worker-1", "worker-2", "worker-3"] {
            workers.push(stack.worker(name, &["--slots", "2"]).await?);
        }
        let ids = stack
            .api()
            .submit_all(&vec![json!({"command": "sleep 0.5"}); 6])
            .await?;
        let mut by_worker = std::collections::BTreeMap::new();
        for id in &ids {
            let task = stack.api().wait(id, "completed").await?;
            *by_worker
                .entry(moment(&task, "assigned_worker_name").to_owned())
                .or_insert(0) += 1;
        }
        assert_eq!(by_worker.into_values().collect::<Vec<_>>(), [2, 2, 2]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn endless_output_is_kept_within_its_limit() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack
            .worker("worker-1", &["--output-limit", "100000"])
            .await?;
        let id = stack
            .api()
            .submit(&json!({"command": "seq 1 1000000; printf '\\377\\000binary'"}))
            .await?;
        stack.api().wait(&id, "completed").await?;
        let output = stack.api().output(&id).await?;
        assert!(output.starts_with("1\n2\n3\n"));
        assert!(
            output.ends_with("binary"),
            "{:?}",
            &output[output.len() - 40..]
        );
        assert!(output.contains("bytes of output were cut here"));
        assert!(output.len() < 101_000, "{}", output.len());
        Ok(())
    })
    .await
}
