//! What a check found: one line, and what to do about it.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

/// How long a repair may take. A migration that takes longer is rolled back: `taskmaster migrate` waits for ever.
const REPAIR_LIMIT: Duration = Duration::from_secs(60);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It was not, and is now.
    Repaired,
    /// It works, and there is something to know.
    Warning,
    /// Something does not work, or will not.
    Problem,
    /// Not looked at, because something else is missing.
    Skipped,
}

impl Status {
    /// As it is written.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Repaired => "repaired",
            Self::Warning => "warning",
            Self::Problem => "problem",
            Self::Skipped => "skipped",
        }
    }
}

/// Where a check looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Area {
    /// Postgres, and what is written there about workers and tasks.
    Postgres,
    /// RabbitMQ.
    Rabbitmq,
}

/// What there is to say about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    pub(super) status: Status,
    /// What was found.
    pub(super) found: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
    /// Whether `--repair` can do it.
    pub(super) repairable: bool,
}

impl Verdict {
    fn new(status: Status, found: impl Into<String>, advice: Option<String>) -> Self {
        Self {
            status,
            found: found.into(),
            advice,
            repairable: false,
        }
    }

    /// All is well.
    pub(super) fn ok(found: impl Into<String>) -> Self {
        Self::new(Status::Ok, found, None)
    }

    /// Something to know.
    pub(super) fn warning(found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Status::Warning, found, Some(advice.into()))
    }

    /// Something to mend.
    pub(super) fn problem(found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Status::Problem, found, Some(advice.into()))
    }

    /// Not looked at, and why.
    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self::new(Status::Skipped, why, None)
    }

    /// The same as something that `--repair` mends.
    pub(super) fn repairable(mut self) -> Self {
        self.repairable = true;
        self
    }

    /// Whether something is to be mended.
    pub(super) fn is_problem(&self) -> bool {
        self.status == Status::Problem
    }

    /// What is left of it after `repair`, by a second look: `again`. The repair's error is one line.
    pub(super) async fn mended(
        self,
        repair: impl Future<Output = Result<(), String>>,
        again: impl Future<Output = Self>,
    ) -> Self {
        let failed = match timeout(REPAIR_LIMIT, repair).await {
            Ok(Ok(())) => None,
            Ok(Err(reason)) => Some(reason),
            Err(_) => Some(format!("not done within {} s", REPAIR_LIMIT.as_secs())),
        };
        if let Some(reason) = failed {
            let found = format!("{}; the repair failed: {reason}", self.found);
            return Self { found, ..self };
        }
        let after = again.await;
        match after.status {
            Status::Ok | Status::Warning | Status::Repaired => Self {
                status: Status::Repaired,
                found: format!("{}; now: {}", self.found, after.found),
                advice: after.advice,
                repairable: false,
            },
            Status::Problem | Status::Skipped => after,
        }
    }
}

/// A verdict and what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) area: Area,
    /// The check's name, or that of a queue or an exchange.
    pub(super) check: String,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
}

/// The findings of one area, in the order in which they were made.
#[derive(Debug)]
pub(super) struct Findings {
    area: Area,
    made: Vec<Finding>,
}

impl Findings {
    /// None yet.
    pub(super) fn new(area: Area) -> Self {
        Self {
            area,
            made: Vec::new(),
        }
    }

    /// Adds one.
    pub(super) fn push(&mut self, check: impl Into<String>, verdict: Verdict) {
        self.made.push(Finding {
            area: self.area,
            check: check.into(),
            verdict,
        });
    }

    /// All of them; those of `checks` that were never made are skipped because of `why`.
    pub(super) fn finish(mut self, checks: &[&str], why: &str) -> Vec<Finding> {
        for check in checks {
            if !self.made.iter().any(|it| it.check == *check) {
                self.push(*check, Verdict::skipped(why));
            }
        }
        self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Verdict {
        Verdict::problem("it is broken", "mend it").repairable()
    }

    #[tokio::test]
    async fn a_repair_counts_when_a_second_look_agrees() {
        let mended = broken()
            .mended(async { Ok(()) }, async { Verdict::ok("it is whole") })
            .await;
        assert_eq!(mended.status, Status::Repaired);
        assert_eq!(mended.found, "it is broken; now: it is whole");
        assert!(mended.advice.is_none() && !mended.repairable);

        let still = Verdict::problem("it is bent", "unbend it");
        let left = broken()
            .mended(async { Ok(()) }, async { still.clone() })
            .await;
        assert_eq!(left, still);

        let refused = broken()
            .mended(async { Err("no".to_owned()) }, async { Verdict::ok("") })
            .await;
        assert!(refused.is_problem());
        assert_eq!(refused.found, "it is broken; the repair failed: no");
        assert_eq!(refused.advice.as_deref(), Some("mend it"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_repair_that_takes_too_long_is_given_up() {
        let given_up = broken()
            .mended(std::future::pending(), async { Verdict::ok("") })
            .await;
        assert!(given_up.is_problem() && given_up.found.contains("60 s"));
    }

    #[test]
    fn what_was_not_looked_at_is_listed() {
        let mut findings = Findings::new(Area::Postgres);
        findings.push("a", Verdict::ok("fine"));
        let all = findings.finish(&["a", "b"], "a is missing");
        let seen: Vec<_> = all
            .iter()
            .map(|it| (it.check.as_str(), it.verdict.status))
            .collect();
        assert_eq!(seen, [("a", Status::Ok), ("b", Status::Skipped)]);
    }

    #[test]
    fn as_json() {
        let mut findings = Findings::new(Area::Rabbitmq);
        findings.push("x.events", broken());
        let made = serde_json::to_value(findings.finish(&[], "")).unwrap();
        let expected = serde_json::json!([{
            "area": "rabbitmq", "check": "x.events", "status": "problem", "found": "it is broken",
            "advice": "mend it", "repairable": true,
        }]);
        assert_eq!(made, expected);
    }
}
