//! Workers that die, hang, stop, or are told of nothing: their tasks reach an end all the same.

use anyhow::Result;
use rustix::process::Signal;
use serde_json::{Value, json};
use taskmaster_testkit::lapin::options::QueueDeleteOptions;
use taskmaster_testkit::lapin::{Connection, ConnectionProperties};
use taskmaster_testkit::{Stack, eventually, sqlx};

use crate::TASKMASTER;

async fn wait_running(stack: &Stack, ids: &[String]) -> Result<()> {
    for id in ids {
        stack.api().wait(id, "running").await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_killed_worker_ran_completes_on_others() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let heartbeat = ["--slots", "4", "--heartbeat-timeout", "2"];
        let mut victim = stack.worker("victim", &heartbeat).await?;
        // Its first attempt never ends by itself.
        let command = "test $TASKMASTER_ATTEMPT = 2 || sleep 1000";
        let ids = stack
            .api()
            .submit_all(&vec![json!({"command": command, "max_attempts": 2}); 4])
            .await?;
        let once = stack
            .api()
            .submit(&json!({"command": "true", "delay_seconds": 3600}))
            .await?;
        wait_running(stack, &ids).await?;
        let _other = stack.worker("other", &heartbeat).await?;
        victim.kill().await?;
        for id in &ids {
            let task = stack.api().wait(id, "completed").await?;
            assert_eq!(
                (&task["assigned_worker_name"], &task["attempt"]),
                (&json!("other"), &json!(2))
            );
            let attempts = stack.api().attempts(id).await?;
            let outcomes: Vec<_> = attempts
                .iter()
                .map(|attempt| attempt["outcome"].as_str())
                .collect();
            assert_eq!(
                outcomes,
                [Some("lost"), Some("completed")],
                "no run without a record"
            );
            assert_eq!(attempts[0]["worker_name"], "victim");
        }
        let offline = stack
            .workers()
            .await?
            .into_iter()
            .find(|worker| worker["name"] == "victim");
        assert_eq!(
            offline.map(|worker| worker["status"].clone()),
            Some(json!("offline"))
        );
        assert_eq!(stack.api().task(&once).await?["status"], "scheduled");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_task_with_one_attempt_is_not_run_twice() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let mut victim = stack
            .worker("victim", &["--heartbeat-timeout", "2"])
            .await?;
        let id = stack
            .api()
            .submit(&json!({"command": "sleep 1000"}))
            .await?;
        stack.api().wait(&id, "running").await?;
        victim.kill().await?;
        let _other = stack.worker("other", &[]).await?;
        let task = stack.api().wait(&id, "failed").await?;
        assert_eq!(task["attempt"], 1);
        assert!(
            task["error_message"]
                .as_str()
                .is_some_and(|message| message.contains("victim was lost")),
            "{task}"
        );
        assert_eq!(stack.api().attempts(&id).await?[0]["outcome"], "lost");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_worker_that_starts_again_gives_back_what_it_ran() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        // So long that only the new incarnation can be the one that rescues.
        let heartbeat = ["--heartbeat-timeout", "3600"];
        let mut worker = stack.worker("worker-1", &heartbeat).await?;
        let command = "test $TASKMASTER_ATTEMPT = 2 || sleep 1000";
        let id = stack
            .api()
            .submit(&json!({"command": command, "max_attempts": 2}))
            .await?;
        stack.api().wait(&id, "running").await?;
        worker.kill().await?;
        let _again = stack.worker("worker-1", &heartbeat).await?;
        stack.api().wait(&id, "completed").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_worker_that_hangs_finds_its_lease_gone() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let hung = stack.worker("hung", &["--heartbeat-timeout", "2"]).await?;
        let ledger = stack.folder().join("ledger");
        let command = format!(
            "echo $TASKMASTER_WORKER >> {}; test $TASKMASTER_WORKER = other || sleep 1000",
            ledger.display()
        );
        let id = stack
            .api()
            .submit(&json!({"command": command, "max_attempts": 2}))
            .await?;
        stack.api().wait(&id, "running").await?;
        hung.signal(Signal::STOP)?;
        let _other = stack.worker("other", &["--heartbeat-timeout", "2"]).await?;
        stack.api().wait(&id, "completed").await?;
        hung.signal(Signal::CONT)?;
        eventually("the worker that came back drops its run", async || {
            let log = hung.log();
            Ok(if log.contains("lost its lease") {
                Ok(())
            } else {
                Err(log)
            })
        })
        .await?;
        assert_eq!(std::fs::read_to_string(&ledger)?, "hung\nother\n");
        let task = stack.api().task(&id).await?;
        assert_eq!(
            (&task["status"], &task["assigned_worker_name"]),
            (&json!("completed"), &json!("other"))
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_drain_hands_back_what_waits_and_finishes_what_runs() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let go = stack.folder().join("go");
        let simulated = json!({"executor": "simulate", "command": "waits", "simulate": {"wait_ms": 3_600_000, "run_ms": 0}});
        let mut drained = stack.worker("drained", &["--slots", "2"]).await?;
        let command = format!("until test -e {}; do sleep 0.05; done; echo done", go.display());
        let running = stack.api().submit(&json!({"command": command})).await?;
        let waiting = stack.api().submit(&simulated).await?;
        stack.api().wait(&running, "running").await?;
        stack.api().wait(&waiting, "assigned").await?;
        drained.signal(Signal::TERM)?;
        stack.api().wait(&waiting, "scheduled").await?;
        std::fs::write(&go, "")?;
        assert!(drained.wait().await?.success());
        let task = stack.api().task(&running).await?;
        assert_eq!((&task["status"], &task["assigned_worker_name"]), (&json!("completed"), &json!("drained")));
        let (_, cancelled) = stack.api().post(&format!("/api/v1/tasks/{waiting}/cancel"), &Value::Null).await?;
        assert_eq!((&cancelled["status"], &cancelled["attempt"]), (&json!("cancelled"), &json!(0)));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_outlives_the_grace_period_is_handed_back_without_its_attempt() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let mut drained = stack.worker("drained", &["--drain-grace", "0"]).await?;
        let command = "test $TASKMASTER_WORKER = other || sleep 1000";
        let submit = async |max_attempts: u32| {
            let task = json!({"command": command, "max_attempts": max_attempts});
            let id = stack.api().submit(&task).await?;
            stack.api().wait(&id, "running").await?;
            anyhow::Ok(id)
        };
        let once = submit(1).await?;
        let again = submit(2).await?;
        drained.signal(Signal::TERM)?;
        assert!(drained.wait().await?.success());
        let _other = stack.worker("other", &[]).await?;
        let task = stack.api().wait(&again, "completed").await?;
        assert_eq!(task["attempt"], 1);
        assert_eq!(stack.api().attempts(&again).await?.len(), 1);
        // What may start once has.
        let task = stack.api().wait(&once, "failed").await?;
        assert_eq!(task["attempt"], 1);
        assert_eq!(stack.api().attempts(&once).await?[0]["outcome"], "lost");
        let told = task["error_message"].as_str().unwrap_or_default();
        assert!(told.contains("worker drained stopped"), "{told}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_assignment_that_was_lost_on_the_way_is_found() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        // As a message that RabbitMQ lost: assigned, and nobody was told.
        let id = stack
            .api()
            .submit(&json!({"command": "true", "delay_seconds": 3600}))
            .await?;
        sqlx::query(
            "update tasks set status = 'assigned', picked_at = now(), lease = lease + 1,
                 assigned_worker = (select id from workers)
             where id = $1::uuid",
        )
        .bind(&id)
        .execute(stack.pool())
        .await?;
        stack.api().wait(&id, "completed").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn queues_that_are_deleted_come_back() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let connection =
            Connection::connect(stack.amqp_url(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        for queue in ["worker.worker-1", "submissions", "rejected"] {
            let name = format!("{}.{queue}", stack.prefix());
            channel
                .queue_delete(name.into(), QueueDeleteOptions::default())
                .await?;
        }
        let ids = stack
            .api()
            .submit_all(&vec![json!({"command": "true"}); 20])
            .await?;
        for id in &ids {
            stack.api().wait(id, "completed").await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_second_worker_of_the_same_name_takes_over() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let mut first = stack.worker("worker-1", &[]).await?;
        let _second = stack.worker("worker-1", &[]).await?;
        assert!(!first.wait().await?.success());
        assert!(
            first.log().contains("give each worker its own --name"),
            "{}",
            first.log()
        );
        let id = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&id, "completed").await?;
        Ok(())
    })
    .await
}
