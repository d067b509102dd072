//! Looking at processes from the outside, by `/proc`.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Waits until every one of these processes is gone (a zombie that nobody reaps counts as gone).
pub(crate) async fn gone(pids: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let left: Vec<u32> = pids.iter().copied().filter(|pid| runs(*pid)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still running: {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the process is there and no zombie.
pub(crate) fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z")
}

/// The process and all its descendants.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(child) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        if let Some(fields) = stat(child) {
            children
                .entry(fields[1].parse().unwrap())
                .or_default()
                .push(child);
        }
    }
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(pid) = family.get(next).copied() {
        family.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    family
}

/// The process's group.
pub(crate) fn group(pid: u32) -> u32 {
    stat(pid).unwrap()[2].parse().unwrap()
}

/// The addresses that something listens on at this port, as `/proc/net/tcp` writes them.
pub(crate) fn listens(port: u16) -> Vec<String> {
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if !Path::new(table).exists() {
            continue;
        }
        for line in fs::read_to_string(table).unwrap().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, its_port) = fields[1].split_once(':').unwrap();
            if fields[3] == "0A" && u16::from_str_radix(its_port, 16).unwrap() == port {
                found.push(address.to_owned());
            }
        }
    }
    found
}

/// 127.0.0.1 as `/proc/net/tcp` writes it.
pub(crate) const LOOPBACK: &str = "0100007F";

/// State, parent, group, and what follows in `/proc/PID/stat`.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(
        text.rsplit_once(')')?
            .1
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    )
}
