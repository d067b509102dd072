//! No connection to Postgres is to be had: nothing is lost, nothing hangs, and all goes on when there is one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::json;
use taskmaster_store::StoreConfig;
use taskmaster_store::witness::IdleConnections;
use taskmaster_testkit::lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use taskmaster_testkit::lapin::types::FieldTable;
use taskmaster_testkit::lapin::{self, BasicProperties, Channel, Connection, ConnectionProperties};
use taskmaster_testkit::sqlx::postgres::PgConnectOptions;
use taskmaster_testkit::sqlx::{self, ConnectOptions};
use taskmaster_testkit::{Api, Process, Stack, eventually, until_waiting};

use crate::TASKMASTER;

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

/// How many messages wait in the queue of submissions: not those that are at a coordinator.
async fn waiting(channel: &Channel, stack: &Stack) -> lapin::Result<u32> {
    let queue = format!("{}.submissions", stack.prefix());
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let declared = channel
        .queue_declare(queue.into(), options, FieldTable::default())
        .await?;
    Ok(declared.message_count())
}

/// Not by way of the API, which wants to know of the workers as well.
async fn commands(stack: &Stack) -> Result<Vec<String>> {
    let commands = sqlx::query_scalar("select command from all_tasks order by id");
    Ok(commands.fetch_all(stack.pool()).await?)
}

/// The coordinator's connections are all held, by what waits for the table of workers; the intake needs another table.
#[tokio::test]
async fn a_message_waits_for_a_connection_and_is_taken_in_once() -> Result<()> {
    const TWO: [&str; 2] = ["--database-connections", "2"];
    const WAITS: &str = "submissions wait for Postgres";
    Stack::run(TASKMASTER, async |stack| {
        stack.replace_coordinator(&TWO).await?;
        let connection =
            Connection::connect(stack.amqp_url(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        stack.services[2].until_logged("leads").await?;

        let mut holder = stack.pool().begin().await?;
        sqlx::query("lock table workers in access exclusive mode")
            .execute(&mut *holder)
            .await?;
        until_waiting(stack.pool(), 2).await?;
        let queue = format!("{}.submissions", stack.prefix());
        let body = br#"{"command": "echo once", "delay_seconds": 3600}"#;
        let options = BasicPublishOptions::default();
        channel
            .basic_publish(
                "".into(),
                queue.into(),
                options,
                body,
                BasicProperties::default(),
            )
            .await?
            .await?;
        stack.services[2].until_logged(WAITS).await?;
        assert!(commands(stack).await?.is_empty());

        // It is not acknowledged: when this coordinator is gone, it is there again.
        assert_eq!(waiting(&channel, stack).await?, 0);
        stack.services[2].kill().await?;
        eventually("the message is there again", async || {
            let waiting = waiting(&channel, stack).await?;
            Ok(if waiting == 1 {
                Ok(())
            } else {
                Err(waiting.to_string())
            })
        })
        .await?;

        // The next one has the same difficulty, and gets over it without being started again.
        stack.start_coordinator_with(&TWO)?;
        stack.services[3].until_logged(WAITS).await?;
        assert!(commands(stack).await?.is_empty());
        holder.commit().await?;
        eventually("the message is taken in", async || {
            let there = commands(stack).await?;
            Ok(if there.is_empty() {
                Err("nothing".to_owned())
            } else {
                Ok(())
            })
        })
        .await?;
        let _worker = stack.worker("worker-1", &[]).await?;
        let after = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&after, "completed").await?;
        assert!(stack.services[3].is_running()?);
        // Nothing comes again when this one is gone: it was acknowledged.
        stack.services[3].kill().await?;
        stack.start_coordinator()?;
        stack.services[4].until_logged("leads").await?;
        let after = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&after, "completed").await?;
        assert_eq!(waiting(&channel, stack).await?, 0);
        assert_eq!(commands(stack).await?, ["echo once", "true", "true"]);
        Ok(())
    })
    .await
}
