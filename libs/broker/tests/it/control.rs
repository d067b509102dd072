//! Control messages through the pool.

use futures_util::future::join_all;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use taskmaster_broker::{ControlPublisher, WorkerMessage};

use crate::fleet::{Fleet, soon};

#[tokio::test]
async fn says_whether_the_worker_has_a_queue() {
    let fleet = Fleet::new().await;
    let control = ControlPublisher::new(&fleet.config).unwrap();
    soon("a ping", control.ping()).await.unwrap();
    soon("an answer", control.takes_messages()).await.unwrap();
    assert_eq!(
        control.send("nobody", &WorkerMessage::Drain).await,
        Ok(false)
    );

    let queue = fleet.names.worker("w");
    let options = QueueDeclareOptions::durable();
    fleet
        .channel
        .queue_declare(queue.as_str().into(), options, FieldTable::default())
        .await
        .unwrap();
    let sends = (0..20).map(|_| control.send("w", &WorkerMessage::Drain));
    for routed in soon("all sends", join_all(sends)).await {
        assert_eq!(routed, Ok(true));
    }
    assert_eq!(fleet.waiting(&queue).await, 20);
    assert_eq!(fleet.take(&queue).await.unwrap().0, b"\"drain\"");
    fleet.clean_up(&["w"]).await;
}
