//! One change of the fleet at a time: first within this process, then among all APIs.

use taskmaster_fleet::FleetError;
use taskmaster_store::fleet_lock::FleetLock;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};

use crate::ApiState;
use crate::error::ApiError;

/// Whoever has it may change the fleet.
pub(super) struct Turn {
    lock: FleetLock,
    _here: OwnedMutexGuard<()>,
}

impl Turn {
    /// Waits for it.
    ///
    /// # Errors
    /// When another change takes too long, this API stops, or Postgres is away.
    pub(super) async fn take(state: &ApiState) -> Result<Self, ApiError> {
        let waiting = state.shutdown.run_until_cancelled(wait(state));
        waiting
            .await
            .unwrap_or_else(|| Err(FleetError::ShuttingDown.into()))
    }

    /// Lets the next one have it.
    pub(super) async fn give_up(self) {
        if let Err(error) = self.lock.release().await {
            // Another one may have had its turn meanwhile: what both did is theirs to see in the fleet.
            tracing::warn!(%error, "the lock on the fleet was lost");
        }
    }
}

async fn wait(state: &ApiState) -> Result<Turn, ApiError> {
    let operations = &state.operations;
    let deadline = Instant::now() + operations.patience;
    let here = timeout(operations.patience, operations.turn.clone().lock_owned())
        .await
        .map_err(|_| busy())?;
    let patience = deadline.saturating_duration_since(Instant::now());
    let lock = FleetLock::acquire(&operations.store, patience).await?;
    Ok(Turn {
        lock: lock.ok_or_else(busy)?,
        _here: here,
    })
}

fn busy() -> ApiError {
    let detail = "another change of the fleet is under way and takes long; nothing was changed. Try again later";
    ApiError::Conflict(detail.to_owned())
}
