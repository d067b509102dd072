//! The layer with the compiled dependencies is made of the `skeleton` stage alone: what changes it, and what must not.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::engine::{client, docker, output};
use crate::project::root;

/// A copy of what the checkout's image is built from.
fn copy_of_checkout() -> Result<tempfile::TempDir> {
    let copy = tempfile::tempdir()?;
    let listed = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    for file in String::from_utf8(listed.stdout)?.lines() {
        let (source, target) = (root().join(file), copy.path().join(file));
        // One that was deleted is listed until the next commit.
        if source.is_file() {
            fs::create_dir_all(target.parent().context("no folder")?)?;
            fs::copy(source, target)?;
        }
    }
    Ok(copy)
}

/// Every path, mode and content of the skeleton that is built from `checkout`.
async fn skeleton(checkout: &Path) -> Result<String> {
    let mut build = client(&["build", "--quiet", "--target=skeleton"])?;
    if let Ok(rust) = std::env::var("RUST_IMAGE") {
        build.arg(format!("--build-arg=RUST_IMAGE={rust}"));
    }
    build
        .arg("--file")
        .arg(checkout.join("deploy/Dockerfile"))
        .arg(checkout)
        .env("DOCKER_BUILDKIT", "0");
    let image = output(build).await?;
    let list = "find . -printf '%m %p\\n' | sort; find . -type f -exec sha256sum {} + | sort";
    let run = ["run", "--rm", "--network=none", &image, "sh", "-c", list];
    let listed = docker(&run).await;
    docker(&["rmi", "--force", &image]).await?;
    listed
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn a_change_of_the_code_leaves_the_dependencies_compiled() -> Result<()> {
    let checkout = copy_of_checkout()?;
    let before = skeleton(checkout.path()).await?;
    assert!(
        before.contains("services/taskmaster/src/main.rs"),
        "{before}"
    );

    let core = checkout.path().join("libs/core");
    fs::write(core.join("src/new.rs"), "//! New.\n")?;
    for file in ["src/lib.rs", "../../services/taskmaster/src/main.rs"] {
        let file = core.join(file);
        let changed = fs::read_to_string(&file)? + "\n// changed\n";
        fs::write(file, changed)?;
    }
    assert_eq!(skeleton(checkout.path()).await?, before);

    let manifest = core.join("Cargo.toml");
    let changed = fs::read_to_string(&manifest)? + "\n# changed\n";
    fs::write(manifest, changed)?;
    assert_ne!(skeleton(checkout.path()).await?, before);
    Ok(())
}
