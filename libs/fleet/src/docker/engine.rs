//! What is asked of the Docker engine, by bollard: each call with a time limit, each refusal as one of a few.
//!
//! A client is made for each call, because one for a socket cannot be made while the engine is away; bollard keeps no
//! connections anyway.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as BollardError;
use bollard::models::{
    ContainerCreateBody, ContainerSummary, EndpointSettings, NetworkConnectRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::timeout;

use super::spec::{ONEOFF, PROJECT, SERVICE};

/// What an engine with much to do needs for a container.
const PATIENCE: Duration = Duration::from_secs(60);
/// Added to what a container gets to stop.
const STOP_MARGIN: Duration = Duration::from_secs(30);
/// What the engine waits between SIGTERM and SIGKILL unless the container has its own.
const DEFAULT_STOP: Duration = Duration::from_secs(10);

/// Why a call to the engine came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// It does not answer, or the connection broke.
    #[error("the Docker engine does not answer")]
    Away,
    /// There is no such container (any more).
    #[error("there is no such container")]
    Gone,
    /// The name is taken, it does not run, or somebody is at it as well.
    #[error("the container is not in a state for that")]
    Conflict,
    /// It said no. Its words may quote the request: they are for our log alone.
    #[error("the engine refused ({status}); this program's log has its words")]
    Refused {
        /// HTTP's.
        status: u16,
    },
    /// It cannot be told which containers are ours. What to do about it, for a caller.
    #[error("{0}")]
    NotOurs(&'static str),
}

/// The engine, and which of its containers are ours.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    /// `unix://` and a path, or `tcp://` and an address.
    host: String,
    /// `None` behind a proxy that shows us our project's containers only.
    project: Option<String>,
    service: String,
}

impl Engine {
    pub(super) fn new(host: String, service: String) -> Self {
        Self {
            host,
            project: None,
            service,
        }
    }

    pub(super) fn with_project(self, project: String) -> Self {
        let project = Some(project);
        Self { project, ..self }
    }

    /// Whether it knows which project is ours.
    pub(super) fn has_project(&self) -> bool {
        self.project.is_some()
    }

