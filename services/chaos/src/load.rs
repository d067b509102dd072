//! Submits at a steady rate, by HTTP and by AMQP, and insists: what was not surely accepted is submitted again with its
//! key, until it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use taskmaster_broker::{BrokerConfig, Delivery, NewSubmission, SubmissionPublisher};
use taskmaster_runtime::Backoff;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::work::{Kind, PROBES, Work, work};

/// How long an answer over HTTP may take before it counts as lost.
const ANSWER: Duration = Duration::from_secs(5);
/// The most messages that are published together.
const BATCH: usize = 100;

/// One submission's fate, as the one who submitted it knows it.
#[derive(Debug, Clone)]
pub(crate) struct Submitted {
    /// When it was first tried.
    pub(crate) at: Instant,
    /// The task's id, if the answer told it.
    pub(crate) id: Option<Uuid>,
    /// Whether it was accepted (HTTP) or confirmed by RabbitMQ (AMQP).
    pub(crate) accepted: bool,
}

/// Numbers that are only counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Submissions that were tried again because their fate was not known, or was a 503.
    pub(crate) tried_again: AtomicU64,
    /// Answers of 503.
    pub(crate) unavailable: AtomicU64,
    /// Answers that repeated an earlier one.
    pub(crate) replayed: AtomicU64,
    /// Messages that were published again because RabbitMQ had lost its queues.
    pub(crate) republished: AtomicU64,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Load {
    seed: u64,
    apis: Arc<Vec<String>>,
    client: reqwest::Client,
    submitted: Arc<Mutex<BTreeMap<u64, Submitted>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    pub(crate) counters: Arc<Counters>,
    messages: mpsc::UnboundedSender<u64>,
    probed: Arc<AtomicU64>,
    tracker: TaskTracker,
}

