//! The whole system: the real executable on a real Postgres and a real RabbitMQ.

mod amqp;
mod autoscale;
mod backup;
mod cancel;
mod certificates;
mod client;
mod coordinators;
mod cost;
mod deadlines;
mod doctor;
mod drain;
mod env_file;
mod exhausted;
mod healthcheck;
mod https;
mod lifecycle;
mod message_ids;
mod oom;
mod outage;
mod output;
mod pgbouncer;
mod processes;
mod rescue;
mod rolling;
mod single_attempt;
mod submit_again;
mod threads;
mod tls;
mod up;
mod up_refusals;
mod up_simulated;

/// The executable under test.
const TASKMASTER: &str = env!("CARGO_BIN_EXE_taskmaster");
