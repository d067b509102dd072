//! How many tasks are taken in: over HTTP and over AMQP. They are due tomorrow, so that nothing else happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use taskmaster_broker::{BrokerConfig, Delivery, NewSubmission, SubmissionPublisher};
use taskmaster_testkit::sqlx;
use tokio::task::JoinSet;

use crate::Scale;
use crate::figures::Report;
use crate::system::System;

/// Messages that are published before their confirms are waited for.
const IN_FLIGHT: usize = 500;

pub(crate) async fn measure(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let task = json!({"command": "no-op", "delay_seconds": 86_400});
    let many = |count| Value::from(vec![task.clone(); count]);
    for (name, connections, body, count) in [
        (
            "submit: HTTP, one at a time, 1 connection",
            1,
            task.clone(),
            1,
        ),
        (
            "submit: HTTP, one at a time, 32 connections",
            32,
            task.clone(),
            1,
        ),
        (
            "submit: HTTP, 1,000 at a time, 2 connections",
            2,
            many(1000),
            1000,
        ),
    ] {
        let mut runs = Vec::new();
        for _ in 0..scale.runs {
            runs.push(http(system, connections, &body, count, scale.submit_seconds).await?);
            forget(system).await?;
        }
        report.add(name, "tasks/s", runs);
    }
    for (name, body, count) in [
        ("submit: AMQP, one in a message", task.clone(), 1),
        ("submit: AMQP, 100 in a message", many(100), 100),
    ] {
        let mut runs = Vec::new();
        for _ in 0..scale.runs {
            runs.push(amqp(system, &body, count, scale.submit_seconds).await?);
            forget(system).await?;
        }
        report.add(name, "tasks/s", runs);
    }
    Ok(())
}

async fn forget(system: &System<'_>) -> Result<()> {
    sqlx::raw_sql("truncate tasks")
        .execute(&system.pool)
        .await?;
    Ok(())
}

async fn http(
    system: &System<'_>,
    connections: usize,
    body: &Value,
    count: u32,
    seconds: u64,
) -> Result<f64> {
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let body: Arc<str> = body.to_string().into();
    let mut clients: JoinSet<Result<u32>> = JoinSet::new();
    for _ in 0..connections {
        let (api, body) = (system.api().clone(), body.clone());
        clients.spawn(async move {
            let mut accepted = 0;
            while Instant::now() < end {
                api.submit_written(&body).await?;
                accepted += count;
            }
            Ok(accepted)
        });
    }
    let mut accepted = 0;
    while let Some(more) = clients.join_next().await {
        accepted += more??;
    }
    let seconds = began.elapsed().as_secs_f64();
    ensure!(
        system.live().await? == i64::from(accepted),
        "not all are there"
    );
    Ok(f64::from(accepted) / seconds)
}

/// From the first publish to the last commit.
async fn amqp(system: &System<'_>, body: &Value, count: u32, seconds: u64) -> Result<f64> {
    let config = BrokerConfig::new(system.stack.amqp_url(), system.stack.prefix())?;
    let mut publisher = SubmissionPublisher::new(&config);
    let message = NewSubmission {
        message_id: None,
        body: serde_json::to_vec(body)?,
    };
    let in_flight = IN_FLIGHT / usize::try_from(count)?.min(IN_FLIGHT);
    let messages = vec![message; in_flight];
    let began = Instant::now();
    let mut published = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        let deliveries = publisher.publish(&messages).await?;
        ensure!(
            deliveries
                .iter()
                .all(|delivery| *delivery == Delivery::Confirmed),
            "not confirmed"
        );
        published += count * u32::try_from(messages.len())?;
    }
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    while system.live().await? < i64::from(published) {
        tick.tick().await;
    }
    Ok(f64::from(published) / began.elapsed().as_secs_f64())
}
