//! The chart, by the real Helm and the schemas of Kubernetes, without a cluster: it is linted, rendered with several
//! sets of values, validated, and held against rules of our own. KEDA's kinds have no schema there: those are
//! rendered only.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::lacking;
use super::tally::Tally;
use crate::process::{run as run_command, say};
use crate::setup::helm::Helm;
use crate::workspace::{root, target};

mod rules;

/// The oldest that the chart takes, and the newest that there are schemas of.
const KUBERNETES: [&str; 2] = ["1.25", "1.37"];
const SETS: [&str; 3] = ["minimal", "inline", "everything"];
/// The namespace of the release.
const NAMESPACE: &str = "tasks";

/// Settings on top of a set of values (or of none) that cannot be meant, and what is to be said of them.
const REFUSED: [(Option<&str>, &[&str], &str); 9] = [
    (None, &["existingSecret=x"], "image.repository is not set"),
    (
        None,
        &["image.repository=x"],
        "neither existingSecret nor databaseUrl is set",
    ),
    (
        None,
        &["image.repository=x", "databaseUrl=postgres://h/d"],
        "neither existingSecret nor amqpUrl is set",
    ),
    (
        Some("minimal"),
        &["databaseUrl=postgres://h/d"],
        "which of them is meant",
    ),
    (Some("minimal"), &["worker.slots=0"], "slots"),
    (Some("minimal"), &["wroker.slots=1"], "wroker"),
    (
        Some("minimal"),
        &["keda.enabled=true", "keda.minReplicas=21"],
        "keda.minReplicas is more than keda.maxReplicas",
    ),
    (
        Some("minimal"),
        &["api.ingress.enabled=true"],
        "api.ingress.host is not set",
    ),
    (
        Some("minimal"),
        &["api.ingress.enabled=true", "api.ingress.host=tasks.example"],
        "networkPolicy.apiFrom lets nobody reach the API",
    ),
];

pub(super) fn run() -> Result<Tally> {
    let helm = match Helm::ensure() {
        Ok(helm) => helm,
        Err(error) => {
            println!("{error:#}");
            return lacking("Helm and the schemas of Kubernetes");
        }
    };
    let mut tally = Tally::default();
    for set in SETS {
        say(format!("the chart with the values {set}"));
        tally += Tally::check(lint(&helm, set));
        for version in KUBERNETES {
            tally += Tally::check(render(&helm, set, version).with_context(|| version.to_owned()));
        }
    }
    say("values that cannot be meant");
    for (set, settings, expected) in REFUSED {
        tally += Tally::check(refuse(&helm, set, settings, expected));
    }
    println!(
        "KEDA's ScaledObject and TriggerAuthentication have no schema here: rendered, not validated"
    );
    Ok(tally)
}

fn values(set: &str) -> PathBuf {
    root().join(format!("deploy/helm/tests/{set}.yaml"))
}

fn chart() -> PathBuf {
    root().join("deploy/helm/taskmaster")
}

fn lint(helm: &Helm, set: &str) -> Result<()> {
    run_command(
        helm.helm()
            .args(["lint", "--strict", "--quiet", "--values"])
            .arg(values(set))
            .arg(chart()),
    )
}

fn template(helm: &Helm, set: Option<&str>) -> Command {
    let mut command = helm.helm();
    command
        .args(["template", "prod", "--namespace", NAMESPACE])
        .arg(chart());
    if let Some(set) = set {
        command.arg("--values").arg(values(set));
    }
    command
}

fn render(helm: &Helm, set: &str, version: &str) -> Result<()> {
    let yaml = crate::process::output(template(helm, Some(set)).args(["--kube-version", version]))?;
    // For whoever has to find out why a rule is broken.
    let file = target().join(format!("helm/{set}.yaml"));
    std::fs::create_dir_all(target().join("helm"))?;
    std::fs::write(&file, &yaml)?;
    let documents = validate(helm, &yaml, version)?;
    let broken = rules::broken(&documents);
    ensure!(
        broken.is_empty(),
        "{}:\n  {}",
        file.display(),
        broken.join("\n  ")
    );
    Ok(())
}

fn validate(helm: &Helm, yaml: &str, version: &str) -> Result<Vec<Value>> {
    let mut python = helm
        .python()
        .args(["-c", include_str!("helm.py"), version])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Read to its end before anything is printed, so that neither waits for the other.
    python
        .stdin
        .take()
        .context("no standard input")?
        .write_all(yaml.as_bytes())?;
    let output = python.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn refuse(helm: &Helm, set: Option<&str>, settings: &[&str], expected: &str) -> Result<()> {
    let mut command = template(helm, set);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !said.contains(expected) {
        bail!("with {settings:?} it should be said that {expected:?}; but: {said}");
    }
    Ok(())
}
