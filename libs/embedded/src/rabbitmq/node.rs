//! What the node and its port mapper are started with.
//!
//! Everything that RabbitMQ's scripts would take from the system (`/etc/rabbitmq`, `/var/lib/rabbitmq`, the user's home with the
//! Erlang cookie) is pointed into our folder.

use std::process::Command;

use rustix::process::Signal;

use super::{DATA, RabbitMq, USER};
use crate::error::Error;

/// Two schedulers that sleep when there is nothing to do: an idle node costs next to no CPU. The distribution listens on loopback.
const ERL_ARGS: &str = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none \
    -kernel inet_dist_use_interface {127,0,0,1}";

impl RabbitMq {
    /// The node's command; its files are written first. Also tells where in the log its output will begin.
    pub(super) fn node_command(&self) -> Result<(Command, u64), Error> {
        self.folder.make("home")?;
        self.folder.make(DATA)?;
        self.folder.write("rabbitmq.conf", &self.settings())?;
        // No plugins: neither management (a slow start, another port) nor any that the system has enabled.
        self.folder.write("enabled_plugins", "[].\n")?;
        let (mut command, begin) =
            self.folder
                .command(&self.config.guard, Signal::TERM, &self.server, &self.log)?;
        let path = |name: &str| self.folder.join(name);
        command
            .env("HOME", path("home"))
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            // Never a daemon beside our own port mapper, also not from the helpers that the node starts.
            .env("ERL_AFLAGS", "-start_epmd false")
            .env("ERL_CRASH_DUMP", path("erl_crash.dump"))
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            // Makes the script `exec` Erlang instead of waiting for it: one process, whose SIGTERM is a clean stop.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("RABBITMQ_CONF_ENV_FILE", path("no-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_CONFIG_FILES", path("no-conf.d"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("no-advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", path(DATA))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_NODENAME", &self.state.node)
            .env("RABBITMQ_NODE_PORT", self.ports.amqp.to_string())
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERL_ARGS);
        Ok((command, begin))
    }

    /// The port mapper's command: in the foreground, on loopback.
    pub(super) fn epmd_command(&self) -> Result<(Command, u64), Error> {
        let (mut command, begin) = self.folder.command(
            &self.config.guard,
            Signal::KILL,
            &self.epmd_program,
            &self.log,
        )?;
        command
            .args(["-address", "127.0.0.1", "-port"])
            .arg(self.ports.epmd.to_string());
        Ok((command, begin))
    }

    fn settings(&self) -> String {
        let (port, password) = (self.ports.amqp, &self.state.password);
        let ours = format!(
            "# Written at each start.\n\
             listeners.tcp.local = 127.0.0.1:{port}\n\
             default_user = {USER}\n\
             default_pass = {password}\n\
             default_vhost = /\n\
             vm_memory_high_watermark.relative = 0.3\n\
             disk_free_limit.absolute = 50MB\n\
             log.console = true\n\
             log.console.level = info\n\
             log.file = false\n"
        );
        let theirs = self.config.settings.iter();
        theirs.fold(ours, |ours, (name, value)| {
            ours + &format!("{name} = {value}\n")
        })
    }
}
