//! Looking at what is declared, and putting it right.

use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ExchangeKind};
use taskmaster_broker::{Error, Found, Inspector, Piece, Usage};

use crate::fleet::Fleet;
use crate::wire::Wire;

const EVERYTHING: [Piece<'_>; 4] = [
    Piece::Events,
    Piece::Submissions,
    Piece::Rejected,
    Piece::Worker("w"),
];

fn usage(messages: u32, consumers: u32) -> Usage {
    Usage {
        messages,
        consumers,
    }
}

#[tokio::test]
async fn what_is_missing_is_only_seen_until_it_is_to_be_declared() {
    let fleet = Fleet::new().await;
    let inspector = Inspector::connect(&fleet.config).await.unwrap();
    for _ in 0..2 {
        for piece in EVERYTHING {
            assert_eq!(inspector.look(piece).await.unwrap(), Found::Nothing);
        }
    }
    for piece in EVERYTHING {
        inspector.declare(piece).await.unwrap();
        inspector.declare(piece).await.unwrap();
        let found = inspector.look(piece).await.unwrap();
        assert_eq!(found, Found::AsDeclared(usage(0, 0)), "{piece:?}");
    }
    let submissions = fleet.names.submissions();
    fleet
        .publish("", &submissions, b"{}", BasicProperties::default())
        .await;
    let own = fleet.names.worker("w");
    let consuming = BasicConsumeOptions::default();
    let _consumer = fleet
        .channel
        .basic_consume(
            own.as_str().into(),
            "".into(),
            consuming,
            FieldTable::default(),
        )
        .await
        .unwrap();
    assert_eq!(
        inspector.look(Piece::Submissions).await.unwrap(),
        Found::AsDeclared(usage(1, 0))
    );
    assert_eq!(
        inspector.look(Piece::Worker("w")).await.unwrap(),
        Found::AsDeclared(usage(0, 1))
    );
    inspector.close().await;
    fleet.clean_up(&["w"]).await;
}

#[tokio::test]
async fn a_queue_of_another_kind_is_replaced_only_when_nothing_is_lost_by_it() {
    let fleet = Fleet::new().await;
    let inspector = Inspector::connect(&fleet.config).await.unwrap();
    let queue = fleet.names.submissions();
    let durable = QueueDeclareOptions::durable();
    // As by a producer that made it before the coordinator came.
    fleet
        .channel
        .queue_declare(queue.as_str().into(), durable, FieldTable::default())
        .await
        .unwrap();
    fleet
        .publish("", &queue, b"{}", BasicProperties::default())
        .await;
    let found = inspector.look(Piece::Submissions).await.unwrap();
    let Found::Different { reason, usage: at } = found else {
        panic!("{found:?}")
    };
    assert!(reason.contains("inequivalent"), "{reason}");
    assert_eq!(at, usage(1, 0));
    let refused = inspector.replace(Piece::Submissions).await.unwrap_err();
    assert!(matches!(refused, Error::PreconditionFailed(_)), "{refused}");
    assert_eq!(fleet.take(&queue).await.unwrap().0, b"{}");
    inspector.replace(Piece::Submissions).await.unwrap();
    let found = inspector.look(Piece::Submissions).await.unwrap();
    assert_eq!(found, Found::AsDeclared(usage(0, 0)));
    for piece in EVERYTHING {
        inspector.declare(piece).await.unwrap();
    }
    fleet.clean_up(&["w"]).await;
}

#[tokio::test]
async fn a_quorum_queue_with_other_arguments_is_seen_and_left_as_it_is() {
    let fleet = Fleet::new().await;
    let inspector = Inspector::connect(&fleet.config).await.unwrap();
    let queue = fleet.names.rejected();
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    arguments.insert("x-max-length".into(), 5.into());
    let durable = QueueDeclareOptions::durable();
    fleet
        .channel
        .queue_declare(queue.as_str().into(), durable, arguments)
        .await
        .unwrap();
    let found = inspector.look(Piece::Rejected).await.unwrap();
    assert!(matches!(found, Found::Different { .. }), "{found:?}");
    let refused = inspector.replace(Piece::Rejected).await.unwrap_err();
    assert!(refused.to_string().contains("quorum"), "{refused}");
    // And this connection is none the worse for it.
    assert_eq!(inspector.look(Piece::Rejected).await.unwrap(), found);
    fleet.delete(&queue).await;
}

#[tokio::test]
async fn an_exchange_of_another_type() {
    let fleet = Fleet::new().await;
    let inspector = Inspector::connect(&fleet.config).await.unwrap();
    let exchange = fleet.names.events();
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    fleet
        .channel
        .exchange_declare(
            exchange.as_str().into(),
            ExchangeKind::Fanout,
            durable,
            FieldTable::default(),
        )
        .await
        .unwrap();
    let found = inspector.look(Piece::Events).await.unwrap();
    assert!(matches!(found, Found::Different { .. }), "{found:?}");
    inspector.replace(Piece::Events).await.unwrap();
    let found = inspector.look(Piece::Events).await.unwrap();
    assert_eq!(found, Found::AsDeclared(Usage::default()));
    fleet.clean_up(&[]).await;
}

#[tokio::test]
async fn a_connection_that_was_ended_does_not_end_the_looking() {
    let fleet = Fleet::new().await;
    let wire = Wire::new().await;
    let inspector = Inspector::connect(&wire.through(&fleet.config))
        .await
        .unwrap();
    inspector.declare(Piece::Rejected).await.unwrap();
    wire.cut();
    // The first to ask may be the one who notices.
    let noticed = inspector.look(Piece::Rejected).await;
    let there = Ok(Found::AsDeclared(usage(0, 0)));
    assert!(noticed.is_err() || noticed == there, "{noticed:?}");
    assert_eq!(inspector.look(Piece::Rejected).await, there);
    fleet.delete(&fleet.names.rejected()).await;
}
