//! AMQP messages with an id: however often one comes, its tasks are there once. A message that is published twice is to
//! the coordinator what one is that comes again because its acknowledgement was lost.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use taskmaster_testkit::lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
};
use taskmaster_testkit::lapin::types::AMQPValue;
use taskmaster_testkit::lapin::{BasicProperties, Channel, Connection};
use taskmaster_testkit::{Stack, eventually, sqlx};

use crate::{TASKMASTER, amqp};

/// A producer, and what it sees of the two queues.
pub(crate) struct Producer {
    channel: Channel,
    submissions: String,
    rejected: String,
    _connection: Connection,
}

impl Producer {
    /// Connects, once a coordinator consumes what is published: before that, RabbitMQ may have declared the queue and
    /// not be able to take anything yet, and says no.
    pub(crate) async fn connect(stack: &Stack) -> Result<Self> {
        let (connection, channel) = amqp::connect(stack).await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Self {
            channel,
            submissions: format!("{}.submissions", stack.prefix()),
            rejected: format!("{}.rejected", stack.prefix()),
            _connection: connection,
        })
    }

    pub(crate) async fn publish(&self, message_id: Option<&str>, body: &str) -> Result<()> {
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        if let Some(id) = message_id {
            properties = properties.with_message_id(id.into());
        }
        let options = BasicPublishOptions {
            mandatory: true,
            ..Default::default()
        };
        let queue = self.submissions.clone().into();
        let confirmed = self
            .channel
            .basic_publish("".into(), queue, options, body.as_bytes(), properties)
            .await?
            .await?;
        ensure!(confirmed.is_ack(), "not confirmed: {confirmed:?}");
        Ok(())
    }

    /// How many messages wait in the queue of submissions: not those that are at a coordinator.
    pub(crate) async fn waiting(&self) -> Result<u32> {
        let queue = amqp::look(&self.channel, &self.submissions).await?;
        Ok(queue.message_count())
    }

    /// The next message that was rejected, and why.
    async fn next_rejected(&self) -> Result<(String, String)> {
        let message = eventually("a rejected message is there", async || {
            let queue = self.rejected.clone().into();
            let got = self
                .channel
                .basic_get(queue, BasicGetOptions::default())
                .await?;
            Ok(got.ok_or_else(|| "nothing".to_owned()))
        })
        .await?;
        let delivery = message.delivery;
        let headers = delivery
            .properties
            .headers()
            .clone()
            .context("no headers")?;
        let reason = match headers.inner().get("x-taskmaster-reason") {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            other => format!("{other:?}"),
        };
        delivery.acker.ack(BasicAckOptions::default()).await?;
        Ok((String::from_utf8(delivery.data)?, reason))
    }
}

/// The commands of all tasks, sorted. Not by way of the API, which wants to know of the workers as well.
pub(crate) async fn commands(stack: &Stack) -> Result<Vec<String>> {
    let query = "select command from all_tasks order by command";
    Ok(sqlx::query_scalar(query).fetch_all(stack.pool()).await?)
}

pub(crate) async fn until_commands_are(stack: &Stack, expected: &[&str]) -> Result<()> {
    eventually("all tasks are there", async || {
        let there = commands(stack).await?;
        Ok(if there == expected {
            Ok(())
        } else {
            Err(format!("{there:?}"))
        })
    })
    .await
}

#[tokio::test]
async fn a_message_that_comes_again_stores_nothing() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let producer = Producer::connect(stack).await?;
        let task = |command: &str| json!({"command": command}).to_string();
        producer.publish(Some("a"), &task("echo a")).await?;
        until_commands_are(stack, &["echo a"]).await?;
        let id: String = sqlx::query_scalar("select id::text from all_tasks")
            .fetch_one(stack.pool())
            .await?;
        stack.api().wait(&id, "completed").await?;

        // After its task has ended; written differently; and with what is new.
        producer.publish(Some("a"), &task("echo a")).await?;
        producer
            .publish(Some("a"), "{ \"priority\": 0, \"command\": \"echo a\" }")
            .await?;
        producer.publish(None, &task("echo b")).await?;
        producer.publish(None, &task("echo b")).await?;
        until_commands_are(stack, &["echo a", "echo b", "echo b"]).await?;
        // The two without an id came after the others, which are done with by now.
        producer.publish(Some("a"), &task("echo other")).await?;
        let (body, reason) = producer.next_rejected().await?;
        assert_eq!(body, task("echo other"));
        assert!(
            reason.contains("message_id: ") && reason.contains("other content"),
            "{reason}"
        );
        assert_eq!(commands(stack).await?.len(), 3);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_id_that_is_none_is_rejected_with_what_is_allowed() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let producer = Producer::connect(stack).await?;
        for id in ["", "two words", "schlüssel"] {
            producer.publish(Some(id), r#"{"command": "no"}"#).await?;
            let (_, reason) = producer.next_rejected().await?;
            assert!(
                reason.starts_with("message_id: must be 1 to 255 visible ASCII"),
                "{id:?}: {reason}"
            );
        }
        let longest = "x".repeat(255);
        let later = r#"{"command": "later", "delay_seconds": 3600}"#;
        producer.publish(Some(&longest), later).await?;
        until_commands_are(stack, &["later"]).await?;
        Ok(())
    })
    .await
}

/// While no coordinator is there, messages gather; the next one finds all of them at once.
#[tokio::test]
async fn among_messages_that_are_taken_in_together() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let producer = Producer::connect(stack).await?;
        stack.services[0].kill().await?;
        let task = |command: &str| json!({"command": command, "delay_seconds": 3600});
        let one = task("one").to_string();
        let two = json!([task("two"), task("three")]).to_string();
        for (id, body) in [
            (Some("z"), &one),
            (Some("a"), &two),
            (None, &one),
            (Some("z"), &one),
            (Some("a"), &one),
            (Some("a"), &two),
            (Some("z"), &one),
        ] {
            producer.publish(id, body).await?;
        }
        stack.start_coordinator()?;
        until_commands_are(stack, &["one", "one", "three", "two"]).await?;
        let (body, _) = producer.next_rejected().await?;
        assert_eq!(body, one);
        // Each was acknowledged: nothing comes again.
        eventually("the queue is empty", async || {
            let waiting = producer.waiting().await?;
            Ok(if waiting == 0 {
                Ok(())
            } else {
                Err(waiting.to_string())
            })
        })
        .await?;
        assert_eq!(commands(stack).await?.len(), 4);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_coordinator_forgets_ids_after_a_day() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        stack.services[0].kill().await?;
        sqlx::query(
            "insert into idempotency_keys (scope, key, fingerprint, task_ids, created_at)
             select 'amqp', age, sha256('x'), array[gen_random_uuid()], now() - age::interval
             from unnest(array['25 hours', '23 hours']) age",
        )
        .execute(stack.pool())
        .await?;
        stack.start_coordinator()?;
        eventually("the old one is gone", async || {
            let left: Vec<String> = sqlx::query_scalar("select key from idempotency_keys")
                .fetch_all(stack.pool())
                .await?;
            Ok(if left == ["23 hours"] {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            })
        })
        .await
    })
    .await
}
