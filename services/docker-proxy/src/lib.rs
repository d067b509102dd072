//! `taskmaster docker-proxy`: the only process that holds the Docker engine's socket, and what it lets the API do with
//! it: see, make, start, stop and remove the workers of its own Compose project or Swarm stack.
//!
//! A request is read into a `call::Call`, a closed list, and what reaches the engine is made anew from that: no header,
//! parameter or body of a caller passes. The body of a new container is made too, from a worker that is there. No
//! opinion lives here on what a worker looks like (`taskmaster_fleet::docker::spec`), nor on how many there should be.

mod call;
mod config;
mod create;
mod engine;
mod filters;
mod ours;
mod parse;
mod proxy;
mod query;
mod refusal;
mod server;
mod services;
#[cfg(test)]
mod tests;
mod wanted;

pub use config::{DockerHost, InvalidDockerHost, ProxyConfig};
pub use server::{bind, serve};
