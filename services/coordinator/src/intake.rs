//! The intake: takes submissions from AMQP producers. A message is acknowledged only after its tasks are committed;
//! one that is not valid moves to the rejected queue, unchanged, with its reason. A message with a `message_id` is taken
//! in once, however often it comes.

use std::collections::HashSet;

use taskmaster_broker::{BrokerConfig, EventPublisher, Submission, SubmissionConsumer, TaskEvent};
use taskmaster_core::TaskStatus;
use taskmaster_runtime::Backoff;
use taskmaster_store::keys::{KEPT_HOURS, Scope};
use taskmaster_store::{Kept, PgPool, bounded, submit};
use tokio_util::sync::CancellationToken;

use batch::{Batch, Lot};

mod batch;

/// The most messages that are looked at together.
const BATCH: usize = 200;

/// Takes in submissions until `shutdown`, waiting for RabbitMQ and Postgres as long as they are away.
pub async fn run(
    pool: PgPool,
    config: BrokerConfig,
    events: EventPublisher,
    shutdown: CancellationToken,
) {
    let connection = Kept::new(pool);
    let mut backoff = Backoff::default();
    let mut said = String::new();
    while !shutdown.is_cancelled() {
        let intake = Intake {
            connection: &connection,
            events: &events,
            shutdown: &shutdown,
        };
        if let Err(error) = intake.take(&config, &mut backoff).await {
            let error = format!("{error:#}");
            // Once, and again when there is another reason.
            if backoff.is_fresh() || error != said {
                tracing::warn!(error, "the intake from AMQP stopped, will begin again");
            }
            said = error;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = backoff.wait() => {}
            }
        }
    }
}

struct Intake<'a> {
    connection: &'a Kept,
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
        if !backoff.is_fresh() {
            tracing::info!("the intake from AMQP goes on");
        }
        // Between two batches only: one that was begun is committed and acknowledged, or it would come again, and the
        // tasks of messages without an id with new ids.
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
                reject(&mut consumer, submission, &reason).await?;
            }
            backoff.reset();
        }
        consumer.close().await;
        Ok(())
    }

    /// Commits and acknowledges. If Postgres refuses what is in the tasks, finds out which message is at fault, and
    /// lets the others in.
    async fn accept(&self, consumer: &mut SubmissionConsumer, lot: Lot) -> anyhow::Result<()> {
        match self.commit(consumer, &lot).await {
            Ok(conflicts) => return settle(consumer, lot, &conflicts).await,
            Err(error) if is_refused(&error) => {}
            Err(error) => return Err(error),
        }
        for lot in lot.split() {
            match self.commit(consumer, &lot).await {
                Ok(conflicts) => settle(consumer, lot, &conflicts).await?,
                Err(error) if is_refused(&error) => {
                    for message in lot.messages {
                        reject(consumer, message.submission, &error.to_string()).await?;
                    }
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
        lot: &Lot,
    ) -> anyhow::Result<Conflicts> {
        let keyed = lot.keyed();
        let batch = submit::Batch {
            tasks: &lot.tasks,
            keyed: &keyed,
            scope: Scope::Amqp,
        };
        let mut backoff = Backoff::default();
        let submitted = loop {
            anyhow::ensure!(
                consumer.is_open(),
                "the channel closed while Postgres was away"
            );
            let submitted = if backoff.is_fresh() {
                bounded(submit::submit_keyed(self.connection, batch)).await
            } else {
                bounded(submit::submit_keyed_again(self.connection, batch)).await
            };
            match submitted {
                Ok(submitted) => break submitted,
                Err(error) if error.is_unavailable() && !self.shutdown.is_cancelled() => {
                    if backoff.is_fresh() {
                        tracing::warn!(%error, tasks.count = lot.tasks.len(), "submissions wait for Postgres");
                    }
                    backoff.wait().await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let mut told = vec![true; lot.tasks.len()];
        let mut conflicts = HashSet::new();
        for known in &submitted.known {
            let place = keyed[known.index].tasks.clone();
            if !known.is_same {
                conflicts.insert(place.start);
            }
            // With our own ids, they are ours: a commit whose answer was lost. Else they were told of when they came first.
            let ids = lot.tasks[place.clone()].iter().map(|task| task.id);
            told[place].fill(ids.eq(known.task_ids.iter().copied()));
        }
        let told = lot.tasks.iter().zip(told).filter(|(_, told)| *told);
        self.events.tasks(told.map(|(task, _)| TaskEvent {
            id: task.id,
            status: TaskStatus::Scheduled,
            assigned_worker_name: None,
        }));
        Ok(conflicts)
    }
}

/// The messages of a lot whose id belongs to other content, each by where its tasks begin.
type Conflicts = HashSet<usize>;

/// Acknowledges what is stored, now or before, and rejects the conflicts.
async fn settle(
    consumer: &mut SubmissionConsumer,
    lot: Lot,
    conflicts: &Conflicts,
) -> anyhow::Result<()> {
    let (conflicting, stored): (Vec<_>, Vec<_>) = lot
        .messages
        .into_iter()
        .partition(|message| conflicts.contains(&message.tasks.start));
    let stored: Vec<Submission> = stored
        .into_iter()
        .map(|message| message.submission)
        .collect();
    consumer.ack(&stored).await?;
    for message in conflicting {
        let reason = format!(
            "message_id: in the last {KEPT_HOURS} hours a message with this id and other content was taken in; \
             give each message an id of its own, and the same one only to send the same again"
        );
        reject(consumer, message.submission, &reason).await?;
    }
    Ok(())
}

async fn reject(
    consumer: &mut SubmissionConsumer,
    submission: Submission,
    reason: &str,
) -> anyhow::Result<()> {
    tracing::warn!(reason, "rejected a submission");
    Ok(consumer.reject(submission, reason).await?)
}

/// Whether Postgres refused what is in the tasks, so that trying again is of no use.
fn is_refused(error: &anyhow::Error) -> bool {
    error
        .downcast_ref()
        .is_some_and(taskmaster_store::Error::is_bad_data)
}
