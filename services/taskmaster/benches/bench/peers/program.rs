//! The others' programs: how each is called, and what it answers.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::Peer;
use super::install::Installed;
use crate::system::System;

/// What is installed together: a folder of `benches/peers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kit {
    Node,
    Rust,
    Celery,
}

impl Kit {
    pub(super) const ALL: [Self; 3] = [Self::Node, Self::Rust, Self::Celery];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Rust => "rust",
            Self::Celery => "celery",
        }
    }

    /// What runs the program that is installed in `folder`, and the program if that is not the same.
    fn program(self, folder: &Path) -> Vec<OsString> {
        match self {
            // The packages want a newer one than many machines have: it is a package too.
            Self::Node => vec![
                folder.join("node_modules/.bin/node").into(),
                folder.join("bench.mjs").into(),
            ],
            Self::Rust => vec![folder.join("target/release/peers").into()],
            Self::Celery => vec![
                folder.join("venv/bin/python").into(),
                folder.join("bench.py").into(),
            ],
        }
    }
}

/// What a program measures when it is called.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// So many jobs.
    Drain,
    /// For so many seconds.
    Sustained,
    /// So many jobs.
    Latency,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Sustained => "sustained",
            Self::Latency => "latency",
        }
    }
}

/// What it prints.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    submitted: u32,
    /// Handlers' calls.
    ran: u32,
    /// Jobs that a handler was called for.
    distinct: u32,
    rate: Option<f64>,
    #[serde(default)]
    pub(super) milliseconds: Vec<f64>,
}

impl Answer {
    /// Jobs per second.
    pub(super) fn rate(&self) -> Result<f64> {
        self.rate.context("it says no rate")
    }

    fn check(self) -> Result<Self> {
        let Self {
            submitted,
            ran,
            distinct,
            ..
        } = self;
        ensure!(
            ran == submitted && distinct == submitted,
            "of {submitted} jobs {distinct} ran, {ran} times"
        );
        Ok(self)
    }
}

impl Installed {
    /// Runs a peer's program on a database made for this.
    pub(super) async fn run(
        &self,
        system: &System<'_>,
        peer: &Peer,
        mode: Mode,
        argument: u32,
    ) -> Result<Answer> {
        let url = system.empty_database(DATABASE).await?;
        system.checkpoint().await?;
        let answer = self.answer(system, peer, mode, argument, &url).await;
        let answer = answer.with_context(|| format!("{} {argument}", mode.name()))?;
        system.drop_database(DATABASE).await?;
        Ok(answer)
    }

    async fn answer(
        &self,
        system: &System<'_>,
        peer: &Peer,
        mode: Mode,
        argument: u32,
        url: &str,
    ) -> Result<Answer> {
        let mut program = peer.kit.program(&self.folder(peer.kit)).into_iter();
        let output = Command::new(program.next().context("no program")?)
            .args(program)
            .args(peer.argument)
            .args([mode.name(), &argument.to_string()])
            .env("DATABASE_URL", url)
            .env("AMQP_URL", system.stack.amqp_url())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}\n{said}", output.status);
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{}\n{said}", String::from_utf8_lossy(&output.stdout)))?;
        answer.check()
    }
}

const DATABASE: &str = "bench_peer";
