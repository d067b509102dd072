//! Pulling, on machines that may not be able to.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::engine::Engine;
use crate::process::say;

/// How long the first sign of a registry may take. What follows takes as long as it takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the engine pulls from.
pub(super) struct Registry<'a> {
    engine: &'a Engine,
    /// It did not answer: it is not asked again.
    is_away: bool,
}

impl<'a> Registry<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        let is_away = false;
        Self { engine, is_away }
    }

    /// Pulls an image, if that can be done.
    ///
    /// # Errors
    /// When Docker's client cannot be started.
    pub(super) fn pull(&mut self, name: &str) -> Result<bool> {
        if self.is_away {
            return Ok(false);
        }
        say(format!("docker pull {name}"));
        let mut pull = self
            .engine
            .docker(["pull", name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start docker")?;
        let mut said = BufReader::new(pull.stdout.take().context("no output of docker")?);
        let (first, came) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            let read = said.read_line(&mut line);
            // Nobody listens any more when it took too long.
            first.send(read.is_ok_and(|read| read > 0)).ok();
            std::io::copy(&mut said.by_ref(), &mut std::io::sink()).ok();
        });
        if !came.recv_timeout(PATIENCE).unwrap_or(false) {
            // It may have ended by itself, with its reason on standard error.
            pull.kill().ok();
        }
        let pulled = pull.wait()?.success();
        reader.join().ok();
        if !pulled {
            say("nothing can be pulled here");
            self.is_away = true;
        }
        Ok(pulled)
    }
}
