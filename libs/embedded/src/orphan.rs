//! Servers that outlived their owner. After a SIGKILL of the owner its servers are still shutting down for a moment, and
//! a second server on the same data would corrupt it: so each start first sees off what the last owner left.
//!
//! A process is known by its pid and its start time, written down when it was started: a pid alone may be someone else's by now.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long an orphan may take to stop by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes down which process this is.
pub(crate) fn record(file: &Path, pid: u32) -> io::Result<()> {
    // Anew: an earlier start may have been another user's.
    fs::remove_file(file).ok();
    fs::write(
        file,
        format!("{pid} {}\n", started(pid).unwrap_or_default()),
    )
}

/// Ends the process written down in `file`, if it still runs, and waits until it is gone.
pub(crate) async fn end(file: &Path, signal: Signal) {
    let Some((pid, start)) = fs::read_to_string(file).ok().and_then(|text| parse(&text)) else {
        return;
    };
    let runs = || started(pid).is_some_and(|now| now == start);
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    if runs() {
        tracing::warn!(
            process.pid = pid,
            "a server of an earlier owner still runs; stopping it"
        );
        kill_process(process, signal).ok();
        let begin = Instant::now();
        while runs() {
            if begin.elapsed() > PATIENCE {
                kill_process_group(process, Signal::KILL).ok();
            }
            // Not our child: there is no event to wait for.
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    fs::remove_file(file).ok();
}

fn parse(text: &str) -> Option<(u32, String)> {
    let (pid, start) = text.trim().split_once(' ')?;
    Some((pid.parse().ok()?, start.to_owned()))
}

/// When a process was started, in whatever unit the system counts; `None` when it is gone (or waits to be reaped).
#[cfg(target_os = "linux")]
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything; the fields after it are plain.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18).map(str::to_owned),
    }
}

/// When a process was started, as `ps` writes it; `None` when it is gone.
#[cfg(not(target_os = "linux"))]
fn started(pid: u32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", "lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_what_was_recorded_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let start = started(child.id()).unwrap();

        fs::write(&file, format!("{} {start}0\n", child.id())).unwrap();
        end(&file, Signal::TERM).await;
        assert!(
            child.try_wait().unwrap().is_none(),
            "another start time is another process"
        );

        record(&file, child.id()).unwrap();
        end(&file, Signal::TERM).await;
        assert!(!child.wait().unwrap().success());
    }
}
