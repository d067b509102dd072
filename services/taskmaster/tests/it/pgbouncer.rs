//! Workers behind PgBouncer, as deploy/README.md has it: their connections are many, Postgres's are few. Coordinators
//! and the API connect to Postgres itself.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use taskmaster_testkit::sqlx::postgres::PgConnectOptions;
use taskmaster_testkit::sqlx::{self, Connection, PgConnection};
use taskmaster_testkit::{Process, Stack, eventually};
use tokio::process::Command;

use crate::TASKMASTER;

/// The first that tells prepared statements of several clients apart.
const KNOWS_PREPARED_STATEMENTS: (u32, u32) = (1, 21);
const WORKERS: usize = 8;
const INSTALLED: &str = "is PgBouncer installed? `cargo xtask setup` does it on Debian and Ubuntu";

fn pgbouncer() -> Command {
    let mut command = Command::new("pgbouncer");
    // Debian keeps it where not every user looks.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"));
    command
}

async fn version() -> Result<(u32, u32)> {
    let output = pgbouncer().arg("--version").output().await;
    let output = output.context(INSTALLED)?;
    let text = String::from_utf8(output.stdout)?;
    let numbers = text.split_whitespace().nth(1).context("no version")?;
    let mut numbers = numbers.split('.').map_while(|part| part.parse().ok());
    Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
}

/// Starts it in front of the stack's Postgres with these settings; returns how workers connect.
async fn start(stack: &Stack, settings: &str) -> Result<(Process, String)> {
    let options: PgConnectOptions = stack.database_url().parse()?;
    let (host, port, user) = (
        options.get_host(),
        options.get_port(),
        options.get_username(),
    );
    let database = options.get_database().context("no database")?;
    let password = stack
        .database_url()
        .split(['@', '?'])
        .next()
        .unwrap_or_default();
    let password = password
        .rsplit_once("://")
        .and_then(|(_, user)| user.split_once(':'));
    let password = password.map_or(String::new(), |(_, password)| {
        format!("password={password}")
    });
    let own_port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let configuration = format!(
        "[databases]\n\
         {database} = host={host} port={port} user={user} {password} \
             connect_query='set plan_cache_mode = force_custom_plan; set jit = off'\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own_port}\nunix_socket_dir =\nauth_type = any\n\
         ignore_startup_parameters = extra_float_digits\napplication_name_add_host = 1\n\
         max_client_conn = 500\n{settings}\n"
    );
    // Its own: it refuses to be root, and what it reads has a password.
    let folder = stack.folder().join("pgbouncer");
    fs::create_dir(&folder)?;
    let file = folder.join("pgbouncer.ini");
    fs::write(&file, configuration)?;
    let mut command = pgbouncer();
    if let Some(nobody) = nobody() {
        open(stack.folder())?;
        for path in [&folder, &file] {
            chown(path, Some(nobody), None)?;
        }
        command.args(["--user", "nobody"]);
    }
    command.arg(&file);
    let process =
        Process::spawn(command, &stack.folder().join("pgbouncer.log")).context(INSTALLED)?;
    let url = format!("postgres://{user}@127.0.0.1:{own_port}/{database}?sslmode=disable");
    eventually("PgBouncer answers", async || {
        Ok(match PgConnection::connect(&url).await {
            Ok(connection) => Ok(connection.close().await?),
            Err(error) => Err(format!("{error}\n{}", process.log())),
        })
    })
    .await?;
    Ok((process, url))
}

/// The id of the user `nobody`, where we are root.
fn nobody() -> Option<u32> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut line = users
        .lines()
        .find(|line| line.starts_with("nobody:"))?
        .split(':');
    let nobody = line.nth(2)?.parse().ok()?;
    rustix::process::geteuid().is_root().then_some(nobody)
}

fn open(folder: &Path) -> Result<()> {
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    Ok(fs::set_permissions(folder, open_to_all)?)
}

/// Eight workers with five connections each do what workers do; at most `most` connections reach Postgres for them.
async fn works(settings: &str, most: i64) -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let (bouncer, url) = start(stack, settings).await?;
        let options = ["--database-url", &url, "--database-connections", "5", "--heartbeat-timeout", "4"];
        let mut workers = Vec::new();
        for number in 0..WORKERS {
            workers.push(stack.worker(&format!("worker-{number}"), &options).await?);
        }
        let quick = json!({"command": "echo out"});
        let again = json!({"command": "exit $((TASKMASTER_ATTEMPT % 2))", "max_attempts": 2});
        let mut ids = stack.api().submit_all(&vec![quick; 400]).await?;
        ids.extend(stack.api().submit_all(&vec![again; 50]).await?);
        for id in &ids {
            stack.api().wait(id, "completed").await?;
        }
        assert_eq!(stack.api().output(&ids[0]).await?, "out\n");
        // A worker that dies is noticed, one that is drained ends.
        workers[0].kill().await?;
        let drain = stack.command(&["workers", "drain", "worker-1", "--wait"]).output().await?;
        ensure!(drain.status.success(), "{drain:?}");
        // PgBouncer keeps those for ten minutes that nobody uses: this is the most that there were at once.
        let reached: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and application_name like 'taskmaster - 127.0.0.1:%'",
        )
        .fetch_one(stack.pool())
        .await?;
        assert!((1..=most).contains(&reached), "{reached}\n{}", bouncer.log());
        for worker in &workers {
            assert!(!worker.log().contains("prepared statement"), "{}", worker.log());
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn with_a_session_for_each_connection() -> Result<()> {
    works("pool_mode = session\ndefault_pool_size = 100", 40).await
}

#[tokio::test]
#[ignore = "needs PgBouncer 1.21, which Debian 12 does not have"]
async fn with_a_transaction_for_each_connection() -> Result<()> {
    let version = version().await?;
    ensure!(
        version >= KNOWS_PREPARED_STATEMENTS,
        "this is PgBouncer {version:?}"
    );
    works(
        "pool_mode = transaction\nmax_prepared_statements = 200\ndefault_pool_size = 6",
        6,
    )
    .await
}
