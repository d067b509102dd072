//! The systemd units, by systemd itself: are they understood, how much do they leave open, and do their times fit
//! together?

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::lacking;
use super::tally::Tally;
use crate::process::{find, output};
use crate::workspace::root;

/// What the units start. It need not be on this machine.
const EXECUTABLE: &str = "/usr/local/bin/taskmaster";
/// Each unit, and the most that it may leave open, in tenths of systemd's points from 0 to 10.
const UNITS: [(&str, &str); 4] = [
    ("taskmaster-coordinator.service", "15"),
    ("taskmaster-api.service", "15"),
    ("taskmaster-migrate.service", "15"),
    // Its commands may do more.
    ("taskmaster-worker@.service", "50"),
];

pub(super) fn run() -> Result<Tally> {
    if find("systemd-analyze").is_none() {
        return lacking("systemd-analyze");
    }
    let folder = tempfile::tempdir()?;
    let mut tally = Tally::default();
    for (unit, most) in UNITS {
        tally += Tally::check(understood(folder.path(), unit));
        tally += Tally::check(closed(folder.path(), unit, most));
    }
    tally += Tally::check(times(&read("taskmaster-worker@.service")?));
    Ok(tally)
}

fn read(unit: &str) -> Result<String> {
    let file = root().join("deploy/systemd").join(unit);
    fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// systemd complains of nothing, with a program in the place of ours that every machine has.
fn understood(folder: &Path, unit: &str) -> Result<()> {
    let text = read(unit)?;
    ensure!(
        text.contains(&format!("ExecStart={EXECUTABLE} ")),
        "{unit} starts something else"
    );
    let copy = folder.join(unit);
    fs::write(&copy, text.replace(EXECUTABLE, "/bin/true"))?;
    // Warnings do not make it fail.
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&copy)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{unit}: {said}");
    Ok(())
}

fn closed(folder: &Path, unit: &str, most: &str) -> Result<()> {
    let arguments = [
        "security",
        "--no-pager",
        "--offline=yes",
        "--threshold",
        most,
    ];
    let mut command = Command::new("systemd-analyze");
    output(command.args(arguments).arg(folder.join(unit)))
        .map(drop)
        .with_context(|| format!("{unit} leaves more than {most} tenths open"))
}

/// systemd waits for longer than the worker may take.
fn times(unit: &str) -> Result<()> {
    let number = |before: &str| -> Result<u64> {
        let (_, rest) = unit
            .split_once(before)
            .with_context(|| format!("no {before}"))?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits
            .parse()
            .with_context(|| format!("no number after {before}"))
    };
    let needed = number("TASKMASTER_DRAIN_GRACE=")? + number("TASKMASTER_KILL_GRACE=")?;
    let given = number("\nTimeoutStopSec=")?;
    ensure!(
        given >= needed + 15,
        "a worker needs {needed} s to end and gets {given} s"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::times;

    #[test]
    fn notices_a_stop_that_is_cut_short() {
        let unit = |given| {
            format!(
                "Environment=TASKMASTER_DRAIN_GRACE=30 TASKMASTER_KILL_GRACE=5\nTimeoutStopSec={given}s\n"
            )
        };
        assert!(times(&unit(50)).is_ok());
        assert!(times(&unit(49)).is_err());
        assert!(times("TimeoutStopSec=50s").is_err());
    }
}
