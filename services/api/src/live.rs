//! What changes, as it changes: one subscription to RabbitMQ for the process, shared by every open page.

use std::sync::Arc;

use taskmaster_broker::{BrokerConfig, Feed, TaskEvent, WorkerEvent};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many messages a listener may fall behind before it is told to start over.
const LISTENER_CAPACITY: usize = 256;
/// How many messages RabbitMQ keeps while this process does not read.
const QUEUE_MESSAGES: i32 = 10_000;

/// Something changed.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// These tasks, in this order.
    Tasks(Arc<[TaskEvent]>),
    /// These workers.
    Workers(Arc<[WorkerEvent]>),
    /// Anything: changes may have been missed.
    Unknown,
    /// Nothing is told for now: RabbitMQ is out of reach. `Unknown` follows when it is back.
    Lost,
}

/// Where listeners come from.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    changes: broadcast::Sender<Change>,
    connected: watch::Receiver<bool>,
}

impl Live {
    /// Subscribes in the background, until `shutdown`.
    pub(crate) fn spawn(broker: BrokerConfig, shutdown: CancellationToken) -> Self {
        let (changes, _) = broadcast::channel(LISTENER_CAPACITY);
        let (sender, listeners) = (changes.clone(), changes.clone());
        let (connecting, connected) = watch::channel(false);
        let mut feed = taskmaster_broker::subscribe(
            broker,
            &["task.#", "worker.#"],
            Some(QUEUE_MESSAGES),
            move || listeners.receiver_count() > 0,
            shutdown,
        );
        tokio::spawn(async move {
            while let Some(message) = feed.recv().await {
                let change = match message {
                    Feed::Connected => {
                        connecting.send_replace(true);
                        Change::Unknown
                    }
                    Feed::Lost => {
                        connecting.send_replace(false);
                        Change::Lost
                    }
                    Feed::Tasks(tasks) => Change::Tasks(tasks.into()),
                    Feed::Workers(workers) => Change::Workers(workers.into()),
                };
                // Nobody listens just now: nobody misses it.
                sender.send(change).ok();
            }
        });
        Self { changes, connected }
    }

    /// Whether changes are told just now.
    pub(crate) fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Listens from now on.
    pub(crate) fn listen(&self) -> Listener {
        Listener(self.changes.subscribe())
    }
}

/// One open page, or whoever else wants to know.
pub(crate) struct Listener(broadcast::Receiver<Change>);

impl Listener {
    /// The next change, or `None` when the process stops.
    pub(crate) async fn next(&mut self) -> Option<Change> {
        match self.0.recv().await {
            Ok(change) => Some(change),
            Err(RecvError::Lagged(_)) => Some(Change::Unknown),
            Err(RecvError::Closed) => None,
        }
    }
}
