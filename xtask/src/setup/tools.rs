//! The programs that the machine must have, and how to tell that it has them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Purpose, apt};
use crate::engine;
use crate::process::find;

/// One program.
pub(crate) struct Tool {
    /// For people.
    pub(crate) name: &'static str,
    /// Debian's and Ubuntu's package.
    pub(crate) package: &'static str,
    /// What cannot do without it.
    pub(crate) purpose: Purpose,
    /// Is it on this machine?
    pub(crate) found: fn() -> bool,
}

/// All but Node.js, which has a module of its own.
pub(crate) const TOOLS: [Tool; 11] = [
    Tool {
        name: "PostgreSQL's server, 14 or newer, with initdb",
        package: "postgresql",
        purpose: Purpose::Run,
        found: || find("initdb").is_some() || debian_postgres(),
    },
    Tool {
        name: "RabbitMQ's server, 3.10 or newer",
        package: "rabbitmq-server",
        purpose: Purpose::Run,
        found: || find("rabbitmq-server").is_some(),
    },
    Tool {
        name: "Chromium, for the browser test",
        package: "chromium",
        purpose: Purpose::Test,
        found: || chromium().is_some(),
    },
    Tool {
        name: "Python 3 with pika, for the test of the Python example",
        package: "python3-pika",
        purpose: Purpose::Test,
        found: || python().is_some(),
    },
    Tool {
        name: "Docker's engine and client, for the tests on containers",
        package: "docker.io",
        purpose: Purpose::Containers,
        found: || find("dockerd").is_some() && find("docker").is_some() || engine::is_there(),
    },
    Tool {
        name: "docker-compose, for the tests on containers",
        package: "docker-compose",
        purpose: Purpose::Containers,
        found: || find("docker-compose").is_some(),
    },
    // Where it is not a package, a machine that cannot pull images is told so then.
    Tool {
        name: "debootstrap, for images that cannot be pulled",
        package: "debootstrap",
        purpose: Purpose::Containers,
        found: || find("debootstrap").is_some() || !apt::usable(),
    },
    Tool {
        name: "iptables, for a Docker engine of our own",
        package: "iptables",
        purpose: Purpose::Containers,
        found: || find("iptables").is_some() || engine::is_there(),
    },
    Tool {
        name: "nginx, for the test of the API behind TLS",
        package: "nginx-light",
        purpose: Purpose::Test,
        found: || find("nginx").is_some(),
    },
    Tool {
        name: "PgBouncer, for the test of workers behind it",
        package: "pgbouncer",
        purpose: Purpose::Test,
        found: || find("pgbouncer").is_some(),
    },
    // Not in every container.
    Tool {
        name: "systemd-analyze, for the test of the systemd units",
        package: "systemd",
        purpose: Purpose::Test,
        found: || find("systemd-analyze").is_some(),
    },
];

/// Debian keeps each version's programs in a folder of its own, off the path.
fn debian_postgres() -> bool {
    std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .any(|version| version.path().join("bin/initdb").is_file())
}

/// The browser that the browser test drives.
pub(crate) fn chromium() -> Option<PathBuf> {
    [
        "chromium",
        "chromium-browser",
        "google-chrome-stable",
        "google-chrome",
    ]
    .into_iter()
    .find_map(find)
}

/// A Python that has pika: not always the first on the path.
pub(crate) fn python() -> Option<PathBuf> {
    [find("python3"), Some(PathBuf::from("/usr/bin/python3"))]
        .into_iter()
        .flatten()
        .find(|python| has_pika(python))
}

fn has_pika(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", "import pika"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
