//! What a thousand tasks cost, in counts: statements and round trips, commits, bytes of WAL, messages. Seconds depend on the
//! machine; a change that makes each task cost a statement of its own is seen here on any.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use serde_json::json;
use taskmaster_testkit::lapin::options::{
    BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions,
};
use taskmaster_testkit::lapin::types::FieldTable;
use taskmaster_testkit::lapin::{Connection, ConnectionProperties, Consumer};
use taskmaster_testkit::{PrivateServers, Stack, eventually, open_folder, sqlx};

use crate::TASKMASTER;

const TASKS: i64 = 1000;

/// A consumer of every event of the system.
async fn events(stack: &Stack) -> Result<(Connection, Consumer)> {
    let connection = Connection::connect(stack.amqp_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let queue = channel
        .queue_declare(
            "".into(),
            QueueDeclareOptions::exclusive(),
            FieldTable::default(),
        )
        .await?;
    let exchange = format!("{}.events", stack.prefix());
    channel
        .queue_bind(
            queue.name().clone(),
            exchange.into(),
            "task.#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let consumer = channel
        .basic_consume(
            queue.name().clone(),
            "".into(),
            BasicConsumeOptions {
                no_ack: true,
                ..Default::default()
            },
            FieldTable::default(),
        )
        .await?;
    Ok((connection, consumer))
}

/// Submits them in one call, and waits until each has ended and was told of.
async fn a_thousand(stack: &Stack, events: &mut Consumer) -> Result<u64> {
    let no_op = json!({"command": "no-op", "executor": "simulate", "simulate": {"wait_ms": 0, "run_ms": 0}});
    stack.api().submit_all(&vec![no_op; TASKS as usize]).await?;
    let (mut completed, mut messages) = (0, 0);
    while completed < TASKS as usize {
        let message = events.next().await.context("no more events")??;
        messages += 1;
        let told: serde_json::Value = serde_json::from_slice(&message.data)?;
        let told = told.as_array().context("not a list")?;
        completed += told
            .iter()
            .filter(|event| event["status"] == "completed")
            .count();
    }
    Ok(messages)
}

/// How often each kind of statement that writes a task's life was carried out.
async fn calls(stack: &Stack, kind: &str) -> Result<i64> {
    let calls = sqlx::query_scalar(
        "select coalesce(sum(calls), 0)::bigint from pg_stat_statements where query ~ $1",
    )
    .bind(kind)
    .fetch_one(stack.pool())
    .await?;
    Ok(calls)
}

/// Bytes of WAL, and the number of the next transaction: those that only read have none.
async fn written(stack: &Stack) -> Result<(f64, i64)> {
    let written = sqlx::query_as(
        "select (pg_current_wal_lsn() - '0/0')::float8,
            pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
    );
    Ok(written.fetch_one(stack.pool()).await?)
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "what was counted is shown")]
async fn a_thousand_tasks_cost_no_more_than_this() -> Result<()> {
    let folder = open_folder()?;
    let settings = vec![(
        "shared_preload_libraries".to_owned(),
        "pg_stat_statements".to_owned(),
    )];
    let servers = PrivateServers::start_with(folder.path(), settings, Vec::new()).await?;
    let urls = (servers.database_url(), servers.amqp_url());
    Stack::run_at(TASKMASTER, folder, servers, urls, async |stack| {
        sqlx::raw_sql("create extension pg_stat_statements").execute(stack.pool()).await?;
        let _worker = stack.worker("worker-1", &["--slots", "1000"]).await?;
        let (_connection, mut events) = events(stack).await?;
        // Once without being counted: pages and plans.
        a_thousand(stack, &mut events).await?;
        let before = written(stack).await?;
        sqlx::raw_sql("select pg_stat_statements_reset()").execute(stack.pool()).await?;
        let messages = a_thousand(stack, &mut events).await?;
        let after = written(stack).await?;
        let wal_per_task = (after.0 - before.0) / TASKS as f64;
        let commits = after.1 - before.1;
        let mut counted = Vec::new();
        for (what, kind, most) in [
            ("insert", "insert into tasks ", 1),
            ("claim", "for update skip locked", 20),
            ("start", "set status = .* attempt = t.attempt", 20),
            ("finish", "insert into finished_tasks", 20),
            // Heartbeats and the leader's own look-ups, too: each a round trip, and few for each second.
            ("all", ".", 150),
        ] {
            let calls = calls(stack, kind).await?;
            counted.push(format!("{what} {calls}"));
            anyhow::ensure!((1..=most).contains(&calls), "{what}: {calls} statements, at most {most}");
        }
        // Each claim that gives something publishes one message to this one worker.
        eprintln!("{TASKS} tasks: statements {counted:?}, {commits} commits that wrote, {messages} event messages, {wal_per_task:.0} bytes of WAL each");
        anyhow::ensure!(commits <= 60, "{commits} commits");
        anyhow::ensure!(messages <= 40, "{messages} event messages");
        anyhow::ensure!(wal_per_task < 1900.0, "{wal_per_task} bytes of WAL for each task");
        eventually("all have ended", async || {
            let live: i64 = sqlx::query_scalar("select count(*) from tasks").fetch_one(stack.pool()).await?;
            Ok(if live == 0 { Ok(()) } else { Err(live.to_string()) })
        })
        .await
    })
    .await
}
