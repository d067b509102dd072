//! What of Postgres's handling needs no server.

use std::fs;

use super::*;

#[test]
fn a_pid_file_counts_only_when_it_is_ours_and_says_ready() {
    let data = tempfile::tempdir().unwrap();
    let write = |pid: u32, status: &str| {
        let text = format!("{pid}\n/data\n1\n5432\n\n127.0.0.1\n 1 2\n{status}\n");
        fs::write(data.path().join("postmaster.pid"), text).unwrap();
    };
    assert!(!cluster::says_ready(data.path(), 7));
    write(7, "starting");
    assert!(!cluster::says_ready(data.path(), 7));
    write(7, "ready   ");
    assert!(cluster::says_ready(data.path(), 7));
    assert!(!cluster::says_ready(data.path(), 8));
}

#[cfg(target_os = "linux")]
#[test]
fn only_another_programs_pid_is_forgotten() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("postmaster.pid");
    let mut server = std::process::Command::new("sleep")
        .arg("600")
        .current_dir(data.path())
        .spawn()
        .unwrap();
    fs::write(&file, format!("{}\n", server.id())).unwrap();
    cluster::forget_stale_pid(data.path());
    assert!(
        file.exists(),
        "it works in that folder, so it may be the server"
    );
    server.kill().unwrap();
    server.wait().unwrap();

    fs::write(&file, format!("{}\n", std::process::id())).unwrap();
    cluster::forget_stale_pid(data.path());
    assert!(!file.exists(), "we are no server");
}
