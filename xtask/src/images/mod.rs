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

use crate::engine::{self, Engine, NEEDED};
use crate::process::{output, run, say};
use crate::workspace::root;
use pull::Registry;
use stand_in::Recipe;

/// The label that says what is in a stand-in, and so that it is one.
pub(crate) const STAND_IN: &str = "taskmaster.stand-in";

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

/// Begins the line before each line of `.env` that is ours, to be brought up to date, and is followed by that line.
const MARK: &str = "# by cargo xtask images: ";

/// The images to be used, each as the variable that says so, and its name.
pub(crate) struct Images {
    /// All of them.
    pub(crate) used: Vec<(&'static str, String)>,
    /// Those that are not what the files name.
    differing: Vec<(&'static str, String)>,
}

/// Runs `cargo xtask images`.
///
/// # Errors
/// When there is no engine, or an image can neither be pulled nor made.
pub(crate) fn run_images() -> Result<()> {
    let _alone = engine::alone()?;
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
    let (mut used, mut differing) = (Vec::new(), Vec::new());
    for base in &BASES {
        let official = base.official()?;
        let name = ensure_one(engine, base.recipe, &official, &mut registry)?;
        if name != official {
            differing.push((base.variable, name.clone()));
        }
        used.push((base.variable, name));
    }
    Ok(Images { used, differing })
}

/// The image, or its stand-in: which of them is there now.
fn ensure_one(
    engine: &Engine,
    recipe: Recipe,
    official: &str,
    registry: &mut Registry<'_>,
) -> Result<String> {
    if has_real(engine, official) {
        return Ok(official.to_owned());
    }
    let name = recipe.name(official)?;
    let hash = recipe.hash(engine)?;
    if label(engine, &name, stand_in::HASH).as_deref() != Some(&hash) {
        if registry.pull(official)? {
            return Ok(official.to_owned());
        }
        recipe.make(engine, &name, &hash)?;
    }
    let contents = label(engine, &name, STAND_IN).unwrap_or_default();
    println!("!!! {name} is a STAND-IN for the official {official}: {contents} !!!");
    Ok(name)
}

/// Whether the engine has the image, and it is no stand-in.
fn has_real(engine: &Engine, name: &str) -> bool {
    let found = output(&mut engine.docker(["image", "inspect", "--format", "found", name]));
    found.is_ok() && label(engine, name, STAND_IN).is_none()
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
    let file = root().join(".env");
    if !file.exists() {
        if settings.is_empty() {
            return Ok(());
        }
        run(Command::new("sh").arg("deploy/env.sh").current_dir(root()))?;
    }
    let text = fs::read_to_string(&file)?;
    let (with, others) = with_settings(&text, settings);
    for [line, ours] in others {
        println!("!!! .env says {line}, and is left so; here it would be {ours} !!!");
    }
    if with != text {
        ensure!(file.is_file(), "{} is no file", file.display());
        // Kept as it is, with its mode.
        fs::write(&file, with)?;
        say(".env is brought up to date: it says what differs from docker-compose.yml");
    }
    Ok(())
}

/// An `.env` with these variables in place of those that were ours, where nobody else's line has them; and which lines of
/// others say something else, each with what ours would be.
fn with_settings(env: &str, settings: &[(&str, String)]) -> (String, Vec<[String; 2]>) {
    let mut theirs: Vec<&str> = Vec::new();
    let mut lines = env.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        match line.trim_end().strip_prefix(MARK) {
            // One that somebody has changed is theirs.
            Some(ours) => drop(lines.next_if(|line| line.trim_end() == ours)),
            None => theirs.push(line),
        }
    }
    let (mut with, mut others) = (theirs.concat(), Vec::new());
    for (variable, value) in settings {
        let start = format!("{variable}=");
        let ours = format!("{start}{value}");
        // The last one counts.
        match theirs.iter().rfind(|line| line.starts_with(&start)) {
            Some(line) if line.trim_end() == ours => {}
            Some(line) => others.push([line.trim_end().to_owned(), ours]),
            None => {
                if !with.is_empty() && !with.ends_with('\n') {
                    with.push('\n');
                }
                with.push_str(&format!("{MARK}{ours}\n{ours}\n"));
            }
        }
    }
    (with, others)
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
        for base in &BASES {
            let (variable, official) = (base.variable, base.official().unwrap());
            if base.file == "docker-compose.yml" {
                continue;
            }
            // The compiler's version is the machine's, the others are as the recipe says.
            if base.recipe == Recipe::Rust || base.recipe.name(&official).unwrap() != official {
                let passed_on = format!("{variable}: ${{{variable}:-{official}}}");
                assert!(compose.contains(&passed_on), "{passed_on}");
            }
        }
    }

    fn settings<const N: usize>(of: [[&'static str; 2]; N]) -> [(&'static str, String); N] {
        of.map(|[variable, value]| (variable, value.to_owned()))
    }

    #[test]
    fn what_somebody_has_written_into_env_stays() {
        let settings = settings([["A_IMAGE", "a:1"], ["B_IMAGE", "b:2"]]);
        let (with, others) = with_settings("#A_IMAGE=a:9\nB_IMAGE=mine", &settings);
        assert_eq!(
            with,
            format!("#A_IMAGE=a:9\nB_IMAGE=mine\n{MARK}A_IMAGE=a:1\nA_IMAGE=a:1\n")
        );
        assert_eq!(others, [["B_IMAGE=mine", "B_IMAGE=b:2"]]);

        let changed = with.replace("\nA_IMAGE=a:1", "\nA_IMAGE=a:8");
        let (with, others) = with_settings(&changed, &settings);
        assert_eq!(with, "#A_IMAGE=a:9\nB_IMAGE=mine\nA_IMAGE=a:8\n");
        assert_eq!(others[0], ["A_IMAGE=a:8", "A_IMAGE=a:1"]);
    }

    #[test]
    fn what_we_have_written_into_env_is_brought_up_to_date() {
        let old = settings([["A_IMAGE", "a:1"], ["B_IMAGE", "b:2"]]);
        let (once, _) = with_settings("MINE=1\n", &old);
        assert_eq!(with_settings(&once, &old), (once.clone(), vec![]));

        let (with, others) = with_settings(&once, &settings([["A_IMAGE", "a:2"]]));
        assert_eq!(with, format!("MINE=1\n{MARK}A_IMAGE=a:2\nA_IMAGE=a:2\n"));
        assert_eq!(others, [[""; 2]; 0]);
        assert_eq!(with_settings(&with, &[]), ("MINE=1\n".to_owned(), vec![]));
    }
}
