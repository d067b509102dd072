//! A stack's one service: looked at, and scaled by its own specification with another number in it.

use axum::response::{IntoResponse, Response};
use serde_json::Value;
use taskmaster_fleet::{MAX_WORKERS, MIN_WORKERS};

use crate::call::Id;
use crate::engine::{Answer, Ask, EngineError};
use crate::ours::Ours;
use crate::proxy::{Proxy, target};
use crate::refusal::{Failure, Refusal};

const REPLICAS: &str = "/Mode/Replicated/Replicas";

/// What the engine says of a service.
pub(crate) enum Inspection {
    /// Ours.
    Of { said: Value, answer: Answer },
    /// Nothing: there is none, or this node is no manager.
    Not(Answer),
}

impl Inspection {
    pub(crate) fn into_answer(self) -> Answer {
        match self {
            Self::Of { answer, .. } | Self::Not(answer) => answer,
        }
    }
}

/// What the engine says of a service, if it is ours.
pub(crate) async fn inspect(
    proxy: &Proxy,
    version: Option<u8>,
    id: &Id,
) -> Result<Inspection, Failure> {
    let path = format!("/services/{}", id.as_str());
    let answer = proxy
        .engine
        .ask(Ask::get(target(version, &path, &[])))
        .await?;
    if !answer.status.is_success() {
        return Ok(Inspection::Not(answer));
    }
    let said = answer.json()?;
    if proxy.ours.has_service(&said) {
        Ok(Inspection::Of { said, answer })
    } else {
        Err(Refusal::new("not the service of our workers").into())
    }
}

/// Of a list of services, ours: the engine filters by how a name begins.
pub(crate) fn only_ours(ours: &Ours, answer: Answer) -> Result<Response, Failure> {
    if !answer.status.is_success() {
        return Ok(answer.into_response());
    }
    let Value::Array(mut services) = answer.json()? else {
        return Err(EngineError::Odd("no list").into());
    };
    services.retain(|service| ours.has_service(service));
    Ok(axum::Json(services).into_response())
}

/// Changes the number of replicas; of the caller's specification nothing else is read. `version` is the one that the
/// caller has seen, and the engine refuses it if there has been another since.
pub(crate) async fn scale(
    proxy: &Proxy,
    id: &Id,
    version: u64,
    body: &Value,
) -> Result<Answer, Failure> {
    let replicas = body.pointer(REPLICAS).and_then(Value::as_u64);
    let allowed = u64::from(MIN_WORKERS)..=u64::from(MAX_WORKERS);
    let replicas = replicas.filter(|replicas| allowed.contains(replicas));
    let replicas = replicas.ok_or_else(|| {
        Refusal::new(format!(
            "Mode.Replicated.Replicas must be from {MIN_WORKERS} to {MAX_WORKERS}"
        ))
    })?;
    let mut said = match inspect(proxy, None, id).await? {
        Inspection::Of { said, .. } => said,
        Inspection::Not(answer) => return Ok(answer),
    };
    let id = said["ID"].as_str().and_then(Id::read);
    let id = id.ok_or(EngineError::Odd("no id"))?;
    let mut spec = said["Spec"].take();
    let number = spec.pointer_mut(REPLICAS);
    *number.ok_or(Refusal::new("the service is not replicated (mode: global)"))? = replicas.into();
    let update = format!("/services/{}/update?version={version}", id.as_str());
    Ok(proxy.engine.ask(Ask::post(update).with(&spec)).await?)
}
