//! Several coordinators: one leads, another takes over.

use anyhow::Result;
use rustix::process::Signal;
use serde_json::json;
use taskmaster_testkit::{Stack, eventually};

use crate::TASKMASTER;

#[tokio::test]
async fn another_takes_over_when_the_leader_is_killed() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let before = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&before, "completed").await?;
        stack.start_coordinator()?;
        let (leader, api_and_rest) = stack.services.split_first_mut().expect("services");
        assert!(leader.log().contains("leads"));
        let second = &api_and_rest[1];
        leader.kill().await?;
        eventually("the second leads", async || {
            let log = second.log();
            Ok(if log.contains("leads") {
                Ok(())
            } else {
                Err(log)
            })
        })
        .await?;
        let after = stack
            .api()
            .submit_all(&vec![json!({"command": "true"}); 50])
            .await?;
        for id in &after {
            stack.api().wait(id, "completed").await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_leader_that_hangs_is_replaced_and_does_no_harm_when_it_comes_back() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let ledger = stack.folder().join("ledger");
        let task = json!({"command": format!("echo $TASKMASTER_TASK_ID >> {}", ledger.display())});
        let _worker = stack.worker("worker-1", &[]).await?;
        let mut ids = vec![stack.api().submit(&task).await?];
        stack.api().wait(&ids[0], "completed").await?;
        stack.start_coordinator()?;
        let leader = &stack.services[0];
        assert!(leader.log().contains("leads"));
        leader.signal(Signal::STOP)?;
        ids.extend(stack.api().submit_all(&vec![task.clone(); 50]).await?);
        for id in &ids {
            stack.api().wait(id, "completed").await?;
        }
        leader.signal(Signal::CONT)?;
        ids.extend(stack.api().submit_all(&vec![task; 50]).await?);
        eventually("it knows that another leads", async || {
            let log = leader.log();
            Ok(if log.contains("no longer leads") {
                Ok(())
            } else {
                Err(log)
            })
        })
        .await?;
        for id in &ids {
            stack.api().wait(id, "completed").await?;
        }
        let ran = std::fs::read_to_string(&ledger)?;
        let mut ran: Vec<&str> = ran.lines().collect();
        ran.sort_unstable();
        ids.sort();
        assert_eq!(ran, ids, "each ran once");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn two_share_the_intake_and_do_no_harm() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        stack.start_coordinator()?;
        let ledger = stack.folder().join("ledger");
        let command = format!("echo $TASKMASTER_TASK_ID >> {}", ledger.display());
        let _workers = (
            stack.worker("worker-1", &[]).await?,
            stack.worker("worker-2", &[]).await?,
        );
        let ids = stack
            .api()
            .submit_all(&vec![json!({"command": command}); 300])
            .await?;
        for id in &ids {
            stack.api().wait(id, "completed").await?;
        }
        let mut ran: Vec<String> = std::fs::read_to_string(&ledger)?
            .lines()
            .map(str::to_owned)
            .collect();
        let mut submitted = ids.clone();
        ran.sort();
        submitted.sort();
        assert_eq!(ran, submitted, "each ran once");
        Ok(())
    })
    .await
}
