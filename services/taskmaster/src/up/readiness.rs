//! Waiting until what was started really works: asked the way users will ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use taskmaster_fleet::{FleetWorkerState, ProcessFleet};
use tokio::time::{Instant, interval};

use crate::client::{Client, Worker};

/// How long all of it may take. Workers wait for Postgres and RabbitMQ themselves, and both run by now.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Workers {
    workers: Vec<Worker>,
}

/// The address by which this machine reaches what listens on `listen`.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Returns when the API says that it is ready and every worker of the fleet is online.
///
/// # Errors
/// When that takes too long: what is missing.
pub(super) async fn wait(
    address: SocketAddr,
    fleet: &ProcessFleet,
    logs: &Path,
) -> anyhow::Result<()> {
    let client = Client::new(&format!("http://{address}").parse()?)?;
    let deadline = Instant::now() + PATIENCE;
    let mut tick = interval(Duration::from_millis(25));
    loop {
        tick.tick().await;
        let missing = missing(&client, fleet).await?;
        match missing {
            None => return Ok(()),
            Some(missing) if Instant::now() > deadline => {
                bail!(
                    "after {} s {missing}: the logs in {} may say why",
                    PATIENCE.as_secs(),
                    logs.display()
                );
            }
            Some(_) => {}
        }
    }
}

async fn missing(client: &Client, fleet: &ProcessFleet) -> anyhow::Result<Option<String>> {
    let answers = async {
        client.get("/readyz", &[]).await?;
        client.get_as::<Workers>("/api/v1/workers", &[]).await
    };
    let online = match answers.await {
        Ok(Workers { workers }) => workers,
        Err(error) if error.may_pass() => return Ok(Some("the API is not ready".to_owned())),
        Err(error) => return Err(error).context("the API does not answer"),
    };
    // By its process: a worker of an earlier run may still be listed under the same name.
    let waited_for = fleet.workers().into_iter().find(|worker| {
        worker.state != FleetWorkerState::Draining
            && !online.iter().any(|other| {
                other.is_online()
                    && other.name == worker.name
                    && Some(other.pid) == worker.pid.map(i64::from)
            })
    });
    Ok(waited_for.map(|worker| format!("{} is not online", worker.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everywhere_is_reached_by_loopback() {
        for (listen, expected) in [
            ("127.0.0.1:8081", "127.0.0.1:8081"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.7:80", "192.0.2.7:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
