//! A Postgres and a RabbitMQ for one test alone, which may stop and start them.

use std::path::Path;

use anyhow::Result;
use secrecy::ExposeSecret;
use taskmaster_embedded::{
    Durability, Postgres, PostgresConfig, RabbitMq, RabbitMqConfig, start_both,
};

/// See the module. Both end with this.
pub struct PrivateServers {
    /// The Postgres, with an empty database.
    pub postgres: Postgres,
    /// The RabbitMQ.
    pub rabbitmq: RabbitMq,
}

impl PrivateServers {
    /// Starts both, with their data in `folder`.
    ///
    /// # Errors
    /// When one of them cannot be started.
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, Vec::new()).await
    }

    /// The same, with settings of RabbitMQ as in `rabbitmq.conf`. Postgres's can be changed while it runs.
    ///
    /// # Errors
    /// When one of them cannot be started.
    pub async fn start_with(folder: &Path, rabbitmq: Vec<(String, String)>) -> Result<Self> {
        let postgres = PostgresConfig {
            durability: Durability::Throwaway,
            // Few enough for a test to use all of them up.
            settings: vec![("max_connections".to_owned(), "60".to_owned())],
            ..PostgresConfig::new(folder.join("postgres"))
        };
        let rabbitmq = RabbitMqConfig {
            settings: rabbitmq,
            ..RabbitMqConfig::new(folder.join("rabbitmq"))
        };
        let (postgres, rabbitmq) = start_both(postgres, rabbitmq).await?;
        Ok(Self { postgres, rabbitmq })
    }

    /// How to connect to the Postgres.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.postgres.url().expose_secret().to_owned()
    }

    /// How to connect to the RabbitMQ.
    #[must_use]
    pub fn amqp_url(&self) -> String {
        self.rabbitmq.url().expose_secret().to_owned()
    }
}
