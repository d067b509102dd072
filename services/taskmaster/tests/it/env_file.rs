//! `deploy/env.sh`, which makes the passwords that `docker-compose.yml` takes from `.env`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};

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
    fs::write(&file, "POSTGRES_PASSWORD=\n")?;
    let output = run(folder.path())?;
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("left as it is"));
    assert_eq!(fs::read_to_string(file)?, "POSTGRES_PASSWORD=\n");
    Ok(())
}
