//! Seeing off the containers that are to go: told once, waited for, removed; and whoever told them hears of it.

use std::collections::hash_map::Entry;

use super::container::{Container, Life};
use super::engine::{EngineError, started_at};
use super::order::{Order, again_while_away, stop};
use super::{DockerFleet, Inner};
use crate::steps::{tell, tell_failure};
use crate::{FleetError, StepKind, Steps, ToldToGo};

/// A container that we told to go.
#[derive(Debug)]
pub(super) struct Leaving {
    /// The strongest one so far.
    order: Order,
    /// Whoever told it, and wants to hear of its end.
    listeners: Vec<Steps>,
}

impl DockerFleet {
    /// Sees off those that were told to go by a program that has ended since.
    pub(crate) async fn resume(&self, told: &[ToldToGo], steps: &Steps) -> Result<(), FleetError> {
        let containers = self.inner.list().await?;
        for told in told {
            let order = if told.kill { Order::Kill } else { Order::Drain };
            match containers.iter().find(|container| container.is(&told.name)) {
                Some(container) if self.goes_since(container, told).await? => {
                    self.send_off(container, order, true, steps);
                }
                Some(_) | None => tell(steps, &told.name, StepKind::Removed),
            }
        }
        Ok(())
    }

    /// Whether it has ended, or runs as it did when it was told to go. One that was started since is wanted by whoever did.
    async fn goes_since(
        &self,
        container: &Container,
        told: &ToldToGo,
    ) -> Result<bool, EngineError> {
        match container.life {
            Life::Ended | Life::Removing | Life::Stopping => return Ok(true),
            Life::Created => return Ok(false),
            Life::Running | Life::Unhealthy | Life::Restarting => {}
        }
        match self.inner.known_engine()?.inspect(&container.id).await {
            Ok(inspection) => Ok(started_at(&inspection).is_none_or(|started| started <= told.at)),
            Err(EngineError::Gone) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells a container to go, unless it was told as much already, and sees it off, in the background. In any case `steps`
    /// hear of its end. `was_told`: by somebody who has ended since.
    pub(super) fn send_off(
        &self,
        container: &Container,
        order: Order,
        was_told: bool,
        steps: &Steps,
    ) {
        match self.inner.leaving().entry(container.id.clone()) {
            Entry::Occupied(mut leaving) => {
                let leaving = leaving.get_mut();
                leaving.listeners.push(steps.clone());
                if leaving.order >= order {
                    return;
                }
                leaving.order = order;
            }
            Entry::Vacant(vacant) => {
                let listeners = vec![steps.clone()];
                vacant.insert(Leaving { order, listeners });
            }
        }
        tracing::info!(container.name = %container.name, ?order, was_told, "is to go");
        let fleet = self.clone();
        let container = container.clone();
        tokio::spawn(async move {
            let seen_off = fleet.see_off(&container, order, was_told).await;
            fleet.inner.is_over(&container, order, seen_off);
        });
    }

    /// Whether it is removed now. One that was told to go at once meanwhile is somebody else's to remove.
    async fn see_off(
        &self,
        container: &Container,
        order: Order,
        was_told: bool,
    ) -> Result<bool, EngineError> {
        let engine = self.inner.known_engine()?;
        if !container.has_ended() {
            match stop(engine, container, order, was_told).await {
                Ok(()) | Err(EngineError::Gone) => {}
                Err(error) => return Err(error),
            }
        }
        if !self.inner.has_stopped(container, order) {
            return Ok(false);
        }
        // One at a time, or two could each take the other for the one that stays.
        let _held = self.inner.removing.lock().await;
        let listed = again_while_away(|| engine.list()).await?;
        if let [last] = &listed[..]
            && last.id.as_ref() == Some(&container.id)
        {
            // New workers are made like another: without any there could be none again.
            tracing::info!(container.name = %container.name, "stopped, and kept as the model for the next one");
            return Ok(false);
        }
        match again_while_away(|| engine.remove(&container.id)).await {
            // Or somebody else is removing it.
            Ok(()) | Err(EngineError::Conflict) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl Inner {
    /// Tells that a container has stopped; false if it was told something stronger since, by whose order it is seen off.
    fn has_stopped(&self, container: &Container, order: Order) -> bool {
        let leaving = self.leaving();
        let Some(leaving) = leaving.get(&container.id).filter(|it| it.order == order) else {
            return false;
        };
        for steps in &leaving.listeners {
            tell(steps, &container.name, StepKind::Stopped);
        }
        true
    }

    /// Tells how a container's way ended, and forgets it; nothing of both if it was told something stronger since.
    fn is_over(&self, container: &Container, order: Order, seen_off: Result<bool, EngineError>) {
        if let Err(error) = &seen_off {
            tracing::error!(container.name = %container.name, %error, "could not be seen off");
        }
        let mut all = self.leaving();
        let Entry::Occupied(leaving) = all.entry(container.id.clone()) else {
            return;
        };
        if leaving.get().order != order {
            return;
        }
        for steps in leaving.remove().listeners {
            match &seen_off {
                Ok(true) => tell(&steps, &container.name, StepKind::Removed),
                Ok(false) => {}
                Err(error) => tell_failure(&steps, &container.name, &error.to_string()),
            }
        }
    }
}
