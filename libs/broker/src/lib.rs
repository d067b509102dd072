//! RabbitMQ: topology, messages, publisher, consumer.
