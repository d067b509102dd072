//! `deploy/env.sh`, which makes the passwords that `docker-compose.yml` takes from `.env`, and what can be set there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use serde_json::json;
use taskmaster_testkit::{Process, Stack};

use crate::TASKMASTER;

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A checkout with only what the script needs.
fn checkout() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("deploy"))?;
    for file in ["deploy/env.sh", ".env.example"] {
        fs::copy(Path::new(CHECKOUT).join(file), folder.path().join(file))?;
    }
    Ok(folder)
}

fn run(checkout: &Path) -> Result<Output> {
    // From elsewhere: it finds its checkout by itself.
    let mut command = Command::new("sh");
    let command = command.arg(checkout.join("deploy/env.sh")).current_dir("/");
    command.output().context("cannot start sh")
}

fn password(env: &str, name: &str) -> Result<String> {
    let start = format!("{name}_PASSWORD=");
    let lines: Vec<_> = env
        .lines()
        .filter_map(|line| line.strip_prefix(&start))
        .collect();
    let [password] = lines[..] else {
        anyhow::bail!("{} lines of {start}", lines.len());
    };
    Ok(password.to_owned())
}

#[test]
fn passwords_are_made_once_and_for_their_owner_only() -> Result<()> {
    let (one, other) = (checkout()?, checkout()?);
    let mut passwords = Vec::new();
    for folder in [&one, &other] {
        let output = run(folder.path())?;
        assert!(output.status.success(), "{output:?}");
        let file = folder.path().join(".env");
        assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600);
        let env = fs::read_to_string(file)?;
        for name in ["POSTGRES", "RABBITMQ"] {
            let password = password(&env, name)?;
            // They become parts of addresses, and 144 bits of chance are enough.
            assert_eq!(password.len(), 36, "{name}");
            assert!(password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let said = [&output.stdout[..], &output.stderr].concat();
            assert!(!String::from_utf8_lossy(&said).contains(&password));
            passwords.push(password);
        }
    }
    passwords.sort();
    passwords.dedup();
    assert_eq!(passwords.len(), 4);
    Ok(())
}

#[test]
fn what_is_there_is_left_as_it_is() -> Result<()> {
    let folder = checkout()?;
    let file = folder.path().join(".env");
    for (env, code, said) in [
        (
            "POSTGRES_PASSWORD=a\nRABBITMQ_PASSWORD='b'\n",
            0,
            "left as it is",
        ),
        ("POSTGRES_PASSWORD=\n", 1, "fill in both passwords in .env"),
        (
            "POSTGRES_PASSWORD=a\n#RABBITMQ_PASSWORD=b\n",
            1,
            "fill in both passwords in .env",
        ),
        (
            "POSTGRES_PASSWORD=\"\"\nRABBITMQ_PASSWORD=b\n",
            1,
            "fill in both passwords in .env",
        ),
    ] {
        fs::write(&file, env)?;
        let output = run(folder.path())?;
        assert_eq!(output.status.code(), Some(code), "{env}: {output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(said), "{env}: {error}");
        assert_eq!(fs::read_to_string(&file)?, env);
    }
    Ok(())
}

#[test]
fn a_script_that_fails_leaves_no_half_of_it() -> Result<()> {
    let folder = checkout()?;
    fs::remove_file(folder.path().join(".env.example"))?;
    assert!(!run(folder.path())?.status.success());
    for left in [".env", ".env.new"] {
        assert!(!folder.path().join(left).exists(), "{left}");
    }
    Ok(())
}

/// What is said by a command that takes all of the example's values, these ones over them, and no address.
fn said(arguments: &[&str], variables: &[(&str, &str)]) -> Result<String> {
    let example = fs::read_to_string(Path::new(CHECKOUT).join(".env.example"))?;
    let set = example
        .lines()
        .filter_map(|line| line.strip_prefix("#TASKMASTER_")?.split_once('='))
        .map(|(name, value)| (format!("TASKMASTER_{name}"), value));
    let mut command = Command::new(TASKMASTER);
    command.args(arguments).envs(set).envs(variables.to_vec());
    command.env_remove("DATABASE_URL").env_remove("AMQP_URL");
    Ok(String::from_utf8(command.output()?.stderr)?)
}

#[test]
fn the_services_take_what_the_example_has() -> Result<()> {
    for simulate in ["0", "1", "", "true", "false"] {
        for service in ["worker", "api", "coordinator"] {
            let said = said(&[service], &[("TASKMASTER_SIMULATE", simulate)])?;
            // An address is looked for after each value has been read.
            let expected = "the following required arguments were not provided";
            assert!(said.contains(expected), "{service} {simulate:?}: {said}");
        }
        let up = ["up", "--data-dir", "/dev/null/nowhere"];
        let said = said(&up, &[("TASKMASTER_SIMULATE", simulate)])?;
        assert!(
            said.starts_with("error: ") && said.contains("/dev/null"),
            "up {simulate:?}: {said}"
        );
    }
    let said = said(&["worker"], &[("TASKMASTER_SLOTS", "many")])?;
    assert!(said.contains("invalid value 'many'"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_worker_is_told_to_simulate_by_the_number_one() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let mut command = stack.command(&[
            "worker",
            "--simulate-wait-ms",
            "0",
            "--simulate-run-ms",
            "0",
        ]);
        command.env("TASKMASTER_SIMULATE", "1");
        let _worker = Process::spawn(command, &stack.folder().join("worker.log"))?;
        let id = stack.api().submit(&json!({"command": "exit 3"})).await?;
        stack.api().wait(&id, "completed").await?;
        Ok(())
    })
    .await
}
