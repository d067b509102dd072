//! Tells everyone who listens what changed: quickly, cheaply, and without a promise.
//!
//! Nobody waits for an event and nothing depends on one. Events are dropped when there are more than can be sent
//! or RabbitMQ is away, and then followed by one message with the routing key `resync`: something was missed, ask
//! the API.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{Channel, Connection};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::assign::properties;
use crate::connection::{CONFIRM_TIMEOUT, Frames, answered, close, open};
use crate::event_batches::{EventBatch, EventBatches};
use crate::reconnect::Reconnect;
use crate::topology::{declare_events, short};
use crate::{BrokerConfig, Error, TaskEvent, WorkerEvent};

/// The routing key of the message that says that events were lost.
pub(crate) const RESYNC: &str = "resync";

/// How many calls may wait while a batch is being sent or RabbitMQ is away.
const QUEUED_CALLS: usize = 1024;

/// How many events are put together before they are sent.
const BATCHED_EVENTS: usize = 2000;

/// The last events of a process that stops may take this long.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often a RabbitMQ that takes no messages is tried again when listeners have to be told about a loss.
const RESYNC_RETRY: Duration = Duration::from_secs(1);

enum Queued {
    Tasks(Vec<TaskEvent>),
    Worker(WorkerEvent),
}

/// A handle to publish events with. Cloning it is cheap; no call ever waits.
#[derive(Debug, Clone)]
pub struct EventPublisher {
    queue: mpsc::Sender<Queued>,
    lost: Arc<AtomicU64>,
}

impl EventPublisher {
    /// Starts the task that sends what is queued, over a connection called `name`. It stops when every handle is
    /// gone, or at `shutdown` after sending what is queued by then: cancel that after the last event.
    #[must_use]
    pub fn spawn(
        config: BrokerConfig,
        name: impl Into<String>,
        shutdown: CancellationToken,
    ) -> Self {
        let (queue, queued) = mpsc::channel(QUEUED_CALLS);
        let lost = Arc::new(AtomicU64::new(0));
        let sender = Sender {
            name: name.into(),
            queued,
            pending: VecDeque::new(),
            resync: false,
            lost: lost.clone(),
            lost_before: 0,
            config,
            shutdown,
        };
        tokio::spawn(sender.run());
        Self { queue, lost }
    }

    /// These tasks changed their status. Events of one task keep their order.
    pub fn tasks(&self, events: impl IntoIterator<Item = TaskEvent>) {
        let events: Vec<_> = events.into_iter().collect();
        if !events.is_empty() {
            self.push(Queued::Tasks(events));
        }
    }

    /// A worker changed its status.
    pub fn worker(&self, event: WorkerEvent) {
        self.push(Queued::Worker(event));
    }

    /// How many events were dropped so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until the sending task has stopped.
    pub async fn stopped(&self) {
        self.queue.closed().await;
    }

