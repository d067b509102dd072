//! `taskmaster autoscale`.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::ClientArgs;
use crate::client::{Client, Error, Json};
use crate::output::{Table, Terminal, now, one_line, relative};

/// How many decisions are shown.
const SHOWN: usize = 10;

/// Show or set how the fleet scales by itself
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    client: ClientArgs,
}

/// What is to be set; what is not given stays.
#[derive(Debug, clap::Args)]
struct Change {
    /// Let it scale the fleet
    #[arg(long, group = "mode")]
    enable: bool,
    /// Let it decide and record what it would do, and change nothing
    #[arg(long, group = "mode")]
    dry_run: bool,
    /// Let it be
    #[arg(long, group = "mode")]
    disable: bool,
    /// Let it go on after somebody has scaled by hand
    #[arg(long)]
    release: bool,
    /// The fewest workers, 1 to 50
    #[arg(long, value_name = "N")]
    min: Option<u32>,
    /// The most workers, 1 to 50
    #[arg(long, value_name = "N")]
    max: Option<u32>,
    /// How many seconds of work may wait
    #[arg(long, value_name = "SECONDS")]
    target: Option<u32>,
    /// Seconds from one growth to the next
    #[arg(long, value_name = "SECONDS")]
    up_cooldown: Option<u32>,
    /// Seconds for which fewer workers must have been enough before the fleet shrinks
    #[arg(long, value_name = "SECONDS")]
    down_cooldown: Option<u32>,
    /// The most workers that one decision adds
    #[arg(long, value_name = "N")]
    step_up: Option<u32>,
    /// The most workers that one decision takes away
    #[arg(long, value_name = "N")]
    step_down: Option<u32>,
}

impl Change {
    /// As the API takes it.
    fn settings(&self) -> Map<String, Value> {
        let mut settings = Map::new();
        if self.enable || self.dry_run || self.disable {
            settings.insert("enabled".to_owned(), json!(!self.disable));
        }
        if self.enable || self.dry_run {
            settings.insert("dry_run".to_owned(), json!(self.dry_run));
        }
        if self.release {
            settings.insert("pinned".to_owned(), json!(false));
        }
        for (name, number) in [
            ("min", self.min),
            ("max", self.max),
            ("target_seconds", self.target),
            ("scale_up_cooldown_seconds", self.up_cooldown),
            ("scale_down_cooldown_seconds", self.down_cooldown),
            ("max_step_up", self.step_up),
            ("max_step_down", self.step_down),
        ] {
            if let Some(number) = number {
                settings.insert(name.to_owned(), json!(number));
            }
        }
        settings
    }
}

#[derive(Deserialize)]
struct Fleet {
    available: bool,
    reason: Option<String>,
    desired: Option<u32>,
    autoscaler: Settings,
}

impl Fleet {
    /// How many workers there are to be, or why that is not known.
    fn workers(&self) -> String {
        let (min, max) = (self.autoscaler.min, self.autoscaler.max);
        match (self.available, self.desired) {
            (true, Some(desired)) => format!("{desired}, from {min} to {max}"),
            (true, None) => "not controlled from here".to_owned(),
            (false, _) => self
                .reason
                .as_deref()
                .map_or_else(|| "not known now".to_owned(), one_line),
        }
    }
}

#[derive(Deserialize)]
struct Settings {
    enabled: bool,
    dry_run: bool,
    pinned: bool,
    min: u32,
    max: u32,
    target_seconds: u32,
    scale_up_cooldown_seconds: u32,
    scale_down_cooldown_seconds: u32,
    max_step_up: u32,
    max_step_down: u32,
}

impl Settings {
    fn mode(&self) -> &'static str {
        match (self.enabled, self.pinned, self.dry_run) {
            (false, _, _) => "off",
            (true, true, _) => {
                "pinned: somebody scaled by hand ('taskmaster autoscale --release' lets it go on)"
            }
            (true, false, true) => "dry run: it decides and changes nothing",
            (true, false, false) => "on",
        }
    }
}

#[derive(Deserialize)]
struct Forecast {
    summary: String,
}

#[derive(Deserialize)]
struct Decisions {
    decisions: Vec<Decision>,
}

