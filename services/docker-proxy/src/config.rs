//! Where the proxy listens, where the engine is, and whose workers they are.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The proxy's configuration.
#[derive(Debug, Clone, clap::Args)]
pub struct ProxyConfig {
    /// The address and port for the API; whoever reaches it can stop workers
    #[arg(
        long,
        env = "TASKMASTER_LISTEN",
        default_value = "127.0.0.1:2375",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,
    /// Where the Docker engine is: unix:///path or tcp://host:port
    #[arg(
        long,
        env = "DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock",
        value_name = "URL"
    )]
    pub docker_host: DockerHost,
    /// The Compose project of the workers; the project or Swarm stack of our own container unless told
    #[arg(
        long,
        env = "TASKMASTER_COMPOSE_PROJECT",
        value_name = "NAME",
        value_parser = name
    )]
    pub compose_project: Option<String>,
    /// What the workers' service is called in the Compose or stack file
    #[arg(
        long,
        env = "TASKMASTER_WORKER_SERVICE",
        default_value = "worker",
        value_name = "NAME",
        value_parser = name
    )]
    pub worker_service: String,
}

/// Where a Docker engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerHost {
    /// A socket on this machine.
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
}

/// The text is no address of an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no engine's address: give unix:///var/run/docker.sock or tcp://host:2375")]
pub struct InvalidDockerHost(String);

impl FromStr for DockerHost {
    type Err = InvalidDockerHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDockerHost(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(invalid)?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            "tcp" | "http" => {
                let authority = rest.trim_end_matches('/');
                let (host, port) = authority.rsplit_once(':').ok_or_else(invalid)?;
                let fits = !host.is_empty()
                    && !host.contains(['/', '@', ' '])
                    && port.parse::<u16>().is_ok_and(|port| port > 0);
                if fits {
                    Ok(Self::Tcp(authority.to_owned()))
                } else {
                    Err(invalid())
                }
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for DockerHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(formatter, "tcp://{authority}"),
        }
    }
}

/// A Compose project's or service's.
fn name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !text.is_empty() && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("expected letters, digits, -, _ and .".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_at_a_socket_or_an_address() {
        for text in [
            "unix:///var/run/docker.sock",
            "tcp://docker-proxy:2375",
            "tcp://[::1]:2375",
        ] {
            assert_eq!(text.parse::<DockerHost>().unwrap().to_string(), text);
        }
        assert_eq!(
            "http://127.0.0.1:2375/".parse::<DockerHost>().unwrap(),
            DockerHost::Tcp("127.0.0.1:2375".to_owned())
        );
        for bad in [
            "",
            "/var/run/docker.sock",
            "unix://docker.sock",
            "tcp://",
            "tcp://host",
            "tcp://:2375",
            "tcp://host:0",
            "tcp://host:99999",
            "tcp://me@host:2375",
            "tcp://host/x:2375",
            "https://host:2376",
            "ssh://host",
        ] {
            assert!(bad.parse::<DockerHost>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_cannot_be_part_of_anything_else() {
        for good in ["worker", "my_project-2", "_x", "a.b"] {
            assert_eq!(name(good).unwrap(), good);
        }
        for bad in ["", "a b", "a=b", "a/b", "a\"b", "ä"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
