//! Postgres and RabbitMQ go away and come back: nothing that was accepted is lost, and no service has to be restarted.

use anyhow::Result;
use serde_json::json;
use taskmaster_embedded::StopMode;
use taskmaster_testkit::{Stack, eventually};

use crate::TASKMASTER;

#[tokio::test]
async fn what_is_submitted_while_rabbitmq_is_away_completes_when_it_is_back() -> Result<()> {
    Stack::run_private(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let rabbitmq = &stack.servers.as_ref().expect("private servers").rabbitmq;
        let mut events = stack.api().events().await?;
        rabbitmq.stop().await;
        events.until("lost").await?;
        let ids = stack
            .api()
            .submit_all(&vec![json!({"command": "echo back"}); 20])
            .await?;
        let (status, readiness) = stack.api().get("/readyz").await?;
        assert_eq!(
            (status, &readiness["postgres"]),
            (503, &json!("ok")),
            "{readiness}"
        );
        assert_eq!(
            stack.api().task(&ids[0]).await?["status"],
            "scheduled",
            "it waits where it can be seen"
        );
        rabbitmq.restart().await?;
        events.until("resync").await?;
        for id in &ids {
            stack.api().wait(id, "completed").await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn while_postgres_is_away_submissions_get_a_clear_answer_and_workers_carry_on_after()
-> Result<()> {
    Stack::run_private(TASKMASTER, async |stack| {
        let _worker = stack
            .worker("worker-1", &["--heartbeat-timeout", "60"])
            .await?;
        let go = stack.folder().join("go");
        let command = format!(
            "until test -e {}; do sleep 0.05; done; echo done",
            go.display()
        );
        let running = stack.api().submit(&json!({"command": command})).await?;
        stack.api().wait(&running, "running").await?;
        let postgres = &stack.servers.as_ref().expect("private servers").postgres;
        postgres.stop(StopMode::Immediate).await;

        let (status, problem) = stack
            .api()
            .post("/api/v1/tasks", &json!({"command": "true"}))
            .await?;
        assert_eq!(status, 503, "{problem}");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("Postgres")),
            "{problem}"
        );
        // It ends while nobody can be told.
        std::fs::write(&go, "")?;
        postgres.restart().await?;

        let task = stack.api().wait(&running, "completed").await?;
        assert_eq!(task["attempt"], 1, "the same run, reported late");
        assert_eq!(stack.api().output(&running).await?, "done\n");
        let id = eventually("the API takes tasks again", async || {
            Ok(stack
                .api()
                .submit(&json!({"command": "true"}))
                .await
                .map_err(|error| error.to_string()))
        })
        .await?;
        stack.api().wait(&id, "completed").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_worker_cut_off_from_postgres_stops_what_it_runs() -> Result<()> {
    Stack::run_private(TASKMASTER, async |stack| {
        let worker = stack
            .worker("worker-1", &["--heartbeat-timeout", "2"])
            .await?;
        let command = "test $TASKMASTER_ATTEMPT = 2 || sleep 1000";
        let id = stack
            .api()
            .submit(&json!({"command": command, "max_attempts": 2}))
            .await?;
        stack.api().wait(&id, "running").await?;
        let postgres = &stack.servers.as_ref().expect("private servers").postgres;
        postgres.stop(StopMode::Fast).await;
        eventually("the worker fences itself", async || {
            let log = worker.log();
            Ok(if log.contains("lost its lease") {
                Ok(())
            } else {
                Err(log)
            })
        })
        .await?;
        postgres.restart().await?;
        let task = stack.api().wait(&id, "completed").await?;
        assert_eq!(task["attempt"], 2);
        assert_eq!(stack.api().attempts(&id).await?[0]["outcome"], "lost");
        Ok(())
    })
    .await
}