    /// All containers of our service, also those that do not run.
    pub(super) async fn list(&self) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&HashMap::from([("label", self.labels())]))
            .build();
        let docker = self.connect()?;
        ask(PATIENCE, docker.list_containers(Some(options))).await
    }

    /// What the engine says of a container, as JSON: as much of it as bollard has a model of.
    pub(super) async fn inspect(&self, id: &str) -> Result<Value, EngineError> {
        let docker = self.connect()?;
        let inspection = ask(PATIENCE, docker.inspect_container(id, None)).await?;
        serde_json::to_value(inspection).map_err(|error| unreadable(&error))
    }

    /// Makes a container; its id.
    pub(super) async fn create(&self, name: &str, body: Value) -> Result<String, EngineError> {
        let body: ContainerCreateBody =
            serde_json::from_value(body).map_err(|error| unreadable(&error))?;
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let docker = self.connect()?;
        let created = ask(PATIENCE, docker.create_container(Some(options), body)).await?;
        Ok(created.id)
    }

    pub(super) async fn connect_network(
        &self,
        network: &str,
        id: &str,
        endpoint: Value,
    ) -> Result<(), EngineError> {
        let endpoint: EndpointSettings =
            serde_json::from_value(endpoint).map_err(|error| unreadable(&error))?;
        let request = NetworkConnectRequest {
            container: id.to_owned(),
            endpoint_config: Some(endpoint),
        };
        let docker = self.connect()?;
        ask(PATIENCE, docker.connect_network(network, request)).await
    }

    /// Starts a container; one that runs already is no error.
    pub(super) async fn start(&self, id: &str) -> Result<(), EngineError> {
        let docker = self.connect()?;
        ask(PATIENCE, docker.start_container(id, None)).await
    }

    /// SIGTERM, and SIGKILL after `grace` or what the container was made with (`stop_grace_period`). Returns when it has
    /// stopped; one that had is no error. The engine goes on with it even if we are gone.
    pub(super) async fn stop(&self, id: &str, grace: Option<Duration>) -> Result<(), EngineError> {
        let limit = match grace {
            Some(grace) => grace,
            None => stop_timeout(&self.inspect(id).await?),
        };
        let options = grace.map(|grace| {
            let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
            StopContainerOptionsBuilder::default().t(seconds).build()
        });
        let limit = limit + STOP_MARGIN;
        let docker = self.connect()?.with_timeout(limit);
        ask(limit, docker.stop_container(id, options)).await
    }

    /// Sends SIGTERM.
    pub(super) async fn terminate(&self, id: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::default()
            .signal("SIGTERM")
            .build();
        let docker = self.connect()?;
        ask(PATIENCE, docker.kill_container(id, Some(options))).await
    }

    /// Returns when the container does not run, at the latest after `limit`: whether it has stopped.
    pub(super) async fn stopped_within(
        &self,
        id: &str,
        limit: Duration,
    ) -> Result<bool, EngineError> {
        let options = WaitContainerOptionsBuilder::default()
            .condition("not-running")
            .build();
        let docker = self.connect()?.with_timeout(limit + STOP_MARGIN);
        let mut waiting = std::pin::pin!(docker.wait_container(id, Some(options)));
        match timeout(limit, waiting.next()).await {
            // bollard calls an end with another code than 0 an error.
            Ok(Some(Ok(_) | Err(BollardError::DockerContainerWaitError { .. }))) => Ok(true),
            Ok(Some(Err(error))) => Err(translate(&error)),
            // The connection has ended without a word.
            Ok(None) => Err(EngineError::Away),
            Err(_) => Ok(false),
        }
    }

    /// Removes a container that has stopped, with its anonymous volumes; one that is gone is no error.
    pub(super) async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().v(true).build();
        let docker = self.connect()?;
        match ask(PATIENCE, docker.remove_container(id, Some(options))).await {
            Err(EngineError::Gone) => Ok(()),
            removed => removed,
        }
    }

    /// Several are all required by the engine.
    fn labels(&self) -> Vec<String> {
        let project = self.project.iter().map(|name| format!("{PROJECT}={name}"));
        project
            .chain([
                format!("{SERVICE}={}", self.service),
                format!("{ONEOFF}=False"),
            ])
            .collect()
    }

    fn connect(&self) -> Result<Docker, EngineError> {
        let docker = Docker::connect_with_host(&self.host).map_err(|error| translate(&error))?;
        Ok(docker.with_timeout(PATIENCE))
    }
}

/// What the container was made with, or the engine's default.
pub(super) fn stop_timeout(inspection: &Value) -> Duration {
    inspection["Config"]["StopTimeout"]
        .as_u64()
        .map_or(DEFAULT_STOP, Duration::from_secs)
}

/// When its program was started last; `None` for one that never was, or if the engine does not tell.
pub(super) fn started_at(inspection: &Value) -> Option<DateTime<Utc>> {
    let at = inspection["State"]["StartedAt"].as_str()?;
    Some(DateTime::parse_from_rfc3339(at).ok()?.to_utc())
}

/// bollard's own limit is for the head of an answer only.
async fn ask<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, BollardError>>,
) -> Result<T, EngineError> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| translate(&error)),
        Err(_) => Err(EngineError::Away),
    }
}

fn translate(error: &BollardError) -> EngineError {
    match error {
        BollardError::DockerResponseServerError {
            status_code,
            message,
        } => match status_code {
            404 => EngineError::Gone,
            409 => EngineError::Conflict,
            // A proxy's, whose engine is away.
            502..=504 => EngineError::Away,
            status => {
                tracing::warn!(http.status = status, said = %message, "the Docker engine refused");
                EngineError::Refused { status: *status }
            }
        },
        BollardError::JsonDataError { .. } | BollardError::JsonSerdeError { .. } => {
            unreadable(error)
        }
        error => {
            tracing::warn!(%error, "the Docker engine does not answer");
            EngineError::Away
        }
    }
}

/// An answer or a container that bollard's model does not fit. The error names the part that does not, never the whole,
/// which holds the environment.
fn unreadable(error: &dyn std::error::Error) -> EngineError {
    tracing::error!(%error, "the Docker engine's answer is not understood");
    EngineError::Refused { status: 200 }
}
