//! `cargo xtask images`: the images that `docker-compose.yml` and `deploy/Dockerfile` begin with, on any machine.
//!
//! One that is in the engine is used, one that can be pulled is pulled. Where nothing can be pulled, a stand-in is made
//! of Debian's packages and of this machine's tools, by the recipes in `deploy/stand-ins`. A stand-in has the name of
//! what is in it: where that is not the official one, `.env` says so to Compose.

mod pull;
mod stand_in;

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::engine::{Engine, NEEDED};
use crate::process::{output, run, say};
use crate::workspace::root;
use pull::Registry;
use stand_in::Recipe;

/// An image that a file of ours names, and which can be another one.
struct Base {
    /// What names another: an argument of the Dockerfile's, or a variable of Compose's.
    variable: &'static str,
    /// The file that names the official one.
    file: &'static str,
    /// What stands before that name there, and after it.
    around: [&'static str; 2],
    /// How a stand-in is made.
    recipe: Recipe,
}

/// In this order: the others are made from the first.
const BASES: [Base; 5] = [
    Base {
        variable: "RUNTIME_IMAGE",
        file: "deploy/Dockerfile",
        around: ["ARG RUNTIME_IMAGE=", "\n"],
        recipe: Recipe::Debian,
    },
    Base {
        variable: "RUST_IMAGE",
        file: "deploy/Dockerfile",
        around: ["ARG RUST_IMAGE=", "\n"],
        recipe: Recipe::Rust,
    },
    Base {
        variable: "NODE_IMAGE",
        file: "deploy/Dockerfile",
        around: ["ARG NODE_IMAGE=", "\n"],
        recipe: Recipe::Node,
    },
    Base {
        variable: "POSTGRES_IMAGE",
        file: "docker-compose.yml",
        around: ["${POSTGRES_IMAGE:-", "}"],
        recipe: Recipe::Postgres,
    },
    Base {
        variable: "RABBITMQ_IMAGE",
        file: "docker-compose.yml",
        around: ["${RABBITMQ_IMAGE:-", "}"],
        recipe: Recipe::RabbitMq,
    },
];

impl Base {
    /// The name that users get.
    fn official(&self) -> Result<String> {
        let text = fs::read_to_string(root().join(self.file))?;
        let [before, after] = self.around;
        text.split_once(before)
            .and_then(|(_, rest)| rest.split_once(after))
            .map(|(name, _)| name.to_owned())
            .with_context(|| format!("{} names no {}", self.file, self.variable))
    }
}

/// The images to be used: where they differ from what the files name, as the variables that say so.
pub(crate) struct Images {
    /// Variable and name.
    pub(crate) differing: Vec<(&'static str, String)>,
}

/// Runs `cargo xtask images`.
///
/// # Errors
/// When there is no engine, or an image can neither be pulled nor made.
pub(crate) fn run_images() -> Result<()> {
    let Some(engine) = Engine::obtain()? else {
        bail!("this machine lacks {NEEDED}");
    };
    let mut settings = ensure_all(&engine)?.differing;
    if let Some(socket) = engine.own_socket() {
        settings.push(("DOCKER_SOCKET", socket));
    }
    write_env(&settings)?;
    say("all images are there: `docker-compose up --build --scale worker=3` can be typed now");
    if engine.own_socket().is_some() {
        say("they are in an engine of their own, which `cargo xtask engine` starts");
    }
    Ok(())
}

/// Makes sure that each image is there, or a stand-in for it, and says loudly which are stand-ins.
///
/// # Errors
/// When one can neither be pulled nor made.
pub(crate) fn ensure_all(engine: &Engine) -> Result<Images> {
    let mut registry = Registry::new(engine);
    let mut differing = Vec::new();
    for base in &BASES {
        let official = base.official()?;
        let name = base.recipe.name(&official)?;
        if has_real(engine, &official) {
            continue;
        }
        let hash = base.recipe.hash(engine)?;
        if label(engine, &name, stand_in::HASH).as_deref() != Some(&hash) {
            if registry.pull(&official)? {
                continue;
            }
            base.recipe.make(engine, &name, &hash)?;
        }
        let contents = label(engine, &name, stand_in::CONTENTS).unwrap_or_default();
        println!("!!! {name} is a STAND-IN for the official {official}: {contents} !!!");
        if name != official {
            differing.push((base.variable, name));
        }
    }
    Ok(Images { differing })
}

/// Whether the engine has the image, and it is no stand-in.
fn has_real(engine: &Engine, name: &str) -> bool {
    let found = output(&mut engine.docker(["image", "inspect", "--format", "found", name]));
    found.is_ok() && label(engine, name, stand_in::CONTENTS).is_none()
}

/// A label of an image.
fn label(engine: &Engine, image: &str, label: &str) -> Option<String> {
    let format = format!("{{{{index .Config.Labels {label:?}}}}}");
    let value =
        output(&mut engine.docker(["image", "inspect", "--format", &format, image])).ok()?;
    let value = value.trim();
    (!value.is_empty() && value != "<no value>").then(|| value.to_owned())
}

/// Tells Compose what is not as `docker-compose.yml` says, unless somebody has told it something else.
fn write_env(settings: &[(&str, String)]) -> Result<()> {
    if settings.is_empty() {
        return Ok(());
    }
    let file = root().join(".env");
    if !file.exists() {
        run(Command::new("sh").arg("deploy/env.sh").current_dir(root()))?;
    }
    let text = fs::read_to_string(&file)?;
    let with = with_settings(&text, settings);
    if with != text {
        ensure!(file.is_file(), "{} is no file", file.display());
        // Kept as it is, with its mode.
        fs::write(&file, with)?;
        say("what differs from docker-compose.yml is in .env");
    }
    Ok(())
}

/// The lines of an `.env` with these variables, where it has none of them.
fn with_settings(env: &str, settings: &[(&str, String)]) -> String {
    let mut with = env.to_owned();
    for (variable, value) in settings {
        let start = format!("{variable}=");
        if !env.lines().any(|line| line.starts_with(&start)) {
            if !with.is_empty() && !with.ends_with('\n') {
                with.push('\n');
            }
            with.push_str(&format!("{start}{value}\n"));
        }
    }
    with
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_files_name_the_official_images() {
        for base in &BASES {
            let official = base.official().unwrap();
            let (name, tag) = official.split_once(':').unwrap();
            assert!(
                ["debian", "rust", "node", "postgres", "rabbitmq"].contains(&name),
                "{official}"
            );
            assert!(!tag.is_empty(), "{official}");
        }
    }

    #[test]
    fn compose_passes_on_whatever_can_differ() {
        let compose = fs::read_to_string(root().join("docker-compose.yml")).unwrap();
        let rust = BASES.iter().find(|base| base.recipe == Recipe::Rust);
        let default = rust.unwrap().official().unwrap();
        assert!(compose.contains(&format!("RUST_IMAGE: ${{RUST_IMAGE:-{default}}}")));
    }

    #[test]
    fn what_somebody_has_written_into_env_stays() {
        let settings = [("A_IMAGE", "a:1".to_owned()), ("B_IMAGE", "b:2".to_owned())];
        assert_eq!(
            with_settings("#A_IMAGE=a:9\nB_IMAGE=mine", &settings),
            "#A_IMAGE=a:9\nB_IMAGE=mine\nA_IMAGE=a:1\n"
        );
        let once = with_settings("", &settings);
        assert_eq!(with_settings(&once, &settings), once);
    }
}
