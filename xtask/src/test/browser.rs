//! The dashboard in a real browser, against the whole system as `taskmaster up` starts it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::tally::Tally;
use super::{checks, lacking};
use crate::client;
use crate::process::{cargo, path_with, run as run_command, say};
use crate::setup::tools;
use crate::workspace::{examples, target};

const PATIENCE: Duration = Duration::from_secs(90);

pub(super) fn run() -> Result<Tally> {
    let Some(chromium) = tools::chromium() else {
        return lacking("Chromium");
    };
    client::build()?;
    run_command(cargo().args(["build", "--package", "taskmaster"]))?;
    let system = System::start()?;
    let tally = checks::vitest(
        "e2e",
        &[
            ("TASKMASTER_URL", &format!("http://{}", system.address)),
            ("TASKMASTER_CHROMIUM", &chromium.to_string_lossy()),
        ],
    )?;
    let mut tally = tally;
    tally += Tally::check(system.stop());
    Ok(tally)
}

/// A running `taskmaster up`, killed when dropped.
struct System {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl System {
    fn start() -> Result<Self> {
        let folder = crate::services::folder()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        say(format!("starting taskmaster up on {address}"));
        let process = Command::new(target().join("debug/taskmaster"))
            .args([
                "up",
                "--workers",
                "3",
                "--listen",
                &address.to_string(),
                "--data-dir",
            ])
            .arg(folder.path().join("data"))
            .env("PATH", path_with(&examples().join("bin"))?)
            .env_remove("DATABASE_URL")
            .env_remove("AMQP_URL")
            .spawn()
            .context("cannot start taskmaster")?;
        let mut system = Self {
            process,
            address,
            _folder: folder,
        };
        system.wait_until_ready()?;
        Ok(system)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "no runtime here, and nothing to wait on: the server is another process"
    )]
    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                bail!("taskmaster up ended before it was ready: {status}");
            }
            if self.ready().is_ok_and(|ready| ready) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        bail!("taskmaster up was not ready after {} s", PATIENCE.as_secs())
    }

    fn ready(&self) -> Result<bool> {
        let mut connection = TcpStream::connect_timeout(&self.address, Duration::from_secs(1))?;
        connection.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(
            connection,
            "GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    }

    /// Stops it as Ctrl-C does; it must end well.
    fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.process), Signal::INT)?;
        let status = self.process.wait()?;
        if status.success() {
            Ok(())
        } else {
            bail!("taskmaster up ended with {status} when told to stop")
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // After a good stop there is nothing to kill: that is no error.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
