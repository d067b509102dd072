//! Claims due tasks, publishes assignments, rescues what was lost, takes in submissions from AMQP.
