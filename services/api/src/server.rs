//! Listening, and stopping without losing an answer.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use axum::serve::ListenerExt;
use taskmaster_fleet::Fleet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{ApiConfig, ApiState, autoscaler, operations, router};

/// How long the connections to Postgres may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long requests may take to end once the API is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Takes the address of the configuration.
///
/// # Errors
/// When it cannot be had: one line that says what to do.
pub async fn bind(config: &ApiConfig) -> anyhow::Result<TcpListener> {
    let address = config.listen;
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{address} is in use already: stop what listens there, or choose another address with --listen ADDRESS:PORT"
        ),
        ErrorKind::AddrNotAvailable => anyhow!(
            "{address} is no address of this machine: choose one with --listen ADDRESS:PORT"
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "{address} may not be used by this user: choose a port from 1024 up with --listen ADDRESS:PORT"
        ),
        _ => anyhow!("cannot listen on {address}: {error}"),
    })
}

/// Answers requests until `shutdown`, then lets those under way end.
///
/// # Errors
/// When the configuration is not valid or the listener breaks.
pub async fn serve(
    config: ApiConfig,
    listener: TcpListener,
    fleet: Arc<Fleet>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let state = ApiState::new(&config, fleet, shutdown.clone())?;
    let autoscaling = tokio::spawn(autoscaler::run(
        state.clone(),
        config.store.clone(),
        Duration::from_secs(config.autoscale_interval.into()),
        shutdown.clone(),
    ));
    tracing::info!(address = %listener.local_addr()?, "the API listens");
    tokio::spawn(operations::adopt(state.clone()));
    // Small answers and events must not wait for more to come.
    let listener = listener.tap_io(|connection| {
        connection.set_nodelay(true).ok();
    });
    let serving = axum::serve(listener, router(state.clone()))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = overdue => {
            tracing::warn!(after_seconds = GRACE.as_secs(), "leaves connections that did not end");
            Ok(())
        }
    };
    // What they decide is decided whole; what goes on after that is the next API's.
    state.operations.stopped().await;
    state.events_shutdown.cancel();
    tokio::time::timeout(CLOSE_TIMEOUT, autoscaling).await.ok();
    state.events.stopped().await;
    // A statement that Postgres does not answer would keep it waiting.
    tokio::time::timeout(CLOSE_TIMEOUT, state.pool.close())
        .await
        .ok();
    Ok(served?)
}
