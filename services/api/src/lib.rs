//! The HTTP API, the live event stream and the dashboard's files.
//!
//! One file for each resource: `seed` has the original endpoints, with their letter case; `v1` has everything else.
//! Every request passes `access` (is it meant for us, and from one of our pages?) and every handler takes a
//! `caller::Caller`. Every answer that is an error is made in `error`. No SQL and no AMQP here: that is the store's
//! and the broker's.

mod access;
mod assets;
mod autoscaler;
mod body;
mod caller;
mod config;
mod docs;
mod error;
mod group_commit;
mod headers;
mod health;
mod idempotency;
mod live;
mod operations;
mod problem;
mod query;
mod router;
mod seed;
mod server;
mod state;
mod submission;
mod task_id;
mod v1;
mod worker_name;

pub use config::{AUTOSCALE_INTERVAL, AllowedHost, ApiConfig, FLEET_PATIENCE};
pub use docs::openapi;
pub use router::router;
pub use server::{bind, serve};
pub use state::ApiState;
