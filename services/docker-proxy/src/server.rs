//! Listening, finding out whose workers they are, and answering until told to stop.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use axum::serve::ListenerExt;
use taskmaster_runtime::Backoff;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::ProxyConfig;
use crate::engine::Engine;
use crate::ours::{Nobody, Ours};
use crate::proxy::{Proxy, router};

/// Enough to stop 50 workers at once, and to wait for each, several times over.
const MOST_REQUESTS: usize = 256;
/// How long requests may take to end once the proxy is told to stop. Those that wait for a worker to stop, or for
/// events, do not; the engine goes on with what it was asked for.
const GRACE: Duration = Duration::from_secs(2);

/// Takes the address of the configuration.
///
/// # Errors
/// When it cannot be had: one line that says what to do.
pub async fn bind(config: &ProxyConfig) -> anyhow::Result<TcpListener> {
    let address = config.listen;
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{address} is in use already: stop what listens there, or choose another address with --listen ADDRESS:PORT"
        ),
        _ => anyhow!("cannot listen on {address}: {error}: choose another address with --listen ADDRESS:PORT"),
    })
}

/// Finds out whose workers they are, as soon as the engine answers, and then answers requests until `shutdown`.
///
/// # Errors
/// When they are nobody's, in one line that says what to do, or the listener breaks.
pub async fn serve(
    config: ProxyConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let engine = Engine::new(config.docker_host.clone());
    let ours = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        ours = whose(&config, &engine) => ours?,
    };
    tracing::info!(address = %listener.local_addr()?, engine = %config.docker_host, ?ours, "the Docker proxy listens");
    // An event must not wait for more to come.
    let listener = listener.tap_io(|connection| {
        connection.set_nodelay(true).ok();
    });
    let router = router(Arc::new(Proxy::new(engine, ours, MOST_REQUESTS)));
    let serving =
        axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = overdue => Ok(()),
    }
}

/// Asks until the engine answers.
async fn whose(config: &ProxyConfig, engine: &Engine) -> anyhow::Result<Ours> {
    let mut backoff = Backoff::default();
    loop {
        let error = match Ours::find(config, engine).await {
            Ok(ours) => return Ok(ours),
            Err(Nobody::Engine(error)) => error,
            Err(error @ Nobody::Unknown(_)) => return Err(error.into()),
        };
        if backoff.is_fresh() {
            let engine = &config.docker_host;
            let error = anyhow::Error::from(error);
            tracing::warn!(%engine, error = format!("{error:#}"), "waits for the Docker engine");
        }
        backoff.wait().await;
    }
}
