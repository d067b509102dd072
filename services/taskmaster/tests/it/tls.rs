//! Postgres and RabbitMQ over TLS, with an authority of one's own: all services, and what is refused.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskmaster_testkit::sqlx::{self, AssertSqlSafe, Connection, PgConnection};
use taskmaster_testkit::{PrivateServers, Stack, eventually, open_folder};

use crate::TASKMASTER;
use crate::certificates::Certificates;

/// Switches TLS on in a running Postgres.
async fn encrypt(
    servers: &PrivateServers,
    folder: &Path,
    certificates: &Certificates,
) -> Result<()> {
    // Postgres takes no key that others can read, and may run as another user than we do.
    let key = folder.join("postgres.key");
    fs::copy(certificates.key(), &key)?;
    fs::set_permissions(&key, Permissions::from_mode(0o600))?;
    let owner = fs::metadata(folder.join("postgres/data"))?;
    chown(&key, Some(owner.uid()), Some(owner.gid()))?;
    let url = servers.database_url();
    let mut connection = PgConnection::connect(&url).await?;
    for statement in [
        format!(
            "alter system set ssl_cert_file = '{}'",
            certificates.certificate()
        ),
        format!("alter system set ssl_key_file = '{}'", key.display()),
        "alter system set ssl = on".to_owned(),
        "select pg_reload_conf()".to_owned(),
    ] {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        statement.execute(&mut connection).await?;
    }
    eventually("Postgres offers TLS", async || {
        let mut connection = PgConnection::connect(&url).await?;
        let own = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let encrypted: bool = sqlx::query_scalar(own).fetch_one(&mut connection).await?;
        Ok(encrypted
            .then_some(())
            .ok_or_else(|| servers.postgres.log().display().to_string()))
    })
    .await
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What doctor finds about a server that it cannot reach by this address.
async fn refusal(stack: &Stack, variable: &str, url: &str) -> Result<String> {
    let mut doctor = stack.command(&["doctor", "--json"]);
    let output = doctor.env(variable, url).output().await?;
    ensure!(output.status.code() == Some(1), "{url}: {output:?}");
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let checks = found["checks"].as_array().context("no checks")?;
    let mut problems = checks.iter().filter(|check| check["status"] == "problem");
    let problem = problems.next().context("no problem")?;
    Ok(problem["found"].to_string())
}

#[tokio::test]
async fn with_an_authority_of_ones_own() -> Result<()> {
    let folder = open_folder()?;
    let tls = folder.path().join("tls");
    let certificates = Certificates::make(&tls).await?;
    // RabbitMQ reads it as its own user and does not mind.
    fs::set_permissions(certificates.key(), Permissions::from_mode(0o644))?;
    let port = free_port()?;
    let setting = |name: &str, value: String| (name.to_owned(), value);
    let rabbitmq = vec![
        setting("listeners.ssl.local", format!("127.0.0.1:{port}")),
        setting("ssl_options.cacertfile", certificates.authority()),
        setting("ssl_options.certfile", certificates.certificate()),
        setting("ssl_options.keyfile", certificates.key()),
    ];
    let servers = PrivateServers::start_with(folder.path(), Vec::new(), rabbitmq).await?;
    encrypt(&servers, folder.path(), &certificates).await?;

    let plain_port = servers.rabbitmq.port().to_string();
    let postgres = servers.database_url();
    let rabbitmq = servers
        .amqp_url()
        .replace("amqp://", "amqps://")
        .replace(&plain_port, &port.to_string());
    let (named_postgres, named_rabbitmq) = (
        postgres.replace("127.0.0.1", "localhost"),
        rabbitmq.replace("127.0.0.1", "localhost"),
    );
    let full = "sslmode=verify-full";
    let authority = certificates.authority();
    let urls = (
        format!("{named_postgres}?{full}&sslrootcert={authority}"),
        format!("{named_rabbitmq}?cacertfile={authority}"),
    );
    Stack::run_at(TASKMASTER, folder, servers, urls, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let id = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&id, "completed").await?;
        let plain: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity join pg_stat_ssl using (pid)
             where application_name = 'taskmaster' and not ssl",
        )
        .fetch_one(stack.pool())
        .await?;
        assert_eq!(plain, 0);
        let doctor = stack.command(&["doctor", "--json"]).output().await?;
        assert_eq!(doctor.status.code(), Some(0), "{doctor:?}");

        let nowhere = tls.join("nowhere.crt").display().to_string();
        let no_certificate = certificates.key();
        for (variable, url, expected) in [
            (
                "DATABASE_URL",
                format!("{named_postgres}?{full}"),
                "UnknownIssuer",
            ),
            (
                "DATABASE_URL",
                format!("{postgres}?{full}&sslrootcert={authority}"),
                "not valid for",
            ),
            (
                "DATABASE_URL",
                format!("{named_postgres}?{full}&sslrootcert={nowhere}"),
                "No such file",
            ),
            ("AMQP_URL", named_rabbitmq.clone(), "UnknownIssuer"),
            (
                "AMQP_URL",
                format!("{rabbitmq}?cacertfile={authority}"),
                "not valid for",
            ),
            (
                "AMQP_URL",
                format!("{named_rabbitmq}?cacertfile={nowhere}"),
                "nowhere.crt cannot be read",
            ),
            (
                "AMQP_URL",
                format!("{named_rabbitmq}?cacertfile={no_certificate}"),
                "no certificate in PEM",
            ),
        ] {
            let found = refusal(stack, variable, &url).await?;
            assert!(found.contains(expected), "{url}: {found}");
        }
        Ok(())
    })
    .await
}
