//! How a container is told to go, also by an engine that is restarted meanwhile.

use std::time::Duration;

use tokio::time::sleep;

use super::container::Container;
use super::engine::{Engine, EngineError};

/// What a killed worker gets for what it runs.
const KILL_GRACE: Duration = Duration::from_secs(10);
/// What a worker that was told to stop at once gets to hand back what it holds.
const HAND_BACK: Duration = Duration::from_secs(5);
/// How long one that was told to go is told again while the engine is away, and how often.
const AWAY_TRIES: u32 = 60;
const AWAY_PAUSE: Duration = Duration::from_secs(5);

/// How a container is told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// With the time that its `stop_grace_period` gives.
    Drain,
    /// Soon.
    Kill,
}

/// Stops a container as it was told to go.
pub(super) async fn stop(
    engine: &Engine,
    container: &Container,
    order: Order,
) -> Result<(), EngineError> {
    if order == Order::Drain {
        return engine.stop(&container.id, None).await;
    }
    match engine.terminate(&container.id).await {
        Ok(()) | Err(EngineError::Conflict) => {}
        Err(error) => return Err(error),
    }
    let grace = if engine.stopped_within(&container.id, KILL_GRACE).await {
        // Told to the engine all the same, or its restart policy undoes it.
        Duration::ZERO
    } else {
        HAND_BACK
    };
    engine.stop(&container.id, Some(grace)).await
}

/// The engine may be restarted while workers drain.
pub(super) async fn again_while_away<T, Asked>(ask: impl Fn() -> Asked) -> Result<T, EngineError>
where
    Asked: Future<Output = Result<T, EngineError>>,
{
    for _ in 1..AWAY_TRIES {
        match ask().await {
            Err(EngineError::Away) => sleep(AWAY_PAUSE).await,
            answer => return answer,
        }
    }
    ask().await
}