#[derive(Deserialize)]
struct Decision {
    at: DateTime<Utc>,
    from: i64,
    to: i64,
    reason: String,
    applied: bool,
    error: Option<String>,
}

impl Decision {
    fn change(&self) -> String {
        match (self.from == self.to, self.applied) {
            (true, _) => format!("{} stay", self.to),
            (false, true) => format!("{} → {}", self.from, self.to),
            (false, false) => format!("({} → {})", self.from, self.to),
        }
    }

    fn words(&self) -> String {
        match &self.error {
            Some(error) => one_line(&format!("{}; not done: {error}", self.reason)),
            None => one_line(&self.reason),
        }
    }
}

impl Args {
    /// Sets what is given, then shows the settings, what is foreseen, and the last decisions. With `--json`: the fleet as
    /// the API shows it.
    ///
    /// # Errors
    /// When the settings are refused, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let settings = self.change.settings();
        let answer: Json = if settings.is_empty() {
            client.get("/api/v1/fleet", &[]).await?
        } else {
            let change = json!({ "autoscaler": settings });
            client.put("/api/v1/fleet", &change).await?
        };
        let mut terminal = Terminal::new();
        if self.client.json {
            terminal.json(&answer)?;
            return Ok(ExitCode::SUCCESS);
        }
        show(&client, &client.read(&answer)?, &mut terminal).await?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn show(client: &Client, fleet: &Fleet, terminal: &mut Terminal) -> anyhow::Result<()> {
    let settings = &fleet.autoscaler;
    for (name, value) in [
        ("autoscaler", settings.mode().to_owned()),
        ("workers", fleet.workers()),
        (
            "target",
            format!("{} s of work may wait", settings.target_seconds),
        ),
        (
            "grows",
            format!(
                "by {} at most, every {} s",
                settings.max_step_up, settings.scale_up_cooldown_seconds
            ),
        ),
        (
            "shrinks",
            format!(
                "by {} at most, after {} s",
                settings.max_step_down, settings.scale_down_cooldown_seconds
            ),
        ),
    ] {
        terminal.line(format!("{name:<10}  {value}"))?;
    }
    if fleet.available {
        // What was to be set is set: that nothing can be foreseen is no failure of that.
        let forecast: Result<Forecast, Error> = client.get_as("/api/v1/fleet/forecast", &[]).await;
        match forecast {
            Ok(forecast) => terminal.line(format!("{:<10}  {}", "forecast", forecast.summary))?,
            Err(error) => terminal.note(format!("there is no forecast: {error}")),
        }
    }
    let query = [("limit", SHOWN.to_string())];
    let Decisions { decisions } = client.get_as("/api/v1/fleet/decisions", &query).await?;
    if decisions.is_empty() {
        return Ok(());
    }
    terminal.line("")?;
    let mut table = Table::new(&["DECIDED", "WORKERS", "REASON"]);
    let now = now();
    for decision in &decisions {
        let when = relative(decision.at, now);
        table.row([when, decision.change(), decision.words()]);
    }
    table.print(terminal)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        change: Change,
    }

    fn settings(arguments: &[&str]) -> Value {
        let line = Line::try_parse_from([&["autoscale"], arguments].concat()).unwrap();
        Value::Object(line.change.settings())
    }

    #[test]
    fn what_is_given_is_set() {
        assert_eq!(settings(&[]), json!({}));
        assert_eq!(
            settings(&["--enable"]),
            json!({"enabled": true, "dry_run": false})
        );
        assert_eq!(
            settings(&["--dry-run"]),
            json!({"enabled": true, "dry_run": true})
        );
        assert_eq!(settings(&["--disable"]), json!({"enabled": false}));
        assert_eq!(settings(&["--release"]), json!({"pinned": false}));
        assert_eq!(
            settings(&[
                "--min",
                "2",
                "--max",
                "9",
                "--target",
                "30",
                "--down-cooldown",
                "0"
            ]),
            json!({"min": 2, "max": 9, "target_seconds": 30, "scale_down_cooldown_seconds": 0})
        );
        assert!(Line::try_parse_from(["autoscale", "--enable", "--disable"]).is_err());
    }
}
