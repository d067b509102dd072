//! What cannot work is said in one line that tells what to do, and never shows a password.

use anyhow::Result;
use tokio::process::Command;

use crate::TASKMASTER;
use crate::up::{data, folder, up_command};

async fn refused(mut command: Command, told: &[&str]) -> Result<()> {
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let errors: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{said}");
    for told in told {
        assert!(errors[0].contains(told), "no {told:?} in {said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken() -> Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let folder = folder()?;
    let mut command = Command::new(TASKMASTER);
    command
        .args(["up", "--listen", &address, "--data-dir"])
        .arg(data(&folder));
    command.env_remove("DATABASE_URL").env_remove("AMQP_URL");
    refused(command, &[&address, "--listen"]).await
}

#[tokio::test]
async fn no_postgres_or_no_rabbitmq_to_be_found() -> Result<()> {
    for (variable, what) in [
        ("TASKMASTER_POSTGRES_BIN", "PostgreSQL"),
        ("TASKMASTER_RABBITMQ_SERVER", "RabbitMQ"),
    ] {
        let folder = folder()?;
        let mut command = up_command(&data(&folder), &[]);
        command.env(variable, "/nowhere");
        refused(command, &[what, "/nowhere", variable]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_not_there() -> Result<()> {
    let mut command = Command::new(TASKMASTER);
    command.arg("migrate").env(
        "DATABASE_URL",
        "postgres://someone:s3cret@127.0.0.1:1/taskmaster",
    );
    refused(command, &["DATABASE_URL", "127.0.0.1:1"]).await?;

    let folder = folder()?;
    let mut command = up_command(&data(&folder), &[]);
    command.env(
        "DATABASE_URL",
        "postgres://someone:s3cret@127.0.0.1:1/taskmaster",
    );
    command.env("AMQP_URL", "amqp://someone:s3cret@127.0.0.1:1/");
    refused(command, &["DATABASE_URL"]).await
}

#[tokio::test]
async fn an_address_that_cannot_be_read() -> Result<()> {
    let mut command = Command::new(TASKMASTER);
    command.arg("migrate").env("DATABASE_URL", "s3cret");
    refused(command, &["DATABASE_URL"]).await?;
    let mut command = Command::new(TASKMASTER);
    command
        .args(["coordinator"])
        .env("DATABASE_URL", "postgres://127.0.0.1:1/x")
        .env("AMQP_URL", "bob:s3cret");
    refused(command, &["amqp://"]).await
}
