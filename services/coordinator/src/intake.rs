//! The intake: takes submissions from AMQP producers. A message is acknowledged only after its tasks are committed;
//! one that is not valid moves to the rejected queue, unchanged, with its reason.

use std::ops::Range;

use taskmaster_broker::{BrokerConfig, EventPublisher, Submission, SubmissionConsumer, TaskEvent};
use taskmaster_core::{MAX_BATCH, NewTask, SubmitTask, TaskStatus};
use taskmaster_runtime::Backoff;
use taskmaster_store::{PgPool, bounded, submit};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The most messages that are looked at together.
const BATCH: usize = 200;
/// The largest message, as large as the largest body over HTTP.
const MAX_BODY_BYTES: usize = 32 << 20;
/// When this much, or this many tasks, came together, it is committed before more is added.
const COMMIT_BYTES: usize = 8 << 20;
/// See [`COMMIT_BYTES`].
const COMMIT_TASKS: usize = 5000;

/// Takes in submissions until `shutdown`, waiting for RabbitMQ and Postgres as long as they are away.
pub async fn run(
    pool: PgPool,
    config: BrokerConfig,
    events: EventPublisher,
    shutdown: CancellationToken,
) {
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        let intake = Intake {
            pool: &pool,
            events: &events,
            shutdown: &shutdown,
        };
        if let Err(error) = intake.take(&config, &mut backoff).await {
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

struct Intake<'a> {
    pool: &'a PgPool,
    events: &'a EventPublisher,
    shutdown: &'a CancellationToken,
}

impl Intake<'_> {
    /// Takes in until it is time to stop, or the connection ends. What was received and not acknowledged by then
    /// comes again.
    async fn take(&self, config: &BrokerConfig, backoff: &mut Backoff) -> anyhow::Result<()> {
        let connecting = SubmissionConsumer::connect(config);
        let Some(consumer) = self.shutdown.run_until_cancelled(connecting).await else {
            return Ok(());
        };
        let mut consumer = consumer?;
        // Between two batches only: one that was begun is committed and acknowledged, or it would come again, and its
        // tasks with new ids.
        while let Some(batch) = self
            .shutdown
            .run_until_cancelled(consumer.next_batch(BATCH))
            .await
        {
            let batch = Batch::parse(batch?);
            for lot in batch.valid {
                self.accept(&mut consumer, lot).await?;
            }
            for (submission, reason) in batch.invalid {
                tracing::warn!(reason, "rejected a submission");
                consumer.reject(submission, &reason).await?;
            }
            backoff.reset();
        }
        consumer.close().await;
        Ok(())
    }

    /// Commits and acknowledges. If Postgres refuses what is in the tasks, finds out which message is at fault, and
    /// lets the others in.
    async fn accept(&self, consumer: &mut SubmissionConsumer, lot: Lot) -> anyhow::Result<()> {
        match self.commit(consumer, &lot.tasks).await {
            Ok(()) => return Ok(consumer.ack(&lot.submissions).await?),
            Err(error) if is_refused(&error) => {}
            Err(error) => return Err(error),
        }
        for (submission, range) in lot.submissions.into_iter().zip(lot.ranges) {
            match self.commit(consumer, &lot.tasks[range]).await {
                Ok(()) => consumer.ack(&[submission]).await?,
                Err(error) if is_refused(&error) => {
                    tracing::warn!(%error, "rejected a submission");
                    consumer.reject(submission, &error.to_string()).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Stores the tasks, waiting for Postgres as long as the messages are still ours to acknowledge: the same ids each
    /// time, so that a commit whose answer was lost is not made twice.
    async fn commit(
        &self,
        consumer: &mut SubmissionConsumer,
        tasks: &[NewTask],
    ) -> anyhow::Result<()> {
        let mut backoff = Backoff::default();
        loop {
            anyhow::ensure!(
                consumer.is_open(),
                "the channel closed while Postgres was away"
            );
            let submitted = if backoff.is_fresh() {
                bounded(submit::submit(self.pool, tasks)).await
            } else {
                bounded(submit::submit_again(self.pool, tasks)).await
            };
            match submitted {
                Ok(_) => break,
                Err(error) if error.is_unavailable() && !self.shutdown.is_cancelled() => {
                    if backoff.is_fresh() {
                        tracing::warn!(%error, tasks.count = tasks.len(), "submissions wait for Postgres");
                    }
                    backoff.wait().await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.events.tasks(tasks.iter().map(|task| TaskEvent {
            id: task.id,
            status: TaskStatus::Scheduled,
            assigned_worker_name: None,
        }));
        Ok(())
    }
}

/// Messages that arrived together, sorted.
#[derive(Default)]
struct Batch {
    valid: Vec<Lot>,
    invalid: Vec<(Submission, String)>,
}

/// Messages that are committed together.
#[derive(Default)]
struct Lot {
    submissions: Vec<Submission>,
    /// For each of them, where its tasks are.
    ranges: Vec<Range<usize>>,
    tasks: Vec<NewTask>,
    bytes: usize,
}

impl Batch {
    fn parse(submissions: Vec<Submission>) -> Self {
        let mut batch = Self::default();
        for submission in submissions {
            let parsed = match submission.body.len() {
                0..=MAX_BODY_BYTES => parse(&submission.body),
                _ => Err(format!("a message may have {MAX_BODY_BYTES} bytes at most")),
            };
            match parsed {
                Ok(tasks) => batch.add(submission, tasks),
                Err(reason) => batch.invalid.push((submission, reason)),
            }
        }
        batch
    }

    /// Adds a message to what is committed together, or begins a new lot where the last one has grown large.
    fn add(&mut self, submission: Submission, tasks: Vec<NewTask>) {
        let full = |lot: &Lot| lot.bytes >= COMMIT_BYTES || lot.tasks.len() >= COMMIT_TASKS;
        if self.valid.last().is_none_or(full) {
            self.valid.push(Lot::default());
        }
        if let Some(lot) = self.valid.last_mut() {
            lot.bytes += submission.body.len();
            lot.ranges
                .push(lot.tasks.len()..lot.tasks.len() + tasks.len());
            lot.tasks.extend(tasks);
            lot.submissions.push(submission);
        }
    }
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

/// Whether Postgres refused what is in the tasks, so that trying again is of no use.
fn is_refused(error: &anyhow::Error) -> bool {
    error
        .downcast_ref()
        .is_some_and(taskmaster_store::Error::is_bad_data)
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
