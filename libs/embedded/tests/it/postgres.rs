//! Postgres: its data, its port, its ends, and what it refuses.

use std::{
    fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use secrecy::{ExposeSecret, SecretString};
use taskmaster_embedded::{Durability, Error, Postgres, PostgresConfig, StopMode};

use crate::{
    folder,
    processes::{LOOPBACK, family, gone, listens, runs},
};

fn config(folder: &Path) -> PostgresConfig {
    let mut config = PostgresConfig::new(folder.join("postgres"));
    config.durability = Durability::Throwaway;
    config
}

/// Runs one statement and returns what it prints.
fn psql(url: &SecretString, sql: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args([url.expose_secret(), "-Atqc", sql])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

#[tokio::test]
async fn keeps_data_and_port_from_start_to_start() {
    let folder = folder();
    let first = Postgres::start(config(folder.path())).await.unwrap();
    let (url, port) = (first.url(), first.port());
    psql(&url, "create table kept as select 'ä€' as text").unwrap();
    let encoding = psql(
        &url,
        "select pg_encoding_to_char(encoding), datcollate from pg_database where datname = current_database()",
    );
    assert_eq!(encoding.unwrap(), "UTF8|C.UTF-8");
    assert_eq!(psql(&url, "show fsync").unwrap(), "off");
    assert_eq!(psql(&url, "show unix_socket_directories").unwrap(), "");
    assert_eq!(listens(port), [LOOPBACK]);

    let processes = family(first.pid().unwrap());
    assert!(processes.len() > 3, "{processes:?}");
    let exited = first.exited();
    first.stop(StopMode::Fast).await;
    assert!(exited.await.success());
    assert_eq!(first.pid(), None);
    gone(&processes).await;
    drop(first);

    let second = Postgres::start(config(folder.path())).await.unwrap();
    assert_eq!(second.port(), port);
    assert_eq!(psql(&second.url(), "select text from kept").unwrap(), "ä€");
    second.stop(StopMode::Fast).await;
}

#[tokio::test]
async fn asks_for_its_password_and_keeps_it_to_itself() {
    let folder = folder();
    let postgres = Postgres::start(config(folder.path())).await.unwrap();
    let url = postgres.url();
    let password = url.expose_secret().split([':', '@']).nth(2).unwrap();
    let wrong = SecretString::from(url.expose_secret().replace(password, "wrong"));
    let refused = psql(&wrong, "select 1").unwrap_err();
    assert!(
        refused.contains("password authentication failed"),
        "{refused}"
    );

    let mut files = vec![folder.path().join("postgres")];
    while let Some(file) = files.pop() {
        let metadata = fs::metadata(&file).unwrap();
        if metadata.is_dir() {
            files.extend(
                fs::read_dir(&file)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if fs::read_to_string(&file).is_ok_and(|text| text.contains(password)) {
            assert_eq!(
                metadata.permissions().mode() & 0o077,
                0,
                "{} can be read by others",
                file.display()
            );
        }
    }
    let arguments =
        fs::read_to_string(format!("/proc/{}/cmdline", postgres.pid().unwrap())).unwrap();
    assert!(!arguments.contains(password));
    postgres.stop(StopMode::Immediate).await;
}

#[tokio::test]
async fn comes_back_after_a_crash() {
    let folder = folder();
    let postgres = Postgres::start(config(folder.path())).await.unwrap();
    psql(&postgres.url(), "create table kept (n int)").unwrap();
    let port = postgres.port();
    for n in 1..=2 {
        psql(&postgres.url(), &format!("insert into kept values ({n})")).unwrap();
        let exited = postgres.exited();
        match n {
            1 => postgres.kill().await,
            _ => postgres.stop(StopMode::Immediate).await,
        }
        exited.await;
        assert_eq!(postgres.pid(), None);
        psql(&postgres.url(), "select 1").unwrap_err();
        postgres.restart().await.unwrap();
        assert_eq!(postgres.port(), port);
        assert_eq!(
            psql(&postgres.url(), "select count(*) from kept").unwrap(),
            n.to_string()
        );
    }
    // Its owner forgets it.
    let (processes, exited) = (family(postgres.pid().unwrap()), postgres.exited());
    drop(postgres);
    exited.await;
    gone(&processes).await;
}

#[tokio::test]
async fn is_not_deceived_by_a_stale_pid_file() {
    let folder = folder();
    let postgres = Postgres::start(config(folder.path())).await.unwrap();
    postgres.kill().await;
    drop(postgres);
    // The crashed server's pid now belongs to another program of the same user, which Postgres alone would take for itself.
    let data = folder.path().join("postgres/data");
    let owner = fs::metadata(&data).unwrap();
    let mut command = Command::new("sleep");
    command
        .arg("60")
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let mut other = command.spawn().unwrap();
    let file = data.join("postmaster.pid");
    let text = fs::read_to_string(&file).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&file, format!("{}\n{rest}", other.id())).unwrap();

    let postgres = Postgres::start(config(folder.path())).await.unwrap();
    assert!(runs(other.id()), "another's process is not ours to end");
    postgres.stop(StopMode::Immediate).await;
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn refuses_what_cannot_work_and_says_why() {
    let folder = folder();
    let postgres = Postgres::start(config(folder.path())).await.unwrap();
    let refused = |error: Error, wants: &[&str]| {
        let text = error.to_string();
        assert!(!text.contains('\n'), "{text}");
        for want in wants {
            assert!(text.contains(want), "`{want}` is not in: {text}");
        }
    };

    let error = Postgres::start(config(folder.path())).await.unwrap_err();
    let pid = std::process::id().to_string();
    refused(error, &["in use", &pid, "--data-dir"]);
    psql(&postgres.url(), "select 1").unwrap();
    postgres.stop(StopMode::Fast).await;
    drop(postgres);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut wants_port = config(folder.path());
    wants_port.port = Some(taken.local_addr().unwrap().port());
    refused(
        Postgres::start(wants_port).await.unwrap_err(),
        &["taken", &taken.local_addr().unwrap().port().to_string()],
    );

    let mut nonsense = config(folder.path());
    nonsense.settings = vec![("max_connections".to_owned(), "many".to_owned())];
    refused(
        Postgres::start(nonsense).await.unwrap_err(),
        &["max_connections", "postgres.log"],
    );

    fs::write(folder.path().join("postgres/data/PG_VERSION"), "9.6\n").unwrap();
    refused(
        Postgres::start(config(folder.path())).await.unwrap_err(),
        &["9.6", "--data-dir"],
    );

    if rustix::process::geteuid().is_root() {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        refused(
            Postgres::start(config(folder.path())).await.unwrap_err(),
            &["postgres", "root", "--data-dir"],
        );
    }
}
