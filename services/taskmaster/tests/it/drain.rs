//! A drain that the API was asked for: heard by message or by heartbeat, and by nobody it was not meant for.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskmaster_testkit::lapin::BasicProperties;
use taskmaster_testkit::lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use taskmaster_testkit::{Process, Stack, eventually, sqlx};

use crate::{TASKMASTER, amqp};

/// A heartbeat that does not come again while a test runs: what is heard is heard by message.
const ONE_HEARTBEAT: [&str; 4] = [
    "--heartbeat-interval",
    "1800",
    "--heartbeat-timeout",
    "3600",
];

/// Asks for a drain, which is granted.
async fn drain(stack: &Stack, name: &str) -> Result<()> {
    let path = format!("/api/v1/workers/{name}/drain");
    let (status, worker) = stack.api().post(&path, &Value::Null).await?;
    ensure!(status == 202, "{status}: {worker}");
    ensure!(worker["status"] == "draining", "{worker}");
    Ok(())
}

async fn status(stack: &Stack, name: &str) -> Result<Value> {
    let workers = stack.workers().await?;
    let worker = workers.iter().find(|worker| worker["name"] == name);
    Ok(worker.context("no such worker")?["status"].clone())
}

/// Waits for the end of a worker that drains, which is a success.
async fn ends(stack: &Stack, worker: &mut Process, name: &str) -> Result<()> {
    let status = worker.wait().await?;
    ensure!(status.success(), "{status}: {}", worker.log());
    ensure!(self::status(stack, name).await? == "offline");
    Ok(())
}

/// A command that ends when the file `go` is there.
fn until(stack: &Stack, go: &str) -> String {
    let go = stack.folder().join(go);
    format!("until test -e {}; do sleep 0.05; done", go.display())
}

