//! Tasks that were submitted with one attempt, at a worker that stops and does not wait for them.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use taskmaster_chaos::proxy::Condition;
use taskmaster_testkit::{Stack, eventually};

use crate::TASKMASTER;
use crate::cancel::proxied;

async fn ask(stack: &Stack, id: &str, what: &str) -> Result<Value> {
    let path = format!("/api/v1/tasks/{id}/{what}");
    let (status, answer) = stack.api().post(&path, &Value::Null).await?;
    ensure!(status == 200, "{status}: {answer}");
    Ok(answer)
}

#[tokio::test]
async fn a_retry_by_hand_is_one_start() -> Result<()> {
    const TWICE: &str = "drained 1\ndrained 2\n";
    Stack::run(TASKMASTER, async |stack| {
        let ledger = stack.folder().join("ledger");
        // The first start fails; the second does not end by itself.
        let command = format!(
            "echo $TASKMASTER_WORKER $TASKMASTER_ATTEMPT >> {}; test $TASKMASTER_ATTEMPT = 1 && exit 3; sleep 1000",
            ledger.display()
        );
        let mut drained = stack.worker("drained", &["--drain-grace", "0"]).await?;
        let id = stack.api().submit(&json!({"command": command})).await?;
        stack.api().wait(&id, "failed").await?;
        ask(stack, &id, "retry").await?;
        // A start is committed before the command runs, and this worker waits for no command that has not come to anything.
        eventually("it has started twice", async || {
            let written = fs::read_to_string(&ledger)?;
            Ok(if written == TWICE { Ok(()) } else { Err(written) })
        })
        .await?;
        drained.signal(Signal::TERM)?;
        assert!(drained.wait().await?.success());
        let _other = stack.worker("other", &[]).await?;
        let task = stack.api().wait(&id, "failed").await?;
        assert_eq!(task["attempt"], 2);
        let told = task["error_message"].as_str().unwrap_or_default();
        assert!(told.contains("worker drained stopped"), "{told}");
        let after = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&after, "completed").await?;
        assert_eq!(fs::read_to_string(&ledger)?, TWICE);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_cancel_that_a_worker_has_not_heard_when_it_stops_counts() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let (to_rabbitmq, amqp_url) = proxied(stack.amqp_url().parse()?).await?;
        // It beats once, and then seldom: it hears of a cancel by RabbitMQ or not at all.
        let seldom = [
            "--heartbeat-interval",
            "1000",
            "--heartbeat-timeout",
            "3600",
        ];
        let options = [
            &["--drain-grace", "0", "--amqp-url", &amqp_url],
            &seldom[..],
        ]
        .concat();
        let mut drained = stack.worker("drained", &options).await?;
        let task = |attempts| json!({"command": "sleep 1000", "max_attempts": attempts});
        let ids = stack.api().submit_all(&[task(1), task(2)]).await?;
        for id in &ids {
            stack.api().wait(id, "running").await?;
        }
        to_rabbitmq.set(Condition::Cut);
        for id in &ids {
            let asked = ask(stack, id, "cancel").await?;
            assert!(asked["cancel_requested_at"].is_string(), "{asked}");
        }
        drained.signal(Signal::TERM)?;
        assert!(drained.wait().await?.success());
        for id in &ids {
            let task = stack.api().wait(id, "cancelled").await?;
            assert_eq!(task["attempt"], 1);
            let attempts = stack.api().attempts(id).await?;
            let outcome = attempts.first().context("no attempt")?["outcome"].clone();
            assert_eq!((attempts.len(), outcome), (1, json!("cancelled")));
        }
        Ok(())
    })
    .await
}
