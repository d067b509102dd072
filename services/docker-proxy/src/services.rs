//! A stack's one service: looked at, and scaled by its own specification with another number in it.

use serde_json::{Value, json};
use taskmaster_fleet::{MAX_WORKERS, MIN_WORKERS};

use crate::call::Id;
use crate::engine::{Answer, Ask, EngineError};
use crate::ours::Ours;
use crate::proxy::Proxy;
use crate::refusal::{Failure, Refusal};

const REPLICAS: &str = "/Mode/Replicated/Replicas";
/// Where the environment is in what the engine says of a service: as it is, and as it was before its last change.
const SERVICE_ENV: [&str; 2] = [
    "/Spec/TaskTemplate/ContainerSpec/Env",
    "/PreviousSpec/TaskTemplate/ContainerSpec/Env",
];
/// The same of a task.
const TASK_ENV: [&str; 1] = ["/Spec/ContainerSpec/Env"];

/// Of a list of services, ours: the engine filters by how a name begins.
pub(crate) fn only_ours(ours: &Ours, answer: Answer) -> Result<Answer, Failure> {
    list(answer, &SERVICE_ENV, |service| ours.has_service(service))
}

/// A list of tasks.
pub(crate) fn tasks(answer: Answer) -> Result<Answer, Failure> {
    list(answer, &TASK_ENV, |_| true)
}

/// Of a list what is wanted, without the environment, which has the passwords.
fn list(answer: Answer, env: &[&str], wanted: impl Fn(&Value) -> bool) -> Result<Answer, Failure> {
    if !answer.status.is_success() {
        return Ok(answer);
    }
    let Value::Array(mut listed) = answer.json()? else {
        return Err(EngineError::Odd("no list").into());
    };
    listed.retain(wanted);
    for one in &mut listed {
        for place in env {
            if let Some(env) = one.pointer_mut(place) {
                *env = json!([]);
            }
        }
    }
    Ok(answer.with(&listed.into()))
}

/// Changes the number of replicas in the engine's own specification; of the caller's nothing else is read. `version` is the
/// one that the caller has seen: it is refused if there has been another since, by us or, while we ask, by the engine.
pub(crate) async fn scale(
    proxy: &Proxy,
    id: &Id,
    version: u64,
    replicas: Option<u64>,
) -> Result<Answer, Failure> {
    let allowed = u64::from(MIN_WORKERS)..=u64::from(MAX_WORKERS);
    let replicas = replicas.filter(|replicas| allowed.contains(replicas));
    let replicas = replicas.ok_or_else(|| {
        Refusal::new(format!(
            "Mode.Replicated.Replicas must be from {MIN_WORKERS} to {MAX_WORKERS}"
        ))
    })?;
    let path = format!("/services/{}", id.as_str());
    let answer = proxy.engine.ask(Ask::get(path)).await?;
    if !answer.status.is_success() {
        return Ok(answer);
    }
    let mut said = answer.json()?;
    if !proxy.ours.has_service(&said) {
        return Err(Refusal::new("not the service of our workers").into());
    }
    if said["Version"]["Index"] != version {
        return Err(Refusal::out_of_sequence().into());
    }
    let id = said["ID"].as_str().and_then(Id::read);
    let id = id.ok_or(EngineError::Odd("no id"))?;
    let mut spec = said["Spec"].take();
    let number = spec.pointer_mut(REPLICAS);
    *number.ok_or(Refusal::new("the service is not replicated (mode: global)"))? = replicas.into();
    let update = format!("/services/{}/update?version={version}", id.as_str());
    Ok(proxy.engine.ask(Ask::post(update).with(&spec)).await?)
}
