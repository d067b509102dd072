//! `taskmaster doctor`: what it finds, what it repairs, and what it leaves alone.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskmaster_testkit::lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use taskmaster_testkit::lapin::types::FieldTable;
use taskmaster_testkit::lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use taskmaster_testkit::sqlx::{self, AssertSqlSafe};
use taskmaster_testkit::{Stack, TestDatabase, amqp_url, random_prefix};
use tokio::process::Command;

mod away;
mod broken;

use crate::TASKMASTER;
use crate::up::{data, folder, up};

/// A database and names in RabbitMQ that no service uses.
struct Installation {
    database: TestDatabase,
    prefix: String,
}

impl Installation {
    /// With the schema, and nothing in RabbitMQ yet.
    async fn new() -> Result<Self> {
        Ok(Self {
            database: TestDatabase::create().await?,
            prefix: random_prefix(),
        })
    }

    fn doctor(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(TASKMASTER);
        command
            .arg("doctor")
            .args(arguments)
            .env("DATABASE_URL", self.database.url())
            .env("AMQP_URL", amqp_url()?)
            .env("TASKMASTER_PREFIX", &self.prefix);
        Ok(command)
    }

    async fn look(&self) -> Result<Report> {
        report(self.doctor(&["--json"])?).await
    }

    async fn repair(&self) -> Result<Report> {
        report(self.doctor(&["--json", "--repair"])?).await
    }

    async fn execute(&self, statement: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(self.database.pool())
            .await?;
        Ok(())
    }
}

/// What it printed as JSON, with its exit code.
struct Report {
    code: Option<i32>,
    printed: Value,
}

async fn report(mut command: Command) -> Result<Report> {
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "");
    Ok(Report {
        code: output.status.code(),
        printed: serde_json::from_slice(&output.stdout)?,
    })
}

impl Report {
    fn checks(&self) -> &[Value] {
        self.printed["checks"].as_array().map_or(&[], Vec::as_slice)
    }

    fn check(&self, name: &str) -> Result<&Value> {
        let found = self.checks().iter().find(|check| check["check"] == name);
        found.with_context(|| format!("no {name} in {:#}", self.printed))
    }

    fn status(&self, name: &str) -> Result<&str> {
        self.check(name)?["status"].as_str().context("no status")
    }

    /// The checks with this status.
    fn with(&self, status: &str) -> Vec<&str> {
        let checks = self.checks().iter();
        checks
            .filter(|check| check["status"] == status)
            .filter_map(|check| check["check"].as_str())
            .collect()
    }

    fn assert_healthy(&self) {
        assert_eq!(self.with("problem"), [""; 0], "{:#}", self.printed);
        assert_eq!(self.code, Some(0));
        assert_eq!(self.printed["healthy"], true);
    }

    /// That these are problems and nothing else is.
    fn assert_problems(&self, expected: &[&str]) {
        assert_eq!(self.with("problem"), expected, "{:#}", self.printed);
        assert_eq!(self.code, Some(1));
        assert_eq!(self.printed["healthy"], false);
    }
}

#[tokio::test]
async fn a_system_that_works() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        // Somebody leads, and everybody is connected.
        let id = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&id, "completed").await?;
        let report = report(stack.command(&["doctor", "--json"])).await?;
        report.assert_healthy();
        assert_eq!(report.with("skipped"), [""; 0]);
        // The server is a matter of whoever runs the tests.
        for warned in report.with("warning") {
            assert!(["durability", "connections"].contains(&warned), "{warned}");
        }
        let queue = format!("{}.worker.worker-1", stack.prefix());
        let expected = json!({
            "area": "rabbitmq", "check": queue, "status": "ok", "found": "0 messages, 1 consumer",
            "advice": null, "repairable": false,
        });
        assert_eq!(*report.check(&queue)?, expected);
        let postgres = report.checks().iter().filter(|it| it["area"] == "postgres");
        assert_eq!(postgres.count(), 14, "{:#}", report.printed);

        let output = stack.command(&["doctor"]).output().await?;
        let printed = String::from_utf8(output.stdout)?;
        assert_eq!(output.status.code(), Some(0), "{printed}");
        let lines: Vec<&str> = printed.lines().collect();
        assert!(lines[0].starts_with("Postgres at "), "{printed}");
        let worker = lines.iter().find(|line| line.contains(&queue));
        assert!(
            worker.is_some_and(|line| line.starts_with("  ok ")),
            "{printed}"
        );
        assert!(lines[lines.len() - 1].starts_with("healthy"), "{printed}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_addresses_of_up_are_those_in_its_folder() -> Result<()> {
    let folder = folder()?;
    let up = up(folder.path(), &["--workers", "2"]).await?;
    let mut command = Command::new("sh");
    // As the README says it.
    let script =
        ". \"$0/connections.env\" && export DATABASE_URL AMQP_URL && exec \"$1\" doctor --json";
    command
        .args(["-c", script])
        .arg(data(&folder))
        .arg(TASKMASTER);
    command.env_remove("DATABASE_URL").env_remove("AMQP_URL");
    let report = report(command).await?;
    report.assert_healthy();
    for queue in ["taskmaster.submissions", "taskmaster.worker.worker-2"] {
        assert_eq!(report.status(queue)?, "ok");
    }
    up.interrupt().await?;
    Ok(())
}

