//! `taskmaster doctor`: looks at an installation, says what is wrong with it, and puts right what can safely be.
//!
//! The libraries tell facts; what they mean is judged in `server`, `fleet` and `queues`, by functions that ask nobody.
//! `postgres` and `rabbitmq` ask, repair, and ask again.

use std::process::ExitCode;
use std::time::Duration;

use console::style;
use serde::Serialize;
use taskmaster_broker::BrokerConfig;
use taskmaster_store::StoreConfig;

use crate::output::{Terminal, count, one_line, paint};
use finding::{Area, Finding, Status};

mod finding;
mod fleet;
mod postgres;
mod queues;
mod rabbitmq;
mod server;

/// What is found wrong may be over in a moment: another coordinator takes the lead, a consumer comes back. So it is
/// looked at once more after this long, which is twice the longest pause of anybody who reconnects.
const MOMENT: Duration = Duration::from_secs(2);

/// Check Postgres, RabbitMQ and the services, explain what is wrong, and repair it if asked to
///
/// Takes the addresses that the services take. Unless --repair is given, nothing is changed. Exits with 1 when a problem
/// is left; a warning is none.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreConfig,
    #[command(flatten)]
    broker: BrokerConfig,
    /// Repair what can be repaired without losing anything: the schema, partitions, queues
    #[arg(long)]
    repair: bool,
    /// With --repair: delete queues that RabbitMQ cannot use any more, and declare them again. What a cluster's other
    /// nodes may still have of their messages is lost
    #[arg(long, requires = "repair")]
    delete_broken_queues: bool,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Everything that was found, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether no problem is left.
    healthy: bool,
    checks: Vec<Finding>,
}

impl Args {
    /// Examines and prints.
    ///
    /// # Errors
    /// When nothing can be printed. What is wrong with the installation is no error.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut terminal = Terminal::new();
        let (mut checks, known) = postgres::examine(&self.store, self.repair).await;
        let repair = rabbitmq::Repair {
            safe: self.repair,
            broken_queues: self.delete_broken_queues,
        };
        checks.extend(rabbitmq::examine(&self.broker, &known, repair).await);
        let report = Report {
            healthy: checks.iter().all(|it| it.verdict.status != Status::Problem),
            checks,
        };
        if self.json {
            terminal.json(&report)?;
        } else {
            self.print(&report, &mut terminal)?;
        }
        Ok(if report.healthy {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn print(&self, report: &Report, terminal: &mut Terminal) -> anyhow::Result<()> {
        let names = report.checks.iter().map(|it| it.check.chars().count());
        let width = names.max().unwrap_or_default();
        for (area, name, place) in [
            (Area::Postgres, "Postgres", self.store.redacted()),
            (Area::Rabbitmq, "RabbitMQ", self.broker.redacted()),
        ] {
            terminal.line(style(format!("{name} at {place}")).bold())?;
            for finding in report.checks.iter().filter(|it| it.area == area) {
                let verdict = &finding.verdict;
                let status = paint(verdict.status.as_str());
                let (check, found) = (one_line(&finding.check), one_line(&verdict.found));
                terminal.line(format!("  {status:<8}  {check:<width$}  {found}"))?;
                if let Some(advice) = &verdict.advice {
                    terminal.line(format!("            {}", one_line(advice)))?;
                }
            }
        }
        terminal.line(self.summary(report))
    }

    fn summary(&self, report: &Report) -> String {
        let number = |status| {
            let checks = report.checks.iter();
            checks.filter(|it| it.verdict.status == status).count()
        };
        let (problems, warnings) = (number(Status::Problem), number(Status::Warning));
        let mut summary = if problems == 0 {
            "healthy".to_owned()
        } else {
            count(problems, "problem")
        };
        if warnings > 0 {
            summary = format!("{summary}, {}", count(warnings, "warning"));
        }
        let repairable = report.checks.iter().filter(|it| it.verdict.repairable);
        let repairable = repairable.count();
        if repairable > 0 && !self.repair {
            summary = format!("{summary}: `taskmaster doctor --repair` repairs {repairable}");
        }
        summary
    }
}
