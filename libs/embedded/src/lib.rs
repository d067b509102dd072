//! A private Postgres and a private RabbitMQ as child processes.
