//! Who controls how many workers there are, as `taskmaster api` is told.

use taskmaster_fleet::{
    DockerFleet, DockerFleetConfig, Fleet, FleetError, SwarmFleet, SwarmFleetConfig,
};

/// What the API scales.
#[derive(Debug, clap::Args)]
pub(crate) struct FleetArgs {
    /// What the API scales
    #[arg(long = "fleet", env = "TASKMASTER_FLEET", value_enum, default_value_t)]
    kind: Kind,
    /// Where the Docker engine answers: unix:///path or tcp://host:port
    #[arg(
        long,
        env = "DOCKER_HOST",
        value_name = "URL",
        default_value = "unix:///var/run/docker.sock"
    )]
    docker_host: String,
    /// The Compose project, or the stack, that has the workers; found by itself within a container of the project
    #[arg(long, env = "TASKMASTER_COMPOSE_PROJECT", value_name = "NAME")]
    compose_project: Option<String>,
    /// The service in it whose containers the workers are
    #[arg(
        long,
        env = "TASKMASTER_WORKER_SERVICE",
        value_name = "NAME",
        default_value = "worker"
    )]
    worker_service: String,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Kind {
    /// Nothing: workers are started and stopped elsewhere
    #[default]
    None,
    /// The worker containers of a Compose project
    Docker,
    /// The workers' service of a stack on Docker Swarm
    Swarm,
}

impl FleetArgs {
    /// The fleet; called in a tokio runtime.
    ///
    /// # Errors
    /// When it cannot be told which containers are meant.
    pub(crate) fn fleet(self) -> Result<Fleet, FleetError> {
        match self.kind {
            Kind::None => Ok(Fleet::None),
            Kind::Docker => {
                let config = DockerFleetConfig {
                    host: self.docker_host,
                    project: self.compose_project,
                    service: self.worker_service,
                };
                Ok(Fleet::Docker(DockerFleet::new(config)?))
            }
            Kind::Swarm => Ok(Fleet::Swarm(SwarmFleet::new(SwarmFleetConfig {
                host: self.docker_host,
                stack: self.compose_project,
                service: self.worker_service,
            }))),
        }
    }
}
