//! From AMQP producers to the coordinator.

use lapin::BasicProperties;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use taskmaster_broker::{
    Delivery, Error, NewSubmission, Submission, SubmissionConsumer, SubmissionPublisher,
};

use crate::fleet::{Fleet, soon};

async fn submit(fleet: &Fleet, bodies: &[&str]) {
    let submissions: Vec<_> = bodies
        .iter()
        .map(|body| NewSubmission {
            message_id: Some(format!("id of {body}")),
            body: body.as_bytes().to_vec(),
        })
        .collect();
    let mut publisher = SubmissionPublisher::new(&fleet.config);
    let deliveries = publisher.publish(&submissions).await.unwrap();
    assert_eq!(deliveries, vec![Delivery::Confirmed; bodies.len()]);
}

/// Exactly the next `count` submissions.
async fn receive(consumer: &mut SubmissionConsumer, count: usize) -> Vec<Submission> {
    let mut received = Vec::new();
    while received.len() < count {
        let more = consumer.next_batch(count - received.len());
        received.extend(soon("submissions", more).await.unwrap());
    }
    assert_eq!(received.len(), count);
    received
}

fn bodies(submissions: &[Submission]) -> Vec<&str> {
    submissions
        .iter()
        .map(|submission| std::str::from_utf8(&submission.body).unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_acknowledged_is_gone_and_the_rest_comes_again() {
    let fleet = Fleet::new().await;
    submit(&fleet, &["0", "1", "2", "3", "4", "5"]).await;
    let mut consumer = SubmissionConsumer::connect(&fleet.config).await.unwrap();
    let mut batch = receive(&mut consumer, 6).await;
    assert_eq!(bodies(&batch), ["0", "1", "2", "3", "4", "5"]);
    assert!(batch.iter().all(|submission| !submission.redelivered));
    assert_eq!(batch[0].content_type.as_deref(), Some("application/json"));
    assert_eq!(batch[0].message_id.as_deref(), Some("id of 0"));
    let (four, two) = (batch.remove(4), batch.remove(2));
    consumer.ack(&batch).await.unwrap();
    drop(consumer);

    let mut consumer = SubmissionConsumer::connect(&fleet.config).await.unwrap();
    let again = receive(&mut consumer, 2).await;
    assert_eq!(again[0].message_id, two.message_id);
    assert_eq!(bodies(&again), bodies(&[two, four]));
    assert!(again.iter().all(|submission| submission.redelivered));
    consumer.ack(&again).await.unwrap();
    consumer.ack(&again).await.unwrap();
    consumer.close().await;
    assert_eq!(fleet.waiting(&fleet.names.submissions()).await, 0);
    fleet.clean_up(&[]).await;
}

#[tokio::test]
async fn a_rejected_submission_is_kept_as_it_was_with_the_reason() {
    let fleet = Fleet::new().await;
    let mut consumer = SubmissionConsumer::connect(&fleet.config).await.unwrap();
    let body = b"\xff\x00 not JSON";
    let mut headers = FieldTable::default();
    headers.insert("trace".into(), AMQPValue::LongLongInt(7));
    headers.insert(
        "CC".into(),
        AMQPValue::FieldArray(vec![AMQPValue::LongString("elsewhere".into())].into()),
    );
    let properties = BasicProperties::default()
        .with_message_id("m-1".into())
        .with_content_type("text/plain".into())
        .with_headers(headers);
    fleet
        .publish("", &fleet.names.submissions(), body, properties)
        .await;
    fleet
        .publish(
            "",
            &fleet.names.submissions(),
            b"fine",
            BasicProperties::default(),
        )
        .await;

    let mut batch = receive(&mut consumer, 2).await;
    let fine = batch.remove(1);
    let bad = batch.remove(0);
    assert_eq!(bad.message_id.as_deref(), Some("m-1"));
    assert_eq!(bad.content_type.as_deref(), Some("text/plain"));
    consumer.reject(bad, "the body is not JSON").await.unwrap();

    let (kept, properties) = fleet.take(&fleet.names.rejected()).await.unwrap();
    assert_eq!(kept, body);
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "m-1");
    assert_eq!(properties.delivery_mode(), &Some(2));
    let headers = properties.headers().clone().unwrap();
    let reason = headers.inner().get("x-taskmaster-reason");
    assert_eq!(
        reason,
        Some(&AMQPValue::LongString("the body is not JSON".into()))
    );
    assert_eq!(
        headers.inner().get("trace"),
        Some(&AMQPValue::LongLongInt(7))
    );
    assert!(!headers.contains_key("CC"));

    // Only the rejected one was acknowledged.
    drop((consumer, fine));
    let mut consumer = SubmissionConsumer::connect(&fleet.config).await.unwrap();
    assert_eq!(bodies(&receive(&mut consumer, 1).await), ["fine"]);
    consumer.close().await;
    fleet.clean_up(&[]).await;
}

#[tokio::test]
async fn deleted_queues_are_made_again() {
    let fleet = Fleet::new().await;
    submit(&fleet, &["a"]).await;
    let mut consumer = SubmissionConsumer::connect(&fleet.config).await.unwrap();
    let mut batch = receive(&mut consumer, 1).await;
    fleet.delete(&fleet.names.rejected()).await;
    consumer.reject(batch.remove(0), "no").await.unwrap();
    assert_eq!(fleet.take(&fleet.names.rejected()).await.unwrap().0, b"a");

    fleet.delete(&fleet.names.submissions()).await;
    let error = soon("the consumer's end", consumer.next_batch(10))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        Error::ConsumerEnded {
            queue: fleet.names.submissions()
        }
    );
    let mut consumer = SubmissionConsumer::connect(&fleet.config).await.unwrap();
    submit(&fleet, &["b"]).await;
    let batch = receive(&mut consumer, 1).await;
    assert_eq!(bodies(&batch), ["b"]);
    consumer.ack(&batch).await.unwrap();
    consumer.close().await;
    fleet.clean_up(&[]).await;
}

