//! TaskMaster on a real Docker engine, by the files that users have: `docker-compose.yml` and `deploy/`.
//!
//! They need an engine and images, so all of them are ignored unless asked for: `cargo xtask test --only docker` finds or
//! starts the engine, makes the images, sets the `TASKMASTER_TEST_…` variables, and asks for them.

mod autoscale;
mod compose;
mod departures;
mod engine;
mod fleet;
mod handover;
mod harm;
mod image;
mod isolation;
mod layers;
mod load;
mod project;
mod proxy;
mod swarm;
