//! Cancels of tasks whose worker cannot be reached at that moment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use reqwest::Url;
use rustix::process::Signal;
use serde_json::{Value, json};
use taskmaster_chaos::proxy::{Condition, Proxy};
use taskmaster_testkit::sqlx::{self, ConnectOptions};
use taskmaster_testkit::{Stack, eventually};
use tokio::net::lookup_host;

use crate::TASKMASTER;

/// A command of two processes that never end, and a ledger of its starts with the two of each.
struct Endless {
    ledger: PathBuf,
}

impl Endless {
    fn new(stack: &Stack) -> Self {
        let ledger = stack.folder().join("ledger");
        Self { ledger }
    }

    async fn submit(&self, stack: &Stack, max_attempts: u32) -> Result<String> {
        let command = format!("sleep 1000 & echo $$ $! >> {}; wait", self.ledger.display());
        let task = json!({"command": command, "max_attempts": max_attempts});
        let id = stack.api().submit(&task).await?;
        eventually("the command runs", async || {
            Ok(match self.starts() {
                0 => Err("it does not".to_owned()),
                _ => Ok(()),
            })
        })
        .await?;
        Ok(id)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.ledger).unwrap_or_default()
    }

    fn starts(&self) -> usize {
        self.text().lines().count()
    }

    /// Those of its processes that are there.
    fn left(&self) -> Vec<String> {
        let there = |pid: &&str| Path::new("/proc").join(pid).exists();
        let text = self.text();
        text.split_whitespace()
            .filter(there)
            .map(str::to_owned)
            .collect()
    }

    async fn until_gone(&self) -> Result<()> {
        eventually("its processes are gone", async || {
            let left = self.left();
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            })
        })
        .await
    }
}

/// Asks for it; the task as it is then.
async fn cancel(stack: &Stack, id: &str) -> Result<Value> {
    let path = format!("/api/v1/tasks/{id}/cancel");
    let (status, answer) = stack.api().post(&path, &Value::Null).await?;
    ensure!(status == 200, "{status}: {answer}");
    Ok(answer)
}

/// The task has been cancelled, and that is its only end and its only run.
async fn assert_cancelled_once(stack: &Stack, id: &str) -> Result<()> {
    let ends: Vec<(String, String)> =
        sqlx::query_as("select status, outcome from finished_tasks where id = $1::uuid")
            .bind(id)
            .fetch_all(stack.pool())
            .await?;
    let cancelled = || "cancelled".to_owned();
    assert_eq!(ends, [(cancelled(), cancelled())]);
    let live: i64 = sqlx::query_scalar("select count(*) from tasks where id = $1::uuid")
        .bind(id)
        .fetch_one(stack.pool())
        .await?;
    assert_eq!(live, 0);
    let attempts = stack.api().attempts(id).await?;
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(attempts[0]["outcome"], "cancelled");
    Ok(())
}

/// Its worker is back and works, and nothing has become of the task since its end.
async fn assert_stays_cancelled(
    stack: &Stack,
    id: &str,
    ended: &Value,
    endless: &Endless,
) -> Result<()> {
    let after = stack.api().submit(&json!({"command": "true"})).await?;
    stack.api().wait(&after, "completed").await?;
    assert_eq!(&stack.api().task(id).await?, ended);
    assert_eq!(endless.starts(), 1);
    assert_cancelled_once(stack, id).await
}

#[tokio::test]
async fn without_rabbitmq_the_next_heartbeat_brings_it() -> Result<()> {
    Stack::run_private(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let endless = Endless::new(stack);
        let id = endless.submit(stack, 3).await?;
        stack
            .servers
            .as_ref()
            .context("no servers")?
            .rabbitmq
            .stop()
            .await;
        let asked = cancel(stack, &id).await?;
        assert!(asked["cancel_requested_at"].is_string(), "{asked}");
        stack.api().wait(&id, "cancelled").await?;
        // The end is reported after that, so there is nothing to wait for.
        assert_eq!(endless.left(), [""; 0]);
        assert_eq!(endless.starts(), 1);
        assert_cancelled_once(stack, &id).await
    })
    .await
}

