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
        Self::start_with(folder, Vec::new(), Vec::new()).await
    }

    /// The same, with settings of Postgres as in `postgresql.conf` and of RabbitMQ as in `rabbitmq.conf`.
    ///
    /// # Errors
    /// When one of them cannot be started.
    pub async fn start_with(
        folder: &Path,
        mut postgres: Vec<(String, String)>,
        rabbitmq: Vec<(String, String)>,
    ) -> Result<Self> {
        // Few enough for a test to use all of them up.
        postgres.push(("max_connections".to_owned(), "60".to_owned()));
        let postgres = PostgresConfig {
            durability: Durability::Throwaway,
            settings: postgres,
            ..PostgresConfig::new(folder.join("postgres"))
        };
        let rabbitmq = RabbitMqConfig {
            settings: rabbitmq,
            ..RabbitMqConfig::new(folder.join("rabbitmq"))
        };
        let (postgres, rabbitmq) = start_both(postgres, rabbitmq).await?;
        Ok(Self { postgres, rabbitmq })
    }

    /// Starts both as `taskmaster up` does: every commit reaches the disk, and nothing is tuned. `bin` is Postgres's `bin`
    /// folder; unless told, it is looked for.
    ///
    /// # Errors
    /// When one of them cannot be started.
    pub async fn start_durable(folder: &Path, bin: Option<&Path>) -> Result<Self> {
        let mut postgres = PostgresConfig::new(folder.join("postgres"));
        if let Some(bin) = bin {
            postgres.bin_dir = Some(bin.to_owned());
        }
        let rabbitmq = RabbitMqConfig::new(folder.join("rabbitmq"));
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