/// RabbitMQ does not always tell the consumer then, so that it would wait for ever.
#[tokio::test]
async fn a_queue_that_is_deleted_and_declared_again_in_one_moment_is_consumed_again() {
    let fleet = Fleet::new().await;
    let queue = fleet.names.submissions();
    for _ in 0..3 {
        let mut consumer = SubmissionConsumer::connect(&fleet.config).await.unwrap();
        let arguments = || {
            let mut arguments = FieldTable::default();
            arguments.insert(
                "x-queue-type".into(),
                AMQPValue::LongString("quorum".into()),
            );
            arguments.insert("x-delivery-limit".into(), 1000.into());
            arguments.insert(
                "x-dead-letter-exchange".into(),
                AMQPValue::LongString("".into()),
            );
            let rejected = fleet.names.rejected();
            arguments.insert(
                "x-dead-letter-routing-key".into(),
                AMQPValue::LongString(rejected.into()),
            );
            arguments
        };
        let deleting = fleet
            .channel
            .queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
        let declaring = fleet.channel.queue_declare(
            queue.as_str().into(),
            QueueDeclareOptions::durable(),
            arguments(),
        );
        let (deleted, declared) = futures_util::join!(deleting, declaring);
        deleted.unwrap();
        declared.unwrap();
        submit(&fleet, &["a"]).await;
        let received = async {
            loop {
                match consumer.next_batch(10).await {
                    Ok(batch) => return batch,
                    Err(_) => {
                        consumer = SubmissionConsumer::connect(&fleet.config).await.unwrap();
                    }
                }
            }
        };
        let batch = soon("the submission", received).await;
        assert_eq!(bodies(&batch), ["a"]);
        consumer.ack(&batch).await.unwrap();
        consumer.close().await;
    }
    fleet.clean_up(&[]).await;
}

#[tokio::test]
async fn a_producers_large_headers_do_not_stop_the_intake() {
    let fleet = Fleet::new().await;
    let mut consumer = SubmissionConsumer::connect(&fleet.config).await.unwrap();
    let mut headers = FieldTable::default();
    headers.insert(
        "big".into(),
        AMQPValue::LongString("x".repeat(100_000).into()),
    );
    let properties = BasicProperties::default().with_headers(headers);
    fleet
        .publish("", &fleet.names.submissions(), b"large", properties)
        .await;
    let mut batch = receive(&mut consumer, 1).await;
    consumer
        .reject(batch.remove(0), &"why ".repeat(20_000))
        .await
        .unwrap();
    assert_eq!(
        fleet.take(&fleet.names.rejected()).await.unwrap().0,
        b"large"
    );
    consumer.close().await;
    fleet.clean_up(&[]).await;
}