    fn push(&self, queued: Queued) {
        if let Err(TrySendError::Full(queued) | TrySendError::Closed(queued)) =
            self.queue.try_send(queued)
        {
            let count = match queued {
                Queued::Tasks(events) => events.len(),
                Queued::Worker(_) => 1,
            };
            self.lost.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

/// The task behind the handles.
struct Sender {
    config: BrokerConfig,
    name: String,
    queued: mpsc::Receiver<Queued>,
    /// Taken from the queue and not sent yet.
    pending: VecDeque<EventBatch>,
    /// Something was lost that is not seen from the count: what was on its way when the connection broke.
    resync: bool,
    lost: Arc<AtomicU64>,
    lost_before: u64,
    shutdown: CancellationToken,
}

impl Sender {
    async fn run(mut self) {
        let mut reconnect = Reconnect::new("events", &self.config, &self.shutdown);
        while let Err(error) = self.session(&mut reconnect).await {
            if !reconnect.pause(&error).await {
                return;
            }
        }
    }

    async fn session(&mut self, reconnect: &mut Reconnect) -> Result<(), Error> {
        let (connection, channel) = tokio::select! {
            biased;
            connected = self.connect() => connected?,
            () = self.shutdown.cancelled() => return Ok(()),
        };
        reconnect.connected();
        let end = self.send_all(&connection, &channel).await;
        self.resync = end.is_err();
        close(&connection).await;
        end
    }

    async fn connect(&self) -> Result<(Connection, Channel), Error> {
        let connection = open(&self.config, &self.name, Frames::Small).await?;
        let channel = answered(&self.config, async {
            let channel = connection.create_channel().await?;
            declare_events(&channel, &self.config.names()).await?;
            Ok(channel)
        });
        let channel = channel.await?;
        Ok((connection, channel))
    }

    async fn send_all(&mut self, connection: &Connection, channel: &Channel) -> Result<(), Error> {
        let shutdown = self.shutdown.clone();
        loop {
            self.send_pending(connection, channel).await?;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    self.queued.close();
                    while let Ok(queued) = self.queued.try_recv() {
                        self.batch(queued);
                        if timeout(GOODBYE, self.send_pending(connection, channel)).await.is_err() {
                            break;
                        }
                    }
                    return Ok(());
                }
                queued = self.queued.recv() => match queued {
                    Some(queued) => self.batch(queued),
                    None => return Ok(()),
                },
                // Until the message that says so can be sent.
                () = tokio::time::sleep(RESYNC_RETRY), if self.owes_resync() => {}
            }
        }
    }

    /// Puts everything that is queued into batches.
    fn batch(&mut self, first: Queued) {
        let mut batches = EventBatches::default();
        let mut next = Some(first);
        let mut count = 0;
        while let Some(queued) = next {
            match queued {
                Queued::Tasks(events) => {
                    count += events.len();
                    events.into_iter().for_each(|event| batches.add_task(event));
                }
                Queued::Worker(event) => {
                    count += 1;
                    batches.add_worker(event);
                }
            }
            next = if count < BATCHED_EVENTS {
                self.queued.try_recv().ok()
            } else {
                None
            };
        }
        self.pending.extend(batches.into_batches());
    }

    async fn send_pending(
        &mut self,
        connection: &Connection,
        channel: &Channel,
    ) -> Result<(), Error> {
        while let Some(batch) = self.pending.front() {
            if connection.status().blocked() {
                self.drop_pending();
                return Ok(());
            }
            let (key, body) = (batch.routing_key(), batch.body()?);
            let sending = send(channel, &self.config, &key, &body);
            match timeout(CONFIRM_TIMEOUT, sending).await {
                Ok(sent) => sent?,
                Err(_) if connection.status().blocked() => continue,
                Err(_) => {
                    let address = self.config.redacted();
                    return Err(Error::Timeout {
                        address,
                        after: CONFIRM_TIMEOUT,
                    });
                }
            }
            self.pending.pop_front();
        }
        // Last of all: what is sent after it would be older than the answer it leads to.
        if self.owes_resync() && self.queued.is_empty() && !connection.status().blocked() {
            let lost = self.lost.load(Ordering::Relaxed);
            send(channel, &self.config, RESYNC, b"[]").await?;
            self.resync = false;
            self.lost_before = lost;
        }
        Ok(())
    }

    fn owes_resync(&self) -> bool {
        self.resync || self.lost.load(Ordering::Relaxed) != self.lost_before
    }

    fn drop_pending(&mut self) {
        let count: usize = self.pending.drain(..).map(|batch| batch.len()).sum();
        self.lost.fetch_add(count as u64, Ordering::Relaxed);
    }
}

async fn send(
    channel: &Channel,
    config: &BrokerConfig,
    key: &str,
    body: &[u8],
) -> Result<(), Error> {
    let exchange = short(&config.names().events())?;
    let options = BasicPublishOptions::default();
    channel
        .basic_publish(exchange, short(key)?, options, body, properties())
        .await?;
    Ok(())
}
