//! Debian's and Ubuntu's packages.

use std::process::Command;

use anyhow::{Result, bail};
use rustix::process::geteuid;

use crate::process::{find, output, run, say};

/// Is this a machine whose packages apt installs?
pub(crate) fn usable() -> bool {
    std::path::Path::new("/etc/debian_version").exists() && find("apt-get").is_some()
}

/// Installs `packages`, as root or through sudo; with none, only brings the lists up to date.
///
/// # Errors
/// When there is no way to be root, or apt fails.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let mut command = if geteuid().is_root() {
        Command::new("sh")
    } else if find("sudo").is_some() {
        let mut command = Command::new("sudo");
        command.arg("sh");
        command
    } else {
        bail!(
            "not root, and there is no sudo: as root, run `apt-get install --no-install-recommends {}`, \
             then the same command again",
            packages.join(" ")
        );
    };
    if packages.is_empty() {
        say("apt-get update");
    } else {
        say(format!("apt-get install {}", packages.join(" ")));
    }
    run(command
        .args(["-c", include_str!("apt.sh"), "apt.sh"])
        .args(packages))
}

/// The version of `package` that would be installed.
pub(crate) fn candidate(package: &str) -> Option<String> {
    let policy = output(Command::new("apt-cache").args(["policy", package])).ok()?;
    let line = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    Some(line.to_owned())
}
