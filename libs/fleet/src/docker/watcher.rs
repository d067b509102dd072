//! Follows what becomes of the containers.

use std::pin::pin;
use std::sync::Weak;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::Inner;

/// An event that was missed is made up for within this.
const AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// A start is four events; the list is read once for all that come together.
const TOGETHER: Duration = Duration::from_millis(50);
/// Before an engine that is away is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Publishes the workers at each change until the fleet is dropped.
pub(super) async fn watch(fleet: Weak<Inner>) {
    loop {
        let Some(inner) = fleet.upgrade() else { return };
        let events = match inner.engine().await {
            Ok(engine) => engine.events(),
            Err(error) => Err(error),
        };
        drop(inner);
        if let Ok(events) = events {
            let mut events = pin!(events);
            // Listed once the events come, so that none falls between.
            loop {
                let Some(inner) = fleet.upgrade() else { return };
                if inner.refresh().await.is_err() {
                    break;
                }
                drop(inner);
                match timeout(AT_LEAST_EVERY, events.next()).await {
                    Ok(None) => break,
                    Ok(Some(())) => {
                        while let Ok(Some(())) = timeout(TOGETHER, events.next()).await {}
                    }
                    Err(_) => {}
                }
            }
        }
        sleep(PAUSE).await;
    }
}
