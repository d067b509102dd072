//! What every handler works with.

use std::sync::Arc;

use anyhow::Context;
use taskmaster_broker::{ControlPublisher, EventPublisher};
use taskmaster_fleet::Fleet;
use taskmaster_store::PgPool;
use tokio_util::sync::CancellationToken;

use crate::ApiConfig;
use crate::access::AllowedHosts;
use crate::group_commit::GroupCommit;
use crate::live::Live;
use crate::operations::Operations;

/// The parts of the API that requests share. Cloning it is cheap.
#[derive(Clone)]
pub struct ApiState {
    pub(crate) pool: PgPool,
    pub(crate) submissions: GroupCommit,
    pub(crate) events: EventPublisher,
    pub(crate) control: ControlPublisher,
    pub(crate) live: Live,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) operations: Operations,
    pub(crate) allowed_hosts: Arc<AllowedHosts>,
    /// Streams end when this is cancelled.
    pub(crate) shutdown: CancellationToken,
    /// The last events are sent when this is cancelled: after the last request.
    pub(crate) events_shutdown: CancellationToken,
}

impl ApiState {
    /// Connects to nothing yet: Postgres and RabbitMQ may come later, and go. Needs a running tokio runtime.
    ///
    /// # Errors
    /// When an address cannot be read.
    pub fn new(
        config: &ApiConfig,
        fleet: Arc<Fleet>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let events_shutdown = CancellationToken::new();
        let events = EventPublisher::spawn(
            config.broker.clone(),
            "taskmaster api: events",
            events_shutdown.clone(),
        );
        let pool = config.store.pool();
        let pool = pool.context("the address of Postgres is not valid")?;
        Ok(Self {
            submissions: GroupCommit::spawn(pool.clone()),
            pool,
            control: ControlPublisher::new(&config.broker)?,
            live: Live::spawn(config.broker.clone(), shutdown.clone()),
            events,
            fleet,
            operations: Operations::new(config.store.clone(), config.fleet_patience),
            allowed_hosts: Arc::new(AllowedHosts::new(config.listen, &config.allowed_hosts)),
            shutdown,
            events_shutdown,
        })
    }
}