impl Load {
    /// Prepares to submit to these APIs and this RabbitMQ.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub(crate) fn new(
        seed: u64,
        apis: Vec<String>,
        broker: &BrokerConfig,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let (messages, received) = mpsc::unbounded_channel();
        let load = Self {
            seed,
            apis: Arc::new(apis),
            client: reqwest::Client::builder().timeout(ANSWER).build()?,
            submitted: Arc::default(),
            wrong: Arc::default(),
            counters: Arc::default(),
            messages,
            probed: Arc::default(),
            tracker: TaskTracker::new(),
        };
        tokio::spawn(
            load.clone()
                .publish(SubmissionPublisher::new(broker), received, stop),
        );
        Ok(load)
    }

    /// Submits `rate` tasks a second until `stop`.
    pub(crate) async fn run(&self, rate: u32, stop: CancellationToken) {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut number = 0;
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.submit(number);
            number += 1;
        }
    }

    /// Submits two tasks now, the first by HTTP and the second by AMQP, that go ahead of all others.
    pub(crate) fn probe(&self) -> [u64; 2] {
        let first = PROBES + 2 * self.probed.fetch_add(1, Ordering::Relaxed);
        let probes = [first, first + 1];
        for number in probes {
            self.submit(number);
        }
        probes
    }

    fn submit(&self, number: u64) {
        self.note(number);
        // A task that is to be cancelled has to be known by its id, which only HTTP tells.
        if number.is_multiple_of(2) || work(self.seed, number).kind == Kind::Cancelled {
            let load = self.clone();
            self.tracker.spawn(async move { load.post(number).await });
        } else {
            self.messages.send(number).ok();
        }
    }

    /// Waits until everything that was begun is accepted.
    pub(crate) async fn settled(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        let all_accepted = || self.lock().values().all(|submitted| submitted.accepted);
        while !all_accepted() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Submitted>> {
        self.submitted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, number: u64) {
        let submitted = Submitted {
            at: Instant::now(),
            id: None,
            accepted: false,
        };
        self.lock().insert(number, submitted);
    }

    fn accepted(&self, number: u64, id: Option<Uuid>) {
        if let Some(submitted) = self.lock().get_mut(&number) {
            submitted.accepted = true;
            submitted.id = id;
        }
    }

    fn wrong(&self, what: String) {
        self.wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }

    /// Answers that no client should ever get.
    pub(crate) fn wrong_answers(&self) -> Vec<String> {
        self.wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Everything that was submitted, by its number.
    pub(crate) fn submitted(&self) -> BTreeMap<u64, Submitted> {
        self.lock().clone()
    }

    /// What identifies a submission, however often it is made.
    pub(crate) fn key(&self, number: u64) -> String {
        format!("chaos-{}-{number}", self.seed)
    }

    /// Publishes again what was published and is in Postgres neither as a task nor as an end: RabbitMQ's queues were
    /// deleted, and what was in them was not accepted yet.
    pub(crate) fn publish_again(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.counters.republished.fetch_add(1, Ordering::Relaxed);
            self.messages.send(number).ok();
        }
    }

    async fn post(&self, number: u64) {
        let Work { kind, body, .. } = work(self.seed, number);
        let mut backoff = Backoff::default();
        loop {
            let api = &self.apis[(number as usize + backoff.failures() as usize) % self.apis.len()];
            let asked = self
                .client
                .post(format!("{api}/api/v1/tasks"))
                .header("Idempotency-Key", self.key(number))
                .json(&body)
                .send();
            let answer = async {
                let answer = asked.await?;
                let (status, headers) = (answer.status(), answer.headers().clone());
                reqwest::Result::Ok((status, headers, answer.text().await?))
            };
            match answer.await {
                Ok((status, headers, text)) if status.is_success() => {
                    if headers.contains_key("idempotent-replayed") {
                        self.counters.replayed.fetch_add(1, Ordering::Relaxed);
                    }
                    let id = serde_json::from_str::<Value>(&text)
                        .ok()
                        .and_then(|task| task["id"].as_str()?.parse().ok());
                    self.accepted(number, id);
                    match id {
                        Some(id) if kind == Kind::Cancelled => self.cancel(id).await,
                        Some(_) => {}
                        None => self.wrong(format!("an answer without an id: {text}")),
                    }
                    return;
                }
                Ok((StatusCode::SERVICE_UNAVAILABLE, headers, _)) => {
                    self.counters.unavailable.fetch_add(1, Ordering::Relaxed);
                    if !headers.contains_key("retry-after") {
                        self.wrong("a 503 without Retry-After".to_owned());
                    }
                }
                Ok((status, _, text)) => {
                    self.wrong(format!("submission {number}: {status}: {text}"));
                    return self.accepted(number, None);
                }
                // Whether it was accepted is not known.
                Err(_) => {}
            }
            self.counters.tried_again.fetch_add(1, Ordering::Relaxed);
            backoff.wait().await;
        }
    }

    /// Cancels a task, however often that has to be asked.
    async fn cancel(&self, id: Uuid) {
        let mut backoff = Backoff::default();
        loop {
            let api = &self.apis[backoff.failures() as usize % self.apis.len()];
            let asked = self
                .client
                .post(format!("{api}/api/v1/tasks/{id}/cancel"))
                .send();
            match asked.await.map(|answer| answer.status()) {
                // It has ended already: by our earlier request, or because its worker was lost.
                Ok(status) if status.is_success() || status == StatusCode::CONFLICT => return,
                Ok(StatusCode::SERVICE_UNAVAILABLE) | Err(_) => {}
                Ok(status) => self.wrong(format!("cancel {id}: {status}")),
            }
            backoff.wait().await;
        }
    }

    async fn publish(
        self,
        mut publisher: SubmissionPublisher,
        mut numbers: mpsc::UnboundedReceiver<u64>,
        stop: CancellationToken,
    ) {
        let mut batch: Vec<u64> = Vec::new();
        let mut backoff = Backoff::default();
        loop {
            if batch.is_empty() {
                let received = numbers.recv_many(&mut batch, BATCH);
                match stop.run_until_cancelled(received).await {
                    Some(1..) => {}
                    Some(0) | None => return,
                }
            }
            let messages: Vec<NewSubmission> = batch
                .iter()
                .map(|number| NewSubmission {
                    message_id: Some(self.key(*number)),
                    body: work(self.seed, *number).body.to_string().into_bytes(),
                })
                .collect();
            match publisher.publish(&messages).await {
                Ok(deliveries) => {
                    let mut deliveries = deliveries.into_iter();
                    batch.retain(|number| {
                        let taken = deliveries.next() == Some(Delivery::Confirmed);
                        if taken {
                            self.accepted(*number, None);
                        }
                        !taken
                    });
                }
                Err(error) => tracing::debug!(%error, "not published"),
            }
            if batch.is_empty() {
                backoff.reset();
            } else {
                self.counters
                    .tried_again
                    .fetch_add(batch.len() as u64, Ordering::Relaxed);
                backoff.wait().await;
            }
        }
    }
}
