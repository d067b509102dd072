//! Several coordinators: one leads, another takes over.

use anyhow::Result;
use rustix::process::Signal;
use serde_json::json;
use taskmaster_testkit::{Stack, eventually, sqlx};

use crate::TASKMASTER;

/// How long after the leader was killed a task runs that is submitted then, by the other coordinator.
const FAILOVER_SECONDS: f64 = 3.0;
/// The same for a leader that hangs: Postgres has to notice that first.
const HUNG_FAILOVER_SECONDS: f64 = 10.0;

/// Postgres's clock.
async fn now(stack: &Stack) -> Result<String> {
    let now = sqlx::query_scalar("select clock_timestamp()::text");
    Ok(now.fetch_one(stack.pool()).await?)
}

/// How many seconds after that a task's start was committed, by the same clock.
async fn started_after(stack: &Stack, moment: &str, id: &str) -> Result<f64> {
    let seconds = sqlx::query_scalar(
        "select extract(epoch from started_at - $1::timestamptz)::float8 from all_tasks where id = $2::uuid",
    )
    .bind(moment)
    .bind(id)
    .fetch_one(stack.pool())
    .await?;
    Ok(seconds)
}

/// Waits until so many coordinators lead or would.
async fn until_candidates(stack: &Stack, count: i64) -> Result<()> {
    eventually(&format!("{count} coordinators would lead"), async || {
        let there: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and query like 'select pg_try_advisory_lock%'",
        )
        .fetch_one(stack.pool())
        .await?;
        Ok(if there == count {
            Ok(())
        } else {
            Err(there.to_string())
        })
    })
    .await
}

/// How many lead, by Postgres's account.
async fn leaders(stack: &Stack) -> Result<i64> {
    let leaders = sqlx::query_scalar(
        "select count(*) from pg_locks
         where locktype = 'advisory' and granted and classid = x'7461736b'::int and objid = x'6d617374'::int
             and database = (select oid from pg_database where datname = current_database())",
    );
    Ok(leaders.fetch_one(stack.pool()).await?)
}

#[tokio::test]
async fn another_takes_over_within_three_seconds_when_the_leader_is_killed() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let before = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&before, "completed").await?;
        let mut leader = 0;
        for _ in 0..3 {
            stack.services[leader].until_logged("leads").await?;
            stack.start_coordinator()?;
            until_candidates(stack, 2).await?;
            let killed_at = now(stack).await?;
            stack.services[leader].signal(Signal::KILL)?;
            let first = stack.api().submit(&json!({"command": "true"})).await?;
            stack.api().wait(&first, "completed").await?;
            let seconds = started_after(stack, &killed_at, &first).await?;
            assert!(seconds <= FAILOVER_SECONDS, "after {seconds} s");
            stack.services[leader].wait().await?;
            leader = stack.services.len() - 1;
            let log = stack.services[leader].log();
            assert!(log.contains("leads"), "{log}");
            assert_eq!(leaders(stack).await?, 1);
        }
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

/// It is stopped in the middle of giving out tasks, and goes on there when another has led for long.
#[tokio::test]
async fn a_leader_that_hangs_is_replaced_and_does_no_harm_when_it_comes_back() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let ledger = stack.folder().join("ledger");
        let task = json!({"command": format!("echo $TASKMASTER_TASK_ID >> {}", ledger.display())});
        let _worker = stack.worker("worker-1", &[]).await?;
        let mut ids = vec![stack.api().submit(&task).await?];
        stack.api().wait(&ids[0], "completed").await?;
        stack.start_coordinator()?;
        until_candidates(stack, 2).await?;
        let leader = &stack.services[0];
        assert!(leader.log().contains("leads"));
        ids.extend(stack.api().submit_all(&vec![task.clone(); 100]).await?);
        let hung_at = now(stack).await?;
        leader.signal(Signal::STOP)?;
        let first = stack.api().submit(&task).await?;
        ids.push(first.clone());
        for id in &ids {
            stack.api().wait(id, "completed").await?;
        }
        let seconds = started_after(stack, &hung_at, &first).await?;
        assert!(seconds <= HUNG_FAILOVER_SECONDS, "after {seconds} s");
        assert_eq!(leaders(stack).await?, 1);

        // Both claim now, for a moment.
        ids.extend(stack.api().submit_all(&vec![task.clone(); 100]).await?);
        leader.signal(Signal::CONT)?;
        ids.extend(stack.api().submit_all(&vec![task; 100]).await?);
        leader.until_logged("no longer leads").await?;
        for id in &ids {
            let task = stack.api().wait(id, "completed").await?;
            assert_eq!(task["attempt"], 1);
        }
        assert_eq!(leaders(stack).await?, 1);
        let ran = std::fs::read_to_string(&ledger)?;
        let mut ran: Vec<&str> = ran.lines().collect();
        ran.sort_unstable();
        ids.sort();
        assert_eq!(ran, ids, "each ran once");
        let ends: i64 = sqlx::query_scalar("select count(*) from finished_tasks")
            .fetch_one(stack.pool())
            .await?;
        assert_eq!(usize::try_from(ends)?, ids.len(), "each ended once");
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
