//! How a container is told to go, also by an engine that is restarted meanwhile.
//!
//! A worker finishes what it runs at its first SIGTERM and aborts it at its second, and the engine sends one at each stop.
//! So a container that may have heard of it is waited for; it is told again only when its time is over.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::container::Container;
use super::engine::{Engine, EngineError, stop_timeout};

/// What a killed worker gets for what it runs.
const KILL_GRACE: Duration = Duration::from_secs(10);
/// What a worker that was told to stop at once gets to hand back what it holds.
const HAND_BACK: Duration = Duration::from_secs(5);
/// What the engine gets beyond a container's time, until it has killed one that does not go.
const FOLLOW_MARGIN: Duration = Duration::from_secs(2);
/// How often the engine is asked again while it is away, and how long it is left alone each time.
const AWAY_TRIES: u32 = 300;
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// How a container is told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// With the time that its `stop_grace_period` gives.
    Drain,
    /// Soon.
    Kill,
}

/// Stops a container as it is told to go; or, if it `was_told` by somebody who has ended since, as it was told.
pub(super) async fn stop(
    engine: &Engine,
    container: &Container,
    order: Order,
    was_told: bool,
) -> Result<(), EngineError> {
    let following = Mutex::new(Following {
        was_told,
        until: None,
    });
    again_while_away(|| stop_once(engine, &container.id, order, &following)).await
}

/// What is known between two tries.
struct Following {
    /// Perhaps: the answer may be what was lost.
    was_told: bool,
    /// When its time is over.
    until: Option<Instant>,
}

impl Following {
    /// Until when a container is waited for that was told before; `None`: it is told now, for the first time.
    fn until(&mut self, grace: Duration) -> Option<Instant> {
        let over = Instant::now() + grace;
        let was_told = std::mem::replace(&mut self.was_told, true);
        was_told.then(|| *self.until.get_or_insert(over))
    }
}

async fn stop_once(
    engine: &Engine,
    id: &str,
    order: Order,
    following: &Mutex<Following>,
) -> Result<(), EngineError> {
    // First: an engine that does not answer this has told nobody anything.
    let inspection = engine.inspect(id).await?;
    let (grace, last) = match order {
        Order::Drain => (stop_timeout(&inspection) + FOLLOW_MARGIN, None),
        Order::Kill => (KILL_GRACE, Some(HAND_BACK)),
    };
    let until = {
        let mut following = following.lock().unwrap_or_else(PoisonError::into_inner);
        following.until(grace)
    };
    if let Some(until) = until {
        let left = until.saturating_duration_since(Instant::now());
        engine.stopped_within(id, left).await?;
    } else if order == Order::Kill {
        match engine.terminate(id).await {
            Ok(()) | Err(EngineError::Conflict) => {}
            Err(error) => return Err(error),
        }
        engine.stopped_within(id, grace).await?;
    }
    // Also one that has stopped, which is sent nothing: else its restart policy undoes it.
    engine.stop(id, last).await
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
