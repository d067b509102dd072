//! One more worker: created, connected, started.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::engine::{Engine, EngineError};
use super::spec;
use crate::steps::{tell, tell_failure};
use crate::{ScaleFailure, StepKind, Steps};

/// How often a number is tried that somebody else has taken in the meantime.
const NUMBERS_TRIED: u32 = 5;

/// What it takes to make one more worker.
pub(super) struct Maker<'a> {
    /// Where it is made.
    pub(super) engine: &'a Engine,
    /// The worker that it is made like.
    pub(super) inspection: &'a Value,
    /// Of which image.
    pub(super) image: &'a str,
    /// The next one that nobody has, as far as we know.
    pub(super) number: AtomicU32,
    /// To whom each step is told.
    pub(super) steps: &'a Steps,
}

impl Maker<'_> {
    /// A new container, started; its name.
    pub(super) async fn make(&self) -> Result<String, ScaleFailure> {
        let (name, id) = self.create().await?;
        tell(self.steps, &name, StepKind::Created);
        let started = self.start(&name, &id).await;
        if started.is_err() {
            // It would be started by the next `up` or scale, by then unasked for.
            self.engine.remove(&id).await.ok();
        }
        started
    }

    async fn create(&self) -> Result<(String, String), ScaleFailure> {
        let mut tries = 1..=NUMBERS_TRIED;
        loop {
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            let name = format!("number {number}");
            let made = spec::like(self.inspection, self.image, number)
                .map_err(|reason| self.failed(name, StepKind::Created, reason.to_string()))?;
            let created = match self.engine.create(&made.name, made.body).await {
                // Compose was faster.
                Err(EngineError::Conflict) if tries.next().is_some() => continue,
                Err(EngineError::Gone) => Err("its image or its network is not there".to_owned()),
                created => created.map_err(|error| error.to_string()),
            };
            let id = created
                .map_err(|reason| self.failed(made.name.clone(), StepKind::Created, reason))?;
            if let Err(error) = self.connect(&id, made.connect).await {
                self.engine.remove(&id).await.ok();
                return Err(self.failed(made.name, StepKind::Created, error.to_string()));
            }
            return Ok((made.name, id));
        }
    }

    /// Connects it to what it is not connected to yet: a proxy that makes containers itself has done it.
    async fn connect(&self, id: &str, further: Vec<(String, Value)>) -> Result<(), EngineError> {
        if further.is_empty() {
            return Ok(());
        }
        let inspection = self.engine.inspect(id).await?;
        for (network, endpoint) in further {
            if inspection["NetworkSettings"]["Networks"][&network].is_null() {
                self.engine.connect_network(&network, id, endpoint).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn start(&self, name: &str, id: &str) -> Result<String, ScaleFailure> {
        match self.engine.start(id).await {
            Ok(()) => {
                tracing::info!(container.name = %name, "started");
                tell(self.steps, name, StepKind::Started);
                Ok(name.to_owned())
            }
            Err(error) => Err(self.failed(name.to_owned(), StepKind::Started, error.to_string())),
        }
    }

    fn failed(&self, name: String, step: StepKind, reason: String) -> ScaleFailure {
        tracing::error!(container.name = %name, ?step, reason, "a worker could not be started");
        tell_failure(self.steps, &name, &reason);
        ScaleFailure { name, step, reason }
    }
}
