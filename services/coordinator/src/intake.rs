//! The intake: takes submissions from AMQP producers. A message is acknowledged only after its tasks are committed;
//! one that is not valid moves to the rejected queue, unchanged, with its reason.

use taskmaster_broker::{BrokerConfig, EventPublisher, Submission, SubmissionConsumer, TaskEvent};
use taskmaster_core::{MAX_BATCH, NewTask, SubmitTask, TaskStatus};
use taskmaster_runtime::Backoff;
use taskmaster_store::{PgPool, submit};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The most messages that are committed together.
const BATCH: usize = 200;

/// Takes in submissions until `shutdown`, waiting for RabbitMQ and Postgres as long as they are away.
pub async fn run(
    pool: PgPool,
    config: BrokerConfig,
    events: EventPublisher,
    shutdown: CancellationToken,
) {
    let mut backoff = Backoff::default();
    loop {
        let taken = tokio::select! {
            () = shutdown.cancelled() => return,
            taken = take(&pool, &config, &events, &mut backoff) => taken,
        };
        if let Err(error) = taken {
            if backoff.is_fresh() {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the intake from AMQP stopped, will begin again"
                );
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = backoff.wait() => {}
            }
        }
    }
}

/// Takes in until the connection ends. What was received and not acknowledged by then comes again.
async fn take(
    pool: &PgPool,
    config: &BrokerConfig,
    events: &EventPublisher,
    backoff: &mut Backoff,
) -> anyhow::Result<()> {
    let mut consumer = SubmissionConsumer::connect(config).await?;
    loop {
        let batch = consumer.next_batch(BATCH).await?;
        backoff.reset();
        let mut accepted = Vec::with_capacity(batch.len());
        let mut ranges = Vec::new();
        let mut tasks = Vec::new();
        for submission in batch {
            match parse(&submission.body) {
                Ok(parsed) => {
                    ranges.push(tasks.len()..tasks.len() + parsed.len());
                    tasks.extend(parsed);
                    accepted.push(submission);
                }
                Err(reason) => reject(&mut consumer, submission, &reason).await?,
            }
        }
        if accepted.is_empty() {
            continue;
        }
        match commit(pool, &mut consumer, &tasks, events).await {
            Ok(()) => consumer.ack(&accepted).await?,
            Err(error) if is_refused(&error) => {
                // One of them is at fault: find out which, and let the others in.
                for (submission, range) in accepted.into_iter().zip(ranges) {
                    match commit(pool, &mut consumer, &tasks[range], events).await {
                        Ok(()) => consumer.ack(&[submission]).await?,
                        Err(error) if is_refused(&error) => {
                            reject(&mut consumer, submission, &error.to_string()).await?;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
}

async fn reject(
    consumer: &mut SubmissionConsumer,
    submission: Submission,
    reason: &str,
) -> anyhow::Result<()> {
    tracing::warn!(reason, "rejected a submission");
    Ok(consumer.reject(submission, reason).await?)
}

/// Reads a message: one task, or an array of up to 1,000.
fn parse(body: &[u8]) -> Result<Vec<NewTask>, String> {
    let value: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| format!("the message is not JSON: {error}"))?;
    let values = match value {
        serde_json::Value::Array(values) if (1..=MAX_BATCH).contains(&values.len()) => values,
        serde_json::Value::Array(values) => {
            return Err(format!(
                "an array must have 1 to {MAX_BATCH} tasks; this one has {}",
                values.len()
            ));
        }
        value => return parse_one(value).map(|task| vec![task]),
    };
    let numbered = values.into_iter().enumerate();
    numbered
        .map(|(i, value)| parse_one(value).map_err(|error| format!("task {i}: {error}")))
        .collect()
}

fn parse_one(value: serde_json::Value) -> Result<NewTask, String> {
    let task = SubmitTask::from_json(value).map_err(|error| error.to_string())?;
    task.check(Uuid::now_v7()).map_err(|errors| {
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    })
}

/// Stores the tasks, waiting for Postgres as long as the messages are still ours to acknowledge: the same ids each
/// time, so that a commit whose answer was lost is not made twice.
async fn commit(
    pool: &PgPool,
    consumer: &mut SubmissionConsumer,
    tasks: &[NewTask],
    events: &EventPublisher,
) -> anyhow::Result<()> {
    let mut backoff = Backoff::default();
    loop {
        anyhow::ensure!(
            consumer.is_open(),
            "the channel closed while Postgres was away"
        );
        match submit::submit(pool, tasks).await {
            Ok(_) => break,
            Err(error) if error.is_unavailable() => {
                if backoff.is_fresh() {
                    tracing::warn!(%error, tasks.count = tasks.len(), "submissions wait for Postgres");
                }
                backoff.wait().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    events.tasks(tasks.iter().map(|task| TaskEvent {
        id: task.id,
        status: TaskStatus::Scheduled,
        assigned_worker_name: None,
    }));
    Ok(())
}

/// Whether Postgres refused what is in the tasks, so that trying again is of no use.
fn is_refused(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(taskmaster_store::Error::Refused(_))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_an_array() {
        assert_eq!(parse(br#"{"command": "date"}"#).unwrap().len(), 1);
        assert_eq!(
            parse(br#"[{"command": "date"}, {"argv": ["date"]}]"#)
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn each_fault_is_told() {
        let many = serde_json::to_vec(&vec![serde_json::json!({"command": "date"}); 1001]).unwrap();
        for (body, told) in [
            (b"date".as_slice(), "not JSON"),
            (b"\xff", "not JSON"),
            (b"[]", "1 to 1000"),
            (&many, "has 1001"),
            (br#"{"comand": "date"}"#, "comand"),
            (
                br#"[{"command": "date"}, {"command": ""}]"#,
                "task 1: command",
            ),
            (b"3", "JSON object"),
        ] {
            let reason = parse(body).unwrap_err();
            assert!(reason.contains(told), "{reason}");
        }
    }
}
