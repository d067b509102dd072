//! Submissions over AMQP, from programs in any language.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use taskmaster_testkit::lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, QueueDeclareOptions,
};
use taskmaster_testkit::lapin::types::{AMQPValue, FieldTable};
use taskmaster_testkit::lapin::{
    self, BasicProperties, Channel, Connection, ConnectionProperties, Queue,
};
use taskmaster_testkit::{Stack, eventually};
use tokio::process::Command;

use crate::TASKMASTER;

/// Connects as a producer does. The first coordinator declares the queue that producers publish to: before that, what
/// they publish goes nowhere, and RabbitMQ tells only those who ask for it.
pub(crate) async fn connect(stack: &Stack) -> Result<(Connection, Channel)> {
    connect_to(stack, "submissions").await
}

/// Connects once somebody consumes from this queue: RabbitMQ shows one before it can take anything in.
pub(crate) async fn connect_to(stack: &Stack, queue: &str) -> Result<(Connection, Channel)> {
    let connection = Connection::connect(stack.amqp_url(), ConnectionProperties::default()).await?;
    let queue = format!("{}.{queue}", stack.prefix());
    let channel = eventually(&format!("somebody consumes from {queue}"), async || {
        // A question that is answered with no closes the channel.
        let channel = connection.create_channel().await?;
        Ok(match look(&channel, &queue).await {
            Ok(queue) if queue.consumer_count() > 0 => Ok(channel),
            Ok(queue) => Err(format!("{queue:?}")),
            Err(error) => Err(error.to_string()),
        })
    })
    .await?;
    Ok((connection, channel))
}

/// What there is at a queue.
pub(crate) async fn look(channel: &Channel, queue: &str) -> lapin::Result<Queue> {
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    channel
        .queue_declare(queue.into(), options, FieldTable::default())
        .await
}

pub(crate) async fn publish(channel: &Channel, queue: &str, body: &[u8]) -> Result<()> {
    let properties = BasicProperties::default().with_delivery_mode(2);
    channel
        .basic_publish(
            "".into(),
            queue.into(),
            BasicPublishOptions::default(),
            body,
            properties,
        )
        .await?
        .await?;
    Ok(())
}

pub(crate) async fn completed(stack: &Stack, count: u64) -> Result<Value> {
    eventually(&format!("{count} tasks are completed"), async || {
        let (_, stats) = stack.api().get("/api/stats").await?;
        Ok(if stats["completed_tasks"] == count {
            Ok(stats)
        } else {
            Err(stats.to_string())
        })
    })
    .await
}

#[tokio::test]
async fn one_task_or_an_array_and_what_is_not_valid_is_kept_with_its_reason() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let (_connection, channel) = connect(stack).await?;
        let submissions = format!("{}.submissions", stack.prefix());
        let rejected = format!("{}.rejected", stack.prefix());
        publish(&channel, &submissions, br#"{"command": "true"}"#).await?;
        publish(
            &channel,
            &submissions,
            br#"[{"command": "true"}, {"argv": ["true"], "priority": 3}]"#,
        )
        .await?;
        let invalid: [(&[u8], &str); 3] = [
            (b"this is not JSON", "not JSON"),
            (
                br#"{"command": "true", "priority": 1000}"#,
                "priority: must be -100 to 100",
            ),
            (
                br#"[{"command": "true"}, {"command": ""}]"#,
                "task 1: command: must not be empty",
            ),
        ];
        for (body, _) in invalid {
            publish(&channel, &submissions, body).await?;
        }
        completed(stack, 3).await?;
        for (body, reason) in invalid {
            let message = eventually("the rejected message is there", async || {
                let got = channel
                    .basic_get(rejected.clone().into(), BasicGetOptions::default())
                    .await?;
                Ok(got.ok_or_else(|| "nothing".to_owned()))
            })
            .await?;
            assert_eq!(message.delivery.data, body, "it is kept unchanged");
            let headers = message
                .delivery
                .properties
                .headers()
                .clone()
                .context("no headers")?;
            let told = match headers.inner().get("x-taskmaster-reason") {
                Some(AMQPValue::LongString(text)) => text.to_string(),
                other => format!("{other:?}"),
            };
            assert!(told.contains(reason), "{told}");
            message
                .delivery
                .acker
                .ack(BasicAckOptions::default())
                .await?;
        }
        let (_, stats) = stack.api().get("/api/stats").await?;
        assert_eq!(
            stats["total_tasks"], 3,
            "nothing of what was rejected was stored"
        );
        Ok(())
    })
    .await
}

async fn run_example(stack: &Stack, mut command: Command) -> Result<String> {
    let output = command
        .env("AMQP_URL", stack.amqp_url())
        .env("TASKMASTER_PREFIX", stack.prefix())
        .stdin(Stdio::null())
        .output()
        .await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(printed)
}

fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
}

#[tokio::test]
async fn the_python_producer() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let _producer = connect(stack).await?;
        let python =
            std::env::var("TASKMASTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut command = Command::new(python);
        command.arg(example("producer.py"));
        let printed = run_example(stack, command).await?;
        assert!(printed.contains("4 tasks"), "{printed}");
        completed(stack, 4).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_node_producer() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let _producer = connect(stack).await?;
        let mut command = Command::new("node");
        command.arg(example("producer.mjs"));
        let printed = run_example(stack, command).await?;
        assert!(printed.contains("4 tasks"), "{printed}");
        completed(stack, 4).await?;
        Ok(())
    })
    .await
}
