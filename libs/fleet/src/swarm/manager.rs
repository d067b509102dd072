//! What is asked of a Swarm manager.
//!
//! The service itself is read and written as the engine's own JSON: whoever updates a service sends the whole of it, and
//! what bollard's model does not know (it loses the health check) would be gone, for which Swarm replaces every task.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as BollardError;
use bollard::models::{Node, Task};
use bollard::query_parameters::{ListNodesOptions, ListTasksOptionsBuilder};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::SwarmFleetConfig;

/// The label that holds the name of the stack.
const STACK: &str = "com.docker.stack.namespace";
/// What the engine gets to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a call to the manager came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum SwarmError {
    /// It does not answer, or the connection broke.
    #[error("the Docker engine does not answer")]
    Away,
    /// The service was changed by somebody else since it was read.
    #[error("the service is being changed by somebody else as well")]
    OutOfSequence,
    /// It tried, and could not.
    #[error("the engine failed ({status}); this program's log has its words")]
    Failed {
        /// HTTP's: 500 and above.
        status: u16,
    },
    /// It said no, or what it has is not what can be scaled. For a caller.
    #[error("{0}")]
    Refused(String),
}

/// A Swarm manager.
#[derive(Debug)]
pub(super) struct Manager {
    config: SwarmFleetConfig,
    /// And what comes before the path.
    client: OnceLock<(Client, String)>,
}

/// The workers' service.
#[derive(Debug)]
pub(super) struct Service(Value);

impl Service {
    /// With the stack's.
    pub(super) fn name(&self) -> &str {
        self.0["Spec"]["Name"].as_str().unwrap_or_default()
    }

    pub(super) fn replicas(&self) -> Result<u32, SwarmError> {
        let replicas = self.0["Spec"]["Mode"]["Replicated"]["Replicas"].as_u64();
        let replicas = replicas.and_then(|replicas| u32::try_from(replicas).ok());
        replicas.ok_or_else(|| {
            let name = self.name();
            SwarmError::Refused(format!(
                "the service {name} has no replicas: it can be scaled only in the mode `replicated`"
            ))
        })
    }

    fn stack(&self) -> &str {
        self.0["Spec"]["Labels"][STACK].as_str().unwrap_or_default()
    }
}

impl Manager {
    pub(super) fn new(config: SwarmFleetConfig) -> Self {
        let client = OnceLock::new();
        Self { config, client }
    }

    /// The workers' service, as it is now.
    pub(super) async fn service(&self) -> Result<Service, SwarmError> {
        let label = match &self.config.stack {
            Some(stack) => format!("{STACK}={stack}"),
            None => STACK.to_owned(),
        };
        let filters = serde_json::json!({ "label": [label] }).to_string();
        let listed = self
            .ask(Method::GET, "/services", &[("filters", &filters)], None)
            .await?;
        let Value::Array(services) = listed else {
            return Err(SwarmError::Refused("the engine lists no services".into()));
        };
        let wanted = |service: &Service| {
            service.name() == format!("{}_{}", service.stack(), self.config.service)
        };
        let mut services: Vec<Service> = services.into_iter().map(Service).filter(wanted).collect();
        let found = services.len();
        match services.pop() {
            Some(service) if found == 1 => Ok(service),
            Some(_) => {
                let advice =
                    "several stacks have such a service: set --compose-project to the name of ours";
                Err(SwarmError::Refused(advice.into()))
            }
            None => {
                let service = &self.config.service;
                Err(SwarmError::Refused(format!(
                    "there is no stack with a service {service}: deploy it first, or set --worker-service"
                )))
            }
        }
    }

    /// Makes the service what it was, with so many replicas.
    pub(super) async fn update(&self, service: &Service, replicas: u32) -> Result<(), SwarmError> {
        let unread = || SwarmError::Refused("the engine's service is not understood".into());
        let id = service.0["ID"].as_str().ok_or_else(unread)?;
        let version = service.0["Version"]["Index"].as_u64().ok_or_else(unread)?;
        let mut spec = service.0["Spec"].clone();
        spec["Mode"]["Replicated"]["Replicas"] = replicas.into();
        let path = format!("/services/{id}/update");
        let version = version.to_string();
        self.ask(Method::POST, &path, &[("version", &version)], Some(spec))
            .await?;
        Ok(())
    }

