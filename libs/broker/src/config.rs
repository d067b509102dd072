//! Where RabbitMQ is and how everything in it is named.

use std::path::PathBuf;

use clap::Args;
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{Error, Names};

/// RabbitMQ gives up who is silent for two to three of these, and gives what was delivered to them to others.
const HEARTBEAT_SECONDS: u16 = 5;

/// How a service reaches RabbitMQ.
#[derive(Debug, Clone, Args)]
pub struct BrokerConfig {
    /// RabbitMQ, as amqp://USER:PASSWORD@HOST:PORT/VHOST; amqps:// for TLS, with ?cacertfile=FILE for a certificate
    /// authority that this machine does not know
    // Not validated by clap: its message would repeat the value, and with it the password.
    #[arg(long, env = "AMQP_URL", hide_env_values = true, value_name = "URL")]
    pub amqp_url: SecretString,

    /// What the names of all queues and exchanges begin with, so that several fleets can share one RabbitMQ
    #[arg(long, env = "TASKMASTER_PREFIX", default_value = "taskmaster", value_parser = parse_prefix)]
    pub prefix: String,

    /// The kind of the workers' queues, the same for all services: quorum in a cluster of RabbitMQ, where a classic queue
    /// is on one node, and its worker gets nothing while that one is down
    #[arg(
        long,
        env = "TASKMASTER_WORKER_QUEUES",
        value_enum,
        default_value_t,
        value_name = "KIND"
    )]
    pub worker_queues: WorkerQueues,
}

/// The kind of the workers' queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum WorkerQueues {
    /// On one node, and the quickest.
    #[default]
    Classic,
    /// On three nodes of a cluster, unless it is told otherwise: one may be down.
    Quorum,
}

impl BrokerConfig {
    /// The same in code.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] and [`Error::InvalidPrefix`].
    pub fn new(amqp_url: impl Into<SecretString>, prefix: &str) -> Result<Self, Error> {
        let config = Self {
            amqp_url: amqp_url.into(),
            prefix: parse_prefix(prefix)?,
            worker_queues: WorkerQueues::default(),
        };
        config.check()?;
        Ok(config)
    }

    /// Makes sure that the URL can be read, so that a service with a wrong one ends at once instead of waiting for it.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`].
    pub fn check(&self) -> Result<(), Error> {
        self.uri().map(drop)
    }

    /// Host and port, for logs and errors: all of the URL that may be shown.
    #[must_use]
    pub fn redacted(&self) -> String {
        self.uri().map_or_else(
            |_| "(an address that is not valid)".to_owned(),
            |uri| {
                let host = &uri.authority.host;
                let port = uri.authority.port;
                if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                }
            },
        )
    }

    /// The names of this fleet's queues and exchanges.
    #[must_use]
    pub fn names(&self) -> Names {
        Names::new(&self.prefix).with_worker_queues(self.worker_queues)
    }

    /// The URL's parts, with the defaults of this project for what it leaves out.
    pub(crate) fn uri(&self) -> Result<AMQPUri, Error> {
        let text = self.amqp_url.expose_secret();
        let mut uri: AMQPUri = text.parse().map_err(|_| Error::InvalidUrl)?;
        // lapin's parser reads an IPv6 host as "localhost", and connects there.
        if let Some(host) = ipv6_host(text) {
            uri.authority.host = host.to_owned();
        }
        // By the letter of the specification a trailing slash means a virtual host without a name;
        // everyone who writes it means the default one.
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(uri)
    }

    /// The certificate authorities to trust beside the machine's own, in PEM: `cacertfile`, as RabbitMQ's own clients call
    /// it. lapin's parser passes over it.
    pub(crate) fn authorities(&self) -> Option<PathBuf> {
        let url = Url::parse(self.amqp_url.expose_secret()).ok()?;
        let mut parameters = url.query_pairs();
        let (_, file) = parameters.find(|(name, _)| name == "cacertfile")?;
        Some(PathBuf::from(file.as_ref()))
    }
}

fn ipv6_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    host.strip_prefix('[')?.split_once(']').map(|(ip, _)| ip)
}

fn parse_prefix(text: &str) -> Result<String, Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(Error::InvalidPrefix(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        broker: BrokerConfig,
    }

    fn config(url: &str) -> BrokerConfig {
        BrokerConfig::new(url, "taskmaster").unwrap()
    }

    #[test]
    fn the_password_is_never_shown() {
        let config = config("amqp://bob:s3cret@rabbit.example:5673/%2f");
        assert_eq!(config.redacted(), "rabbit.example:5673");
        assert!(!format!("{config:?}").contains("s3cret"));

        for bad in [
            "s3cret",
            "bob:s3cret@host",
            "http://bob:s3cret@host/",
            "amqp://bob:s3/cret@host",
        ] {
            let error = BrokerConfig::new(bad, "taskmaster").unwrap_err();
            assert_eq!(error, Error::InvalidUrl, "{bad}");
            let parsed = Cli::try_parse_from(["x", "--amqp-url", bad]).unwrap();
            assert!(!parsed.broker.redacted().contains("cret"), "{bad}");
        }
    }

    #[test]
    fn fills_in_what_the_url_leaves_out() {
        let uri = config("amqp://localhost").uri().unwrap();
        assert_eq!((uri.vhost.as_str(), uri.authority.port), ("/", 5672));
        assert_eq!(uri.query.heartbeat, Some(HEARTBEAT_SECONDS));
        assert_eq!(config("amqp://localhost/").uri().unwrap().vhost, "/");
        assert_eq!(config("amqp://localhost/prod").uri().unwrap().vhost, "prod");
        let six = config("amqp://u:p@[2001:db8::1]:5673/x?heartbeat=3");
        assert_eq!(six.redacted(), "[2001:db8::1]:5673");
        assert_eq!(six.uri().unwrap().query.heartbeat, Some(3));
    }

    #[test]
    fn reads_where_certificate_authorities_are() {
        let file = |url| config(url).authorities();
        assert_eq!(file("amqps://h/%2f"), None);
        assert_eq!(
            file("amqps://u:p@h/%2f?heartbeat=3&cacertfile=/etc/our%20ca.pem"),
            Some(PathBuf::from("/etc/our ca.pem"))
        );
    }

    #[test]
    fn a_prefix_is_a_part_of_a_name() {
        for good in ["taskmaster", "t", "a.b_c-9", &"x".repeat(64)] {
            assert!(
                BrokerConfig::new("amqp://localhost", good).is_ok(),
                "{good}"
            );
        }
        for bad in ["", "Task", "a b", "a/b", "a*", "a#", "ä", &"x".repeat(65)] {
            assert!(BrokerConfig::new("amqp://localhost", bad).is_err(), "{bad}");
        }
        let cli = Cli::try_parse_from(["x", "--amqp-url", "amqp://h", "--prefix", "a*"]);
        assert!(cli.unwrap_err().to_string().contains("1 to 64"));
    }
}
