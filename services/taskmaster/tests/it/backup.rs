//! A backup of Postgres is a backup of everything: taken while all goes on, restored elsewhere, beside a RabbitMQ that
//! knows nothing of it.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use taskmaster_testkit::{Stack, TestDatabase};
use tokio::process::Command;

use crate::TASKMASTER;

/// Which has the commands.
const README: &str = include_str!("../../../../deploy/README.md");
/// Its commands, without the names of databases and files.
const DUMP: [&str; 3] = ["pg_dump", "--format=custom", "--file"];
const RESTORE: [&str; 5] = [
    "pg_restore",
    "--no-owner",
    "--no-privileges",
    "--exit-on-error",
    "--single-transaction",
];

/// The commands that are tested are those that people are told.
#[test]
fn the_commands_are_those_of_the_readme() {
    let readme = README.split_whitespace().collect::<Vec<_>>().join(" ");
    for (command, rest) in [
        (&DUMP[..], "taskmaster.dump --dbname \"$DATABASE_URL\""),
        (&RESTORE[..], "--dbname \"$DATABASE_URL\" taskmaster.dump"),
    ] {
        let command = format!("{} {rest}", command.join(" "));
        assert!(readme.contains(&command), "no {command:?}");
    }
}

/// What there was when the backup was made, by id.
#[derive(Default)]
struct Accepted {
    /// Those that had ended, and one that is due in an hour: as the API showed them.
    as_they_were: Vec<Value>,
    /// What the ended ones had printed, and their attempts.
    records: Vec<(String, Vec<Value>)>,
    /// Due in an hour.
    later: String,
    /// Running, with one attempt.
    running_once: String,
    /// Running, with two.
    running: String,
    /// Given to a worker, not started.
    assigned: String,
    /// Due.
    due: Vec<String>,
}

async fn run(program: &[&str], file: Option<&Path>, database_url: &str) -> Result<()> {
    let (program, arguments) = program.split_first().context("no program")?;
    // What follows is sqlx's, not libpq's.
    let url = database_url.split('?').next().unwrap_or_default();
    let mut command = Command::new(program);
    command.args(arguments).args(file).args(["--dbname", url]);
    let output = command.stdin(Stdio::null()).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {said}");
    Ok(())
}

/// Submits with a key of its own, as a script does; returns the id.
async fn submit_with_key(stack: &Stack) -> Result<String> {
    let arguments = ["submit", "echo kept", "--idempotency-key", "nightly"];
    let output = stack.command(&arguments).output().await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Brings tasks into each status, and makes the backup then.
async fn fill_and_back_up(stack: &Stack, gate: &Path, file: &Path) -> Result<Accepted> {
    let api = stack.api();
    let soon_missed = ["--heartbeat-timeout", "2"];
    let _two = stack
        .worker("two", &[&["--slots", "2"], &soon_missed[..]].concat())
        .await?;
    let completed = submit_with_key(stack).await?;
    let failing = json!({"command": "echo try $TASKMASTER_ATTEMPT; exit 3", "max_attempts": 2});
    let failed = api.submit(&failing).await?;
    let hour = json!({"command": "true", "delay_seconds": 3600});
    let cancelled = api.submit(&hour).await?;
    let later = api.submit(&hour).await?;
    api.post(&format!("/api/v1/tasks/{cancelled}/cancel"), &Value::Null)
        .await?;
    let mut accepted = Accepted {
        later: later.clone(),
        ..Accepted::default()
    };
    for (id, status) in [
        (&completed, "completed"),
        (&failed, "failed"),
        (&cancelled, "cancelled"),
        (&later, "scheduled"),
    ] {
        accepted.as_they_were.push(api.wait(id, status).await?);
        let record = (api.output(id).await?, api.attempts(id).await?);
        accepted.records.push(record);
    }

    // Both slots, then the one slot of a worker that waits for an hour before it starts what it is given.
    let waits = format!("until test -e {}; do sleep 0.1; done", gate.display());
    accepted.running_once = api.submit(&json!({"command": waits})).await?;
    accepted.running = api
        .submit(&json!({"command": waits, "max_attempts": 2}))
        .await?;
    for id in [&accepted.running_once, &accepted.running] {
        api.wait(id, "running").await?;
    }
    let hesitates = [
        "--slots",
        "1",
        "--simulate",
        "--simulate-wait-ms",
        "3600000",
    ];
    let mut one = stack
        .worker("one", &[&hesitates[..], &soon_missed[..]].concat())
        .await?;
    accepted.assigned = api.submit(&json!({"command": "echo assigned"})).await?;
    api.wait(&accepted.assigned, "assigned").await?;
    accepted.due = api
        .submit_all(&vec![json!({"command": "echo due"}); 50])
        .await?;

    run(&DUMP, Some(file), stack.database_url()).await?;

    // This system goes on, and comes to its end by itself.
    for id in &accepted.due {
        assert_eq!(api.task(id).await?["status"], "scheduled");
    }
    std::fs::write(gate, "")?;
    one.signal(Signal::TERM)?;
    one.wait().await?;
    let ends = [
        &accepted.running_once,
        &accepted.running,
        &accepted.assigned,
    ];
    for id in accepted.due.iter().chain(ends) {
        api.wait(id, "completed").await?;
    }
    Ok(accepted)
}

#[tokio::test]
async fn what_was_accepted_reaches_its_end_after_a_restore() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (gate, file) = (folder.path().join("gate"), folder.path().join("backup"));
    let mut accepted = Accepted::default();
    Stack::run(TASKMASTER, async |stack| {
        accepted = fill_and_back_up(stack, &gate, &file).await?;
        Ok(())
    })
    .await?;

    let database = TestDatabase::create_empty().await?;
    let restore = [&RESTORE[..], &[file.to_str().context("no text")?]].concat();
    run(&restore, None, &database.url()).await?;

    // A prefix of its own: to these names RabbitMQ is as new as one that was set up again.
    Stack::run_on(TASKMASTER, database, async |stack| {
        let api = stack.api();
        for (task, (output, attempts)) in accepted.as_they_were.iter().zip(&accepted.records) {
            let id = task["id"].as_str().context("no id")?;
            assert_eq!(api.task(id).await?, *task);
            assert_eq!(api.output(id).await?, *output);
            assert_eq!(api.attempts(id).await?, *attempts);
        }
        assert_eq!(
            accepted.as_they_were[0]["id"],
            *submit_with_key(stack).await?
        );

        let _worker = stack.worker("new", &[]).await?;
        for id in accepted.due.iter().chain([&accepted.assigned]) {
            let task = api.wait(id, "completed").await?;
            assert_eq!(task["attempt"], 1, "{task}");
        }
        // Their worker is not there any more: that costs the attempt, and the only one is not started twice.
        let task = api.wait(&accepted.running, "completed").await?;
        assert_eq!(task["attempt"], 2, "{task}");
        let task = api.wait(&accepted.running_once, "failed").await?;
        let told = task["error_message"].as_str().unwrap_or_default();
        assert!(told.contains("two was lost"), "{task}");
        let later = format!("/api/v1/tasks/{}/cancel", accepted.later);
        assert_eq!(api.post(&later, &Value::Null).await?.0, 200);
        api.wait(&accepted.later, "cancelled").await?;

        let doctor = stack.command(&["doctor", "--json"]).output().await?;
        let found: Value = serde_json::from_slice(&doctor.stdout)?;
        assert_eq!(
            (doctor.status.code(), &found["healthy"]),
            (Some(0), &json!(true)),
            "{found:#}"
        );
        Ok(())
    })
    .await
}
