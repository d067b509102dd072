//! `taskmaster submit` when its answer is lost: it sends again, and there is one task.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde_json::json;
use taskmaster_embedded::StopMode;
use taskmaster_testkit::{Stack, eventually, sqlx};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::TASKMASTER;

/// A link to the API that breaks as soon as the API has answered, so that nobody hears it.
struct CuttingProxy {
    url: String,
    /// How many answers were swallowed.
    cut: Arc<AtomicUsize>,
}

impl CuttingProxy {
    /// Cuts the first `cuts` connections; those that follow are left alone.
    async fn start(api: &str, cuts: usize) -> Result<Self> {
        let api = api.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let cut = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&cut);
        tokio::spawn(async move {
            let mut connections = 0;
            while let Ok((client, _)) = listener.accept().await {
                connections += 1;
                let (api, counter, cuts) = (api.clone(), Arc::clone(&counter), cuts);
                tokio::spawn(pass(client, api, (connections <= cuts).then_some(counter)));
            }
        });
        Ok(Self { url, cut })
    }
}

/// Passes a connection on; with a counter, only until the API's answer begins.
async fn pass(mut client: TcpStream, api: String, cut: Option<Arc<AtomicUsize>>) -> Result<()> {
    let mut api = TcpStream::connect(api).await?;
    let Some(cut) = cut else {
        copy_bidirectional(&mut client, &mut api).await?;
        return Ok(());
    };
    let (mut from_client, _to_client) = client.split();
    let (mut from_api, mut to_api) = api.split();
    let mut first = [0];
    tokio::select! {
        read = from_api.read_exact(&mut first) => {
            read?;
            cut.fetch_add(1, Ordering::SeqCst);
        }
        _ = async {
            copy(&mut from_client, &mut to_api).await.ok();
            std::future::pending::<()>().await
        } => {}
    }
    Ok(())
}

async fn submit(stack: &Stack, arguments: &[&str]) -> Result<Output> {
    let arguments = [&["submit"], arguments].concat();
    Ok(stack.command(&arguments).output().await?)
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn ids(stack: &Stack) -> Result<Vec<String>> {
    let query = "select id::text from all_tasks order by id";
    Ok(sqlx::query_scalar(query).fetch_all(stack.pool()).await?)
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_task() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let proxy = CuttingProxy::start(stack.api().base(), 3).await?;
        let done = submit(stack, &["echo once", "--api", &proxy.url]).await?;
        assert!(done.status.success(), "{}", err(&done));
        assert!(err(&done).contains("sending it again"), "{}", err(&done));
        assert_eq!(proxy.cut.load(Ordering::SeqCst), 3);
        assert_eq!(ids(stack).await?, [out(&done)]);
        stack.api().wait(&out(&done), "completed").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_a_file_each_request_is_carried_out_once() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let file = stack.folder().join("tasks.jsonl");
        let line = |n| json!({"command": format!("echo {n}"), "delay_seconds": 3600}).to_string();
        let text: Vec<String> = (0..2500).map(line).collect();
        std::fs::write(&file, text.join("\n"))?;
        let file = file.to_str().context("a path that is text")?;

        let proxy = CuttingProxy::start(stack.api().base(), 2).await?;
        let arguments = ["--file", file, "--idempotency-key", "nightly", "--api"];
        let done = submit(stack, &[&arguments[..], &[&proxy.url]].concat()).await?;
        assert!(done.status.success(), "{}", err(&done));
        assert_eq!(out(&done), "2500 tasks submitted");
        assert_eq!(proxy.cut.load(Ordering::SeqCst), 2);
        let first = ids(stack).await?;
        assert_eq!(first.len(), 2500);

        // The whole command again, as one does that was not heard of.
        let again = submit(stack, &arguments[..4]).await?;
        assert!(again.status.success(), "{}", err(&again));
        assert!(
            err(&again).contains("2500 tasks of these had been submitted before"),
            "{}",
            err(&again)
        );
        assert_eq!(ids(stack).await?, first);

        // A file that has changed in its second request.
        let mut text = text;
        text[1500] = line(9);
        std::fs::write(file, text.join("\n"))?;
        let changed = submit(stack, &arguments[..4]).await?;
        assert_eq!(changed.status.code(), Some(1));
        assert!(err(&changed).contains("other content"), "{}", err(&changed));
        assert_eq!(ids(stack).await?, first);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_key_of_the_users_own() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let key = ["--in", "1h", "--idempotency-key", "report-2026-01-23"];
        let report = |command| [&[command], &key[..]].concat();
        let first = submit(stack, &report("make report")).await?;
        assert!(first.status.success(), "{}", err(&first));
        let again = submit(stack, &report("make report")).await?;
        assert!(again.status.success(), "{}", err(&again));
        assert_eq!(out(&again), out(&first));
        assert!(err(&again).contains("submitted before"), "{}", err(&again));
        let other = submit(stack, &report("make other")).await?;
        assert_eq!(other.status.code(), Some(1));
        assert!(
            err(&other).contains("use a key of its own"),
            "{}",
            err(&other)
        );
        // Without one, each command is a submission of its own.
        for _ in 0..2 {
            let own = submit(stack, &["make report", "--in", "1h"]).await?;
            assert!(own.status.success(), "{}", err(&own));
        }
        assert_eq!(ids(stack).await?.len(), 3);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn while_postgres_is_away_it_waits_for_it() -> Result<()> {
    Stack::run_private(TASKMASTER, async |stack| {
        let postgres = &stack.servers.as_ref().expect("private servers").postgres;
        postgres.stop(StopMode::Immediate).await;
        let mut command = stack.command(&["submit", "true", "--in", "1h"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut submitting = command.spawn()?;
        let stderr = submitting.stderr.take().context("no stderr")?;
        let said = BufReader::new(stderr).lines().next_line().await?;
        let said = said.context("it says why it waits")?;
        assert!(
            said.contains("Postgres is not available") && said.contains("sending it again"),
            "{said}"
        );
        postgres.restart().await?;
        let done = submitting.wait_with_output().await?;
        assert!(done.status.success());
        let there = eventually("the API answers", async || {
            Ok(ids(stack).await.map_err(|error| error.to_string()))
        })
        .await?;
        assert_eq!(there, [out(&done)]);
        Ok(())
    })
    .await
}
