//! Where the API listens, and by which names it may be called.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use axum::http::uri::Authority;
use taskmaster_broker::BrokerConfig;
use taskmaster_store::StoreConfig;

/// How long a change of the fleet waits until others have had their turn.
pub const FLEET_PATIENCE: Duration = Duration::from_secs(30);

/// The API's configuration.
#[derive(Debug, Clone, clap::Args)]
pub struct ApiConfig {
    /// Postgres.
    #[command(flatten)]
    pub store: StoreConfig,
    /// RabbitMQ.
    #[command(flatten)]
    pub broker: BrokerConfig,
    /// The address and port of the API and the dashboard
    #[arg(
        long,
        env = "TASKMASTER_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,
    /// Another host name by which the API is reached, such as that of a reverse proxy. May be given several times
    #[arg(
        long = "allowed-host",
        env = "TASKMASTER_ALLOWED_HOSTS",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    pub allowed_hosts: Vec<AllowedHost>,
    /// Seconds from one decision of the autoscaler to the next
    #[arg(long, env = "TASKMASTER_AUTOSCALE_INTERVAL", default_value_t = AUTOSCALE_INTERVAL, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub autoscale_interval: u32,
    /// See [`FLEET_PATIENCE`].
    #[arg(skip = FLEET_PATIENCE)]
    pub fleet_patience: Duration,
}

/// Often enough to meet a burst, and seldom enough to see what the last decision did.
pub const AUTOSCALE_INTERVAL: u32 = 5;

/// A host name or address without a port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost(pub(crate) String);

/// The text is no host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host name: give it without scheme and path, as in tasks.example.com")]
pub struct InvalidHost(String);

impl FromStr for AllowedHost {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let authority: Authority = text.parse().map_err(|_| InvalidHost(text.to_owned()))?;
        let host = authority.host();
        if host.is_empty() || text.contains('@') || host.contains('*') {
            return Err(InvalidHost(text.to_owned()));
        }
        Ok(Self(host.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_nothing_else() {
        let host = |text: &str| text.parse::<AllowedHost>().map(|host| host.0);
        assert_eq!(host("Tasks.Example.com").unwrap(), "tasks.example.com");
        assert_eq!(host("tasks.example.com:8443").unwrap(), "tasks.example.com");
        assert_eq!(host("[::2]").unwrap(), "[::2]");
        for bad in ["", "*", "*.example.com", "https://x", "a/b", "me@x", "a b"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