#[tokio::test]
async fn what_waits_runs_elsewhere_at_once_and_what_runs_ends_here() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let api = stack.api();
        let mut drained = stack.worker("drained", &["--slots", "1"]).await?;
        let running = api.submit(&json!({"command": until(stack, "go")})).await?;
        api.wait(&running, "running").await?;
        // It has no slot for this one, and so waits there.
        let waiting = api.submit(&json!({"command": "true", "delay_seconds": 3600})).await?;
        sqlx::query(
            "update tasks set status = 'assigned', picked_at = now(), lease = lease + 1, scheduled_at = now(),
                 assigned_worker = (select id from workers)
             where id = $1::uuid",
        )
        .bind(&waiting)
        .execute(stack.pool())
        .await?;
        let _other = stack.worker("other", &[]).await?;
        drain(stack, "drained").await?;

        let task = api.wait(&waiting, "completed").await?;
        assert_eq!((&task["assigned_worker_name"], &task["attempt"]), (&json!("other"), &json!(1)));
        assert_eq!(api.attempts(&waiting).await?.len(), 1);
        // What comes now goes to others, although there is a slot less.
        let next = api.submit(&json!({"command": "true"})).await?;
        assert_eq!(api.wait(&next, "completed").await?["assigned_worker_name"], "other");
        assert_eq!(status(stack, "drained").await?, "draining");
        assert_eq!(api.task(&running).await?["status"], "running");

        drain(stack, "drained").await?;
        std::fs::write(stack.folder().join("go"), "")?;
        ends(stack, &mut drained, "drained").await?;
        let task = api.task(&running).await?;
        assert_eq!(
            (&task["status"], &task["assigned_worker_name"], &task["attempt"]),
            (&json!("completed"), &json!("drained"), &json!(1))
        );
        let (status, problem) = api.post("/api/v1/workers/drained/drain", &Value::Null).await?;
        assert_eq!(status, 409, "{problem}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_heartbeat_brings_it_while_rabbitmq_is_away() -> Result<()> {
    Stack::run_private(TASKMASTER, async |stack| {
        let mut worker = stack.worker("worker-1", &[]).await?;
        let running = stack
            .api()
            .submit(&json!({"command": until(stack, "go")}))
            .await?;
        stack.api().wait(&running, "running").await?;
        let rabbitmq = &stack.servers.as_ref().expect("private servers").rabbitmq;
        rabbitmq.stop().await;
        drain(stack, "worker-1").await?;
        eventually("the worker has heard of it", async || {
            let log = worker.log();
            Ok(if log.contains("asked to drain") {
                Ok(())
            } else {
                Err(log)
            })
        })
        .await?;
        std::fs::write(stack.folder().join("go"), "")?;
        ends(stack, &mut worker, "worker-1").await?;
        let task = stack.api().task(&running).await?;
        assert_eq!(
            (&task["status"], &task["attempt"]),
            (&json!("completed"), &json!(1))
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_message_makes_it_immediate() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let mut worker = stack.worker("worker-1", &ONE_HEARTBEAT).await?;
        amqp::connect_to(stack, "worker.worker-1").await?;
        drain(stack, "worker-1").await?;
        ends(stack, &mut worker, "worker-1").await
    })
    .await
}

#[tokio::test]
async fn a_message_that_was_meant_for_an_earlier_incarnation_drains_nobody() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let mut older = stack.worker("worker-1", &[]).await?;
        drain(stack, "worker-1").await?;
        ends(stack, &mut older, "worker-1").await?;
        let _newer = stack.worker("worker-1", &[]).await?;
        let (_connection, channel) = amqp::connect_to(stack, "worker.worker-1").await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        channel
            .basic_publish(
                "".into(),
                format!("{}.worker.worker-1", stack.prefix()).into(),
                BasicPublishOptions::default(),
                b"\"drain\"",
                BasicProperties::default(),
            )
            .await?
            .await?;
        // Its messages come in the order in which they were sent, and it is the only one who could run this.
        let id = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&id, "completed").await?;
        assert_eq!(status(stack, "worker-1").await?, "idle");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn on_the_command_line_several_drain_and_are_waited_for() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let client = async |arguments: &[&str]| {
            let arguments = [&["workers", "drain"], arguments].concat();
            let output = stack.command(&arguments).output().await?;
            let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            anyhow::Ok((
                output.status.code(),
                told(&output.stdout),
                told(&output.stderr),
            ))
        };
        let mut first = stack.worker("first", &[]).await?;
        let mut second = stack.worker("second", &[]).await?;
        let mut busy = stack.worker("busy", &[]).await?;
        // Who is not there keeps nobody else from it.
        let (code, out, err) = client(&["first", "nobody", "second", "--wait"]).await?;
        assert_eq!(code, Some(1), "{out}{err}");
        assert!(
            err.contains("nobody") && err.lines().count() == 1,
            "{out}{err}"
        );
        assert!(out.contains("first is draining") && out.contains("second is draining"));
        // It has waited: both have said goodbye.
        for (worker, name) in [(&mut first, "first"), (&mut second, "second")] {
            assert_eq!(status(stack, name).await?, "offline");
            ends(stack, worker, name).await?;
        }

        let id = stack
            .api()
            .submit(&json!({"command": until(stack, "go")}))
            .await?;
        stack.api().wait(&id, "running").await?;
        let (code, out, err) = client(&["busy", "--wait", "--timeout", "1s"]).await?;
        assert_eq!(
            (code, out.as_str()),
            (Some(1), "busy is draining: 1 task to finish\n")
        );
        assert!(err.contains("still draining: busy"), "{err}");
        let (code, out, err) = client(&["busy", "--json"]).await?;
        assert_eq!((code, err.as_str()), (Some(0), ""));
        let worker: Value = serde_json::from_str(&out)?;
        assert_eq!(worker["status"], "draining");
        std::fs::write(stack.folder().join("go"), "")?;
        ends(stack, &mut busy, "busy").await?;

        for (arguments, told) in [
            (vec![], "NAME"),
            (vec!["; rm -rf /"], "1 to 63 letters"),
            (vec!["busy"], "offline"),
            (vec!["busy", "--timeout", "3s"], "--wait"),
        ] {
            let (code, out, err) = client(&arguments).await?;
            assert_ne!(code, Some(0), "{arguments:?}");
            assert!(out.is_empty() && err.contains(told), "{arguments:?}: {err}");
        }
        Ok(())
    })
    .await
}
