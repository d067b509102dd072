//! No connection to Postgres is to be had: nothing is lost, nothing hangs, and all goes on when there is one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::json;
use taskmaster_store::StoreConfig;
use taskmaster_store::witness::IdleConnections;
use taskmaster_testkit::sqlx::postgres::PgConnectOptions;
use taskmaster_testkit::sqlx::{self, ConnectOptions};
use taskmaster_testkit::{Api, Process, Stack, eventually, until_waiting};

use crate::TASKMASTER;
use crate::message_ids::{Producer, commands, until_commands_are};

/// More than Postgres lets in.
const ALL: usize = 1000;
/// Longer than an answer may take that tells of this.
const BOUND: Duration = Duration::from_secs(10);

/// An API whose first connection to Postgres is yet to be made.
async fn start_api(stack: &Stack) -> Result<(Process, Api)> {
    let command = stack.command(&["api", "--listen", "127.0.0.1:0"]);
    let process = Process::spawn(command, &stack.folder().join("second-api.log"))?;
    process.until_logged("address=").await?;
    let log = process.log();
    let address = log.split("address=").nth(1).unwrap_or_default();
    let address = address.split_whitespace().next().context("no address")?;
    let api = Api::new(format!("http://{address}"))?;
    Ok((process, api))
}

/// Asks, and makes sure of a 503 that says when to ask again, before long.
async fn assert_refused(api: &Api, method: Method, path: &str) -> Result<()> {
    let since = Instant::now();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}{path}", api.base());
    let mut request = client.request(method.clone(), url);
    if method == Method::POST {
        request = request.json(&json!({"command": "echo refused"}));
    }
    let answer = request.send().await?;
    let took = since.elapsed();
    assert!(took < BOUND, "{method} {path}: {took:?}");
    assert_eq!(
        answer.status(),
        StatusCode::SERVICE_UNAVAILABLE,
        "{method} {path}"
    );
    let again = answer
        .headers()
        .get("retry-after")
        .map(|value| value.as_bytes());
    assert_eq!(again, Some(b"1".as_slice()), "{method} {path}");
    Ok(())
}

/// Postgres's own limit: SQLSTATE 53300.
#[tokio::test]
async fn postgres_lets_nobody_in_any_more() -> Result<()> {
    Stack::run_private(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let before = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&before, "completed").await?;

        let url = stack.servers.as_ref().context("no servers")?.database_url();
        let config = StoreConfig::new(SecretString::from(url.clone()), 1);
        let idle = IdleConnections::open(&config, ALL).await;
        let refused = url.parse::<PgConnectOptions>()?.connect().await;
        let refused = refused.err().context("there is room")?;
        let code = refused.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("53300"), "{refused}");

        let (_second, api) = start_api(stack).await?;
        tokio::try_join!(
            assert_refused(&api, Method::POST, "/api/v1/tasks"),
            assert_refused(&api, Method::POST, "/api/schedule"),
            assert_refused(&api, Method::GET, "/api/v1/tasks"),
            assert_refused(&api, Method::GET, "/api/stats"),
            assert_refused(&api, Method::GET, "/readyz"),
        )?;
        assert_eq!(api.get("/healthz").await?.0, 200);
        // Who has connections goes on.
        let meanwhile = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&meanwhile, "completed").await?;

        idle.close().await;
        eventually("it is ready", async || {
            let (status, body) = api.get("/readyz").await?;
            Ok(if status == 200 {
                Ok(())
            } else {
                Err(body.to_string())
            })
        })
        .await?;
        let after = api.submit(&json!({"command": "true"})).await?;
        api.wait(&after, "completed").await?;
        let commands: Vec<String> = sqlx::query_scalar("select command from all_tasks")
            .fetch_all(stack.pool())
            .await?;
        assert_eq!(commands, ["true"; 3], "what was refused is not there");
        Ok(())
    })
    .await
}

/// Has every connection of the leading coordinator held, by what waits for the table of workers: the dispatcher and the
/// rescuer, for whom its two are. The intake needs another table, and no connection is left for it.
async fn use_up(stack: &Stack) -> Result<sqlx::Transaction<'static, sqlx::Postgres>> {
    let mut holder = stack.pool().begin().await?;
    sqlx::query("lock table workers in access exclusive mode")
        .execute(&mut *holder)
        .await?;
    until_waiting(stack.pool(), 2).await?;
    Ok(holder)
}

#[tokio::test]
async fn a_message_waits_for_a_connection_and_is_taken_in_once() -> Result<()> {
    const TWO: [&str; 2] = ["--database-connections", "2"];
    const WAITS: &str = "submissions wait for Postgres";
    Stack::run(TASKMASTER, async |stack| {
        stack.replace_coordinator(&TWO).await?;
        let producer = Producer::connect(stack).await?;
        let task = |command| json!({"command": command, "delay_seconds": 3600}).to_string();
        let holder = use_up(stack).await?;
        producer.publish(None, &task("first")).await?;
        stack.services[2].until_logged(WAITS).await?;
        // It is at the coordinator, and not acknowledged: when that is gone, it is there again.
        assert_eq!(producer.waiting().await?, 0);
        assert!(commands(stack).await?.is_empty());
        stack.services[2].kill().await?;
        eventually("the message is there again", async || {
            let waiting = producer.waiting().await?;
            Ok(if waiting == 1 {
                Ok(())
            } else {
                Err(waiting.to_string())
            })
        })
        .await?;
        assert!(commands(stack).await?.is_empty());
        holder.commit().await?;
        stack.start_coordinator_with(&TWO)?;
        until_commands_are(stack, &["first"]).await?;

        // That one has the same difficulty with the next message, and gets over it without being started again.
        let holder = use_up(stack).await?;
        producer.publish(None, &task("second")).await?;
        stack.services[3].until_logged(WAITS).await?;
        assert_eq!(commands(stack).await?, ["first"]);
        holder.commit().await?;
        until_commands_are(stack, &["first", "second"]).await?;
        assert!(stack.services[3].is_running()?);
        let _worker = stack.worker("worker-1", &[]).await?;
        let after = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&after, "completed").await?;

        // Both were acknowledged: nothing comes again when that one is gone, and another has taken in what came after.
        stack.services[3].kill().await?;
        stack.start_coordinator()?;
        producer.publish(None, &task("third")).await?;
        until_commands_are(stack, &["first", "second", "third", "true"]).await?;
        assert_eq!(producer.waiting().await?, 0);
        Ok(())
    })
    .await
}