#[tokio::test]
async fn what_was_never_set_up_is_set_up_only_when_asked() -> Result<()> {
    let installation = Installation {
        database: TestDatabase::create_empty().await?,
        prefix: random_prefix(),
    };
    let shared =
        ["events", "submissions", "rejected"].map(|name| format!("{}.{name}", installation.prefix));
    let mut broken = vec!["migrations"];
    broken.extend(shared.iter().map(String::as_str));
    for _ in 0..2 {
        let report = installation.look().await?;
        report.assert_problems(&broken);
        for check in &broken {
            assert_eq!(report.check(check)?["repairable"], true, "{check}");
        }
        assert_eq!(report.status("workers")?, "skipped");
    }
    let report = installation.repair().await?;
    report.assert_healthy();
    assert_eq!(report.with("repaired"), broken);
    let report = installation.look().await?;
    report.assert_healthy();
    assert_eq!(report.with("repaired"), [""; 0]);
    assert_eq!(report.with("skipped"), ["worker-queues"]);
    Ok(())
}

#[tokio::test]
async fn a_partition_that_is_missing_is_made_and_takes_its_rows_back() -> Result<()> {
    let installation = Installation::new().await?;
    installation.repair().await?.assert_healthy();
    installation
        .execute(
            "do $$ begin execute 'drop table output_' || to_char(now() at time zone 'UTC', 'YYYYMMDD'); end $$;
             insert into output (task_id, lease, seq, attempt, stream, data)
             values (gen_random_uuid(), 1, 0, 1, 'stdout', 'x')",
        )
        .await?;
    let report = installation.look().await?;
    report.assert_problems(&["partitions"]);
    let found = report.check("partitions")?["found"].to_string();
    assert!(
        found.contains("output_") && found.contains("1 row"),
        "{found}"
    );
    let report = installation.repair().await?;
    report.assert_healthy();
    assert_eq!(report.with("repaired"), ["partitions"]);
    let left: i64 = sqlx::query_scalar("select count(*) from output_default")
        .fetch_one(installation.database.pool())
        .await?;
    assert_eq!(left, 0);
    Ok(())
}

#[tokio::test]
async fn a_schema_that_is_newer_is_left_alone() -> Result<()> {
    let installation = Installation::new().await?;
    installation.repair().await?.assert_healthy();
    installation
        .execute(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (99991231000001, 'from the future', true, '', 0)",
        )
        .await?;
    let report = installation.repair().await?;
    report.assert_problems(&["migrations"]);
    let found = report.check("migrations")?["found"].to_string();
    assert!(found.contains("99991231000001"), "{found}");
    Ok(())
}

#[tokio::test]
async fn tasks_that_nobody_gives_out_and_a_worker_that_does_not_listen() -> Result<()> {
    let installation = Installation::new().await?;
    installation.repair().await?.assert_healthy();
    // A worker that Postgres believes in and that has no queue, and a task that is due.
    installation
        .execute(
            "insert into workers (name, incarnation, status, slots, claim_window, host, pid, version,
                heartbeat_timeout_seconds)
             values ('deaf', gen_random_uuid(), 'online', 4, 4, 'here', 1, '1', 3600);
             insert into tasks (id, command, scheduled_at) values (gen_random_uuid(), 'true', now() - interval '5 m')",
        )
        .await?;
    let queue = format!("{}.worker.deaf", installation.prefix);
    let broken = ["leader", "waiting", queue.as_str()];
    installation.look().await?.assert_problems(&broken);
    let report = installation.repair().await?;
    report.assert_problems(&broken);
    let found = report.check(&queue)?["found"].to_string();
    assert!(found.contains("0 consumers"), "it is there now: {found}");
    Ok(())
}

async fn channel() -> Result<(Connection, Channel)> {
    let connection = Connection::connect(&amqp_url()?, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok((connection, channel))
}

#[tokio::test]
async fn a_queue_of_another_kind_is_replaced_when_it_is_empty() -> Result<()> {
    let installation = Installation::new().await?;
    let (_connection, channel) = channel().await?;
    let queue = format!("{}.submissions", installation.prefix);
    // As by a producer that came first.
    let durable = QueueDeclareOptions::durable();
    channel
        .queue_declare(queue.as_str().into(), durable, FieldTable::default())
        .await?;
    installation.look().await?.assert_problems(&[
        &format!("{}.events", installation.prefix),
        &queue,
        &format!("{}.rejected", installation.prefix),
    ]);
    channel
        .basic_publish(
            "".into(),
            queue.as_str().into(),
            BasicPublishOptions::default(),
            b"{}",
            BasicProperties::default(),
        )
        .await?
        .await?;
    let report = installation.repair().await?;
    report.assert_problems(&[&queue]);
    assert_eq!(report.check(&queue)?["repairable"], false);
    let advice = report.check(&queue)?["advice"].to_string();
    assert!(advice.contains("rabbitmqctl delete_queue"), "{advice}");

    let taking = BasicGetOptions { no_ack: true };
    let kept = channel.basic_get(queue.as_str().into(), taking).await?;
    assert_eq!(kept.context("the message is gone")?.delivery.data, b"{}");
    let report = installation.repair().await?;
    report.assert_healthy();
    assert_eq!(report.with("repaired"), [queue.as_str()]);
    installation.look().await?.assert_healthy();
    Ok(())
}

#[tokio::test]
async fn submissions_that_were_not_valid_are_a_warning() -> Result<()> {
    let installation = Installation::new().await?;
    installation.repair().await?.assert_healthy();
    let (_connection, channel) = channel().await?;
    let queue = format!("{}.rejected", installation.prefix);
    channel
        .basic_publish(
            "".into(),
            queue.as_str().into(),
            BasicPublishOptions::default(),
            b"x",
            BasicProperties::default(),
        )
        .await?
        .await?;
    let report = installation.look().await?;
    report.assert_healthy();
    assert_eq!(report.status(&queue)?, "warning");
    let advice = report.check(&queue)?["advice"].to_string();
    assert!(advice.contains("x-taskmaster-reason"), "{advice}");
    Ok(())
}
