//! A quorum queue that RabbitMQ has in its books and not in its storage, as after a crash moments after its declaration.

use std::path::Path;

use anyhow::{Context, Result};
use taskmaster_testkit::Stack;

use crate::TASKMASTER;
use crate::amqp::{completed, connect, publish};

/// Removes the list of where the storage of each quorum queue is, of a node that does not run.
fn lose_quorum_queues(folder: &Path) -> Result<()> {
    let node = std::fs::read_dir(folder.join("mnesia"))?
        .flatten()
        .find(|entry| entry.path().join("quorum").is_dir())
        .context("no node's folder")?;
    let quorum = node.path().join("quorum").join(node.file_name());
    std::fs::remove_file(quorum.join("names.dets"))?;
    Ok(())
}

#[tokio::test]
async fn is_told_from_other_troubles_and_given_up_only_when_asked() -> Result<()> {
    Stack::run_private(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let (connection, channel) = connect(stack).await?;
        let queue = format!("{}.submissions", stack.prefix());
        publish(&channel, &queue, br#"{"command": "true"}"#).await?;
        completed(stack, 1).await?;
        drop((connection, channel));

        let rabbitmq = &stack.servers.as_ref().expect("private servers").rabbitmq;
        rabbitmq.stop().await;
        lose_quorum_queues(rabbitmq.log().parent().context("no folder")?)?;
        rabbitmq.restart().await?;

        let rejected = format!("{}.rejected", stack.prefix());
        let arguments = ["doctor", "--json", "--repair"];
        let report = super::report(stack.command(&arguments)).await?;
        report.assert_problems(&[&queue, &rejected]);
        for queue in [&queue, &rejected] {
            let finding = report.check(queue)?;
            assert_eq!(finding["repairable"], false, "{finding}");
            let advice = finding["advice"].to_string();
            assert!(advice.contains("--delete-broken-queues"), "{finding}");
        }

        let arguments = ["doctor", "--json", "--repair", "--delete-broken-queues"];
        let report = super::report(stack.command(&arguments)).await?;
        report.assert_healthy();
        for queue in [&queue, &rejected] {
            assert_eq!(report.status(queue)?, "repaired");
        }
        // No service was started again.
        let (_connection, channel) = connect(stack).await?;
        publish(&channel, &queue, br#"{"command": "true"}"#).await?;
        completed(stack, 2).await?;
        Ok(())
    })
    .await
}
