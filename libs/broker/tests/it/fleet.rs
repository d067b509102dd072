//! A fleet of a test's own: names nobody else has, and a plain connection to look at them from outside.

use std::future::Future;
use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use taskmaster_broker::{BrokerConfig, Names};
use uuid::Uuid;

/// The URL of the RabbitMQ to test against.
pub(crate) fn url() -> String {
    std::env::var("TASKMASTER_TEST_AMQP_URL").expect(
        "TASKMASTER_TEST_AMQP_URL is not set: run `cargo xtask test`, which starts a RabbitMQ, \
         or set it to the amqp:// URL of one",
    )
}

/// Longer than anything here should take, so that a test fails instead of hanging.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("waited 20 s for {what}"))
}

pub(crate) struct Fleet {
    pub(crate) config: BrokerConfig,
    pub(crate) names: Names,
    pub(crate) channel: Channel,
    _connection: Connection,
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        let prefix = format!("test-{}", Uuid::now_v7().simple());
        let config = BrokerConfig::new(url(), &prefix).unwrap();
        let connection = Connection::connect(&url(), ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        Self {
            names: config.names(),
            config,
            channel,
            _connection: connection,
        }
    }

    /// How many messages wait in a queue.
    pub(crate) async fn waiting(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions::default().passive();
        let queue = self
            .channel
            .queue_declare(queue.into(), passive, FieldTable::default())
            .await;
        queue.unwrap().message_count()
    }

    pub(crate) async fn publish(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) {
        let options = BasicPublishOptions::default();
        let confirm =
            self.channel
                .basic_publish(exchange.into(), key.into(), options, body, properties);
        assert!(confirm.await.unwrap().await.unwrap().is_ack());
    }

    /// Takes one message out of a queue.
    pub(crate) async fn take(&self, queue: &str) -> Option<(Vec<u8>, BasicProperties)> {
        let options = BasicGetOptions { no_ack: true };
        let message = self
            .channel
            .basic_get(queue.into(), options)
            .await
            .unwrap()?;
        Some((message.delivery.data, message.delivery.properties))
    }

    pub(crate) async fn delete(&self, queue: &str) {
        self.channel
            .queue_delete(queue.into(), QueueDeleteOptions::default())
            .await
            .unwrap();
    }

    /// Deletes everything; call it last.
    pub(crate) async fn clean_up(self, workers: &[&str]) {
        self.delete(&self.names.submissions()).await;
        self.delete(&self.names.rejected()).await;
        for worker in workers {
            self.delete(&self.names.worker(worker)).await;
        }
        let events = self.names.events();
        self.channel
            .exchange_delete(events.as_str().into(), ExchangeDeleteOptions::default())
            .await
            .unwrap();
    }
}