    /// The tasks of the workers' service, those that have ended among them.
    pub(super) async fn tasks(&self) -> Result<Vec<Task>, SwarmError> {
        let service = self.service().await?;
        let filters = HashMap::from([("service", vec![service.name()])]);
        let options = ListTasksOptionsBuilder::default().filters(&filters).build();
        let docker = self.connect()?;
        look(docker.list_tasks(Some(options))).await
    }

    /// All machines of the Swarm.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, SwarmError> {
        let docker = self.connect()?;
        look(docker.list_nodes(None::<ListNodesOptions>)).await
    }

    fn connect(&self) -> Result<Docker, SwarmError> {
        Docker::connect_with_host(&self.config.host).map_err(|error| translate(&error))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, SwarmError> {
        let (client, base) = self.client()?;
        let mut request = client.request(method, format!("{base}{path}")).query(query);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let answer = answer.bytes().await.map_err(away)?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let said = answer["message"].as_str().unwrap_or_default();
        Err(refused(status, said))
    }

    /// A client, and what comes before the path.
    fn client(&self) -> Result<(Client, String), SwarmError> {
        if let Some(made) = self.client.get() {
            return Ok(made.clone());
        }
        let host = &self.config.host;
        // An engine that was restarted knows of no connection that was kept.
        let client = Client::builder()
            .timeout(PATIENCE)
            .pool_max_idle_per_host(0);
        let (client, base) = match host.strip_prefix("unix://") {
            Some(path) => (client.unix_socket(path), "http://docker".to_owned()),
            None => (client, host.replacen("tcp://", "http://", 1)),
        };
        let client = client.no_proxy().build().map_err(away)?;
        Ok(self.client.get_or_init(|| (client, base)).clone())
    }
}

async fn look<T>(asking: impl Future<Output = Result<T, BollardError>>) -> Result<T, SwarmError> {
    match timeout(PATIENCE, asking).await {
        Ok(answer) => answer.map_err(|error| translate(&error)),
        Err(_) => Err(SwarmError::Away),
    }
}

fn translate(error: &BollardError) -> SwarmError {
    match error {
        BollardError::DockerResponseServerError {
            status_code,
            message,
        } => {
            let status = StatusCode::from_u16(*status_code);
            refused(status.unwrap_or(StatusCode::BAD_GATEWAY), message)
        }
        BollardError::JsonDataError { .. } | BollardError::JsonSerdeError { .. } => {
            tracing::error!(%error, "the Docker engine's answer is not understood");
            SwarmError::Refused("the engine's answer is not understood".into())
        }
        error => away(error),
    }
}

/// `said` is the engine's message, for the log: it names what is wrong, and quotes no environment.
fn refused(status: StatusCode, said: &str) -> SwarmError {
    match status.as_u16() {
        500 if said.contains("update out of sequence") => SwarmError::OutOfSequence,
        // The engine's own, of a machine that is no manager.
        503 if said.contains("swarm") => {
            let advice = "the Docker engine is no Swarm manager: `docker swarm init` makes it one";
            SwarmError::Refused(advice.into())
        }
        502..=504 => SwarmError::Away,
        status @ 500.. => {
            tracing::warn!(http.status = status, said, "the Docker engine failed");
            SwarmError::Failed { status }
        }
        status => {
            tracing::warn!(http.status = status, said, "the Docker engine refused");
            SwarmError::Refused(format!(
                "the engine refused ({status}); this program's log has its words"
            ))
        }
    }
}

fn away(error: impl std::error::Error) -> SwarmError {
    tracing::warn!(%error, "the Docker engine does not answer");
    SwarmError::Away
}