#[tokio::test]
async fn a_worker_that_hangs_never_hears_it_and_it_counts_all_the_same() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let timeout = ["--heartbeat-timeout", "2"];
        let hung = stack.worker("hung", &timeout).await?;
        let endless = Endless::new(stack);
        let id = endless.submit(stack, 3).await?;
        hung.signal(Signal::STOP)?;
        let asked = cancel(stack, &id).await?;
        assert_eq!(asked["status"], "running");
        assert!(asked["cancel_requested_at"].is_string(), "{asked}");
        // Somebody is there who could try it again.
        let _other = stack.worker("other", &timeout).await?;
        let ended = stack.api().wait(&id, "cancelled").await?;
        assert_cancelled_once(stack, &id).await?;

        hung.signal(Signal::CONT)?;
        endless.until_gone().await?;
        // By the cancel that waits in its queue, by the heartbeat that it has missed, or by the next one: whichever comes
        // first stops the run, and what it reports is refused.
        eventually("its result is refused", async || {
            let log = hung.log();
            let refused = ["stale result, dropped", "lost its lease"];
            Ok(match refused.iter().any(|words| log.contains(words)) {
                true => Ok(()),
                false => Err(log),
            })
        })
        .await?;
        assert_stays_cancelled(stack, &id, &ended, &endless).await
    })
    .await
}

/// Nothing arrives at it, by Postgres nor by RabbitMQ, and nobody is told.
#[tokio::test]
async fn a_worker_that_is_cut_off_never_hears_it_and_it_counts_all_the_same() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let (to_postgres, database_url) =
            proxied(stack.pool().connect_options().to_url_lossy()).await?;
        let (to_rabbitmq, amqp_url) = proxied(stack.amqp_url().parse()?).await?;
        let links = ["--database-url", &database_url, "--amqp-url", &amqp_url];
        let options = [&["--heartbeat-timeout", "2"], &links[..]].concat();
        let cut = stack.worker("cut", &options).await?;
        let endless = Endless::new(stack);
        let id = endless.submit(stack, 3).await?;
        for link in [&to_postgres, &to_rabbitmq] {
            link.set(Condition::Silent);
        }
        let asked = cancel(stack, &id).await?;
        assert_eq!(asked["status"], "running");
        let ended = stack.api().wait(&id, "cancelled").await?;
        // It knows that it may have lost everything, and had ended the run before that.
        assert_eq!(endless.left(), [""; 0]);
        cut.until_logged("stopped what ran").await?;
        assert_cancelled_once(stack, &id).await?;

        for link in [&to_postgres, &to_rabbitmq] {
            link.set(Condition::Up);
        }
        assert_stays_cancelled(stack, &id, &ended, &endless).await
    })
    .await
}

/// A link to the server at this address, and the address by way of it.
pub(crate) async fn proxied(mut url: Url) -> Result<(Proxy, String)> {
    let host = url.host_str().context("no host")?;
    let port = url.port().context("no port")?;
    let server = lookup_host((host, port)).await?.next();
    let proxy = Proxy::to(server.context("no address")?).await?;
    url.set_host(Some("127.0.0.1"))?;
    let port = Some(proxy.address().port());
    url.set_port(port)
        .map_err(|()| anyhow!("no port in {url}"))?;
    Ok((proxy, url.to_string()))
}

#[tokio::test]
async fn what_has_not_started_is_cancelled_at_once() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        // It is not given up for as long as it hangs here.
        let hung = stack
            .worker("hung", &["--heartbeat-timeout", "3600"])
            .await?;
        hung.signal(Signal::STOP)?;
        let ledger = stack.folder().join("ledger");
        let command = |name: &str| format!("echo {name} >> {}", ledger.display());
        let submit = async |task: Value| stack.api().submit(&task).await;
        let assigned = submit(json!({"command": command("assigned"), "max_attempts": 3})).await?;
        stack.api().wait(&assigned, "assigned").await?;
        let later = json!({"command": command("later"), "delay_seconds": 3600});
        let scheduled = submit(later).await?;
        for id in [&assigned, &scheduled] {
            let task = cancel(stack, id).await?;
            assert_eq!(
                (&task["status"], &task["attempt"]),
                (&json!("cancelled"), &json!(0))
            );
        }
        // The worker finds the assignment in its queue, and before that of what comes now.
        let after = submit(json!({"command": command("after")})).await?;
        hung.signal(Signal::CONT)?;
        stack.api().wait(&after, "completed").await?;
        assert_eq!(fs::read_to_string(&ledger)?, "after\n");
        for id in [&assigned, &scheduled] {
            assert_eq!(stack.api().task(id).await?["status"], "cancelled");
        }
        Ok(())
    })
    .await
}
