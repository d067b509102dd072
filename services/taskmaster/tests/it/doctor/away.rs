//! Postgres or RabbitMQ cannot be used: the other one is looked at all the same, and no password is shown.

use anyhow::{Context, Result};
use secrecy::ExposeSecret;
use taskmaster_embedded::{Durability, Postgres, PostgresConfig, StopMode};
use taskmaster_testkit::amqp_url;

use super::{Installation, Report, report};
use crate::up::{data, folder};

/// Nothing that is printed, in either form, has the password in it.
async fn keeps_the_secret(
    installation: &Installation,
    variable: &str,
    url: &str,
) -> Result<Report> {
    let output = installation
        .doctor(&[])?
        .env(variable, url)
        .output()
        .await?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!said.contains("s3cret"), "{said}");
    let mut command = installation.doctor(&["--json"])?;
    command.env(variable, url);
    let report = report(command).await?;
    assert!(!report.printed.to_string().contains("s3cret"));
    Ok(report)
}

#[tokio::test]
async fn postgres_away_does_not_hide_rabbitmq() -> Result<()> {
    let installation = Installation::new().await?;
    installation.repair().await?.assert_healthy();
    for url in ["postgres://me:s3cret@127.0.0.1:1/x", "s3cret"] {
        let report = keeps_the_secret(&installation, "DATABASE_URL", url).await?;
        report.assert_problems(&["reachable"]);
        assert_eq!(report.check("reachable")?["area"], "postgres");
        let advice = report.check("reachable")?["advice"].to_string();
        assert!(advice.contains("DATABASE_URL"), "{advice}");
        assert_eq!(report.with("skipped").len(), 14, "{:#}", report.printed);
        let queue = format!("{}.submissions", installation.prefix);
        assert_eq!(report.status(&queue)?, "ok");
    }
    Ok(())
}

#[tokio::test]
async fn rabbitmq_away_does_not_hide_postgres() -> Result<()> {
    let installation = Installation::new().await?;
    installation.repair().await?.assert_healthy();
    let real = amqp_url()?;
    let (_, place) = real.split_once('@').context("no user in the URL")?;
    for url in [
        "amqp://me:s3cret@127.0.0.1:1/%2f",
        &format!("amqp://guest:s3cret@{place}"),
        "s3cret",
    ] {
        let report = keeps_the_secret(&installation, "AMQP_URL", url).await?;
        report.assert_problems(&["reachable"]);
        let broken = report.checks().iter().find(|it| it["status"] == "problem");
        let broken = broken.context("no problem")?;
        assert_eq!(broken["area"], "rabbitmq");
        assert!(
            broken["advice"].to_string().contains("AMQP_URL"),
            "{broken}"
        );
        let queue = format!("{}.submissions", installation.prefix);
        assert_eq!(report.status(&queue)?, "skipped");
        assert_eq!(report.status("partitions")?, "ok");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_of_postgres_is_refused_and_not_shown() -> Result<()> {
    let installation = Installation::new().await?;
    let folder = folder()?;
    let config = PostgresConfig {
        durability: Durability::Throwaway,
        ..PostgresConfig::new(data(&folder))
    };
    let postgres = Postgres::start(config).await?;
    let right = postgres.url().expose_secret().to_owned();
    let (_, place) = right.split_once('@').context("no user in the URL")?;
    let wrong = format!("postgres://taskmaster:s3cret@{place}");
    let report = keeps_the_secret(&installation, "DATABASE_URL", &wrong).await?;
    let found = report.check("reachable")?["found"].to_string();
    assert!(found.contains("password authentication failed"), "{found}");
    postgres.stop(StopMode::Immediate).await;
    Ok(())
}
