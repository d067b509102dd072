//! Looking at processes by `/proc`. Where there is none, as on macOS, nothing is ever found.

use std::fs;

use rustix::process::{Pid, getpid};

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Whether it has ended and only waits to be reaped.
    pub(crate) zombie: bool,
    /// Its parent, unless that is the kernel.
    pub(crate) parent: Option<Pid>,
    /// Its process group.
    pub(crate) group: Option<Pid>,
    /// When it was started, in clock ticks since the machine was. Together with its id this names a process for good.
    pub(crate) started: u64,
}

/// What is known of a process, unless it is gone.
pub(crate) fn stat(pid: Pid) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses and may hold anything; the fields after it are plain.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some(Stat {
        zombie: matches!(fields.next()?, "Z" | "X"),
        parent: Pid::from_raw(fields.next()?.parse().ok()?),
        group: Pid::from_raw(fields.next()?.parse().ok()?),
        started: fields.nth(16)?.parse().ok()?,
    })
}

/// The children of this process that its main thread has, zombies included: those that it has inherited (Linux gives
/// orphans to the first thread, since 3.19), and hardly any that it has started, which belong to the thread that did. So
/// this costs no more where much runs.
pub(crate) fn inherited() -> Vec<Pid> {
    let file = format!("/proc/self/task/{}/children", getpid());
    let list = fs::read_to_string(file).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

/// Every process that can be seen.
pub(crate) fn all() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// The value of a variable in the environment that a process was started with; `None` also where we may not look, and
/// of programs that have overwritten it.
pub(crate) fn variable(pid: Pid, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) Z (b c) S 7 9 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 9\n";
        assert_eq!(
            parse(stat),
            Some(Stat {
                zombie: false,
                parent: Pid::from_raw(7),
                group: Pid::from_raw(9),
                started: 123_456,
            })
        );
        assert_eq!(parse("42 (short) S 1"), None);
    }
}
