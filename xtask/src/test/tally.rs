//! Counting: how many passed, failed and were skipped, read from the machine-readable reports of the test runners.

use std::ops::AddAssign;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// Counts of one part, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// One check that passed.
    pub(crate) const PASSED: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
    /// One check that failed.
    pub(crate) const FAILED: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };
    /// One check that was not made.
    pub(crate) const SKIPPED: Self = Self {
        passed: 0,
        failed: 0,
        skipped: 1,
    };

    /// Makes one check, and prints why it failed when it did.
    pub(crate) fn check(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::PASSED,
            Err(error) => {
                println!("error: {error:#}");
                Self::FAILED
            }
        }
    }

    /// The counts of a runner's report. A runner that fails with no failed test in its report (it did not compile, or
    /// died) counts as one failure, and so does one that ran nothing.
    pub(crate) fn of_runner(ended: Result<()>, report: Result<Self>) -> Self {
        let ran = report.as_ref().copied().unwrap_or_default();
        let sound = ended.and(report.map(|_| ()));
        match sound {
            Err(error) if ran.failed == 0 => {
                println!("error: {error:#}");
                Self { failed: 1, ..ran }
            }
            Ok(()) if ran == Self::default() => {
                println!("error: no test was run");
                Self::FAILED
            }
            _ => ran,
        }
    }

    /// Reads nextest's JUnit report: the counts are attributes of its root element.
    pub(crate) fn of_junit(file: &Path) -> Result<Self> {
        let text = read(file)?;
        let start = text
            .find("<testsuites")
            .context("a JUnit report without <testsuites>")?;
        let root = text[start..].split('>').next().unwrap_or_default();
        let count = |name: &str| -> Result<u64> {
            let (_, rest) = root
                .split_once(&format!(" {name}=\""))
                .with_context(|| format!("a JUnit report without the attribute {name}"))?;
            Ok(rest.split('"').next().unwrap_or_default().parse()?)
        };
        let failed = count("failures")? + count("errors")?;
        // Not in the reports of older versions.
        let skipped = count("skipped").unwrap_or(0);
        Ok(Self {
            passed: count("tests")?.saturating_sub(failed + skipped),
            failed,
            skipped,
        })
    }

    /// Reads vitest's JSON report.
    pub(crate) fn of_vitest(file: &Path) -> Result<Self> {
        let report: Value = serde_json::from_str(&read(file)?)?;
        let count = |name: &str| {
            report[name]
                .as_u64()
                .with_context(|| format!("a vitest report without {name}"))
        };
        Ok(Self {
            passed: count("numPassedTests")?,
            failed: count("numFailedTests")?,
            skipped: count("numPendingTests")? + count("numTodoTests")?,
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("no report {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn junit(text: &str) -> Result<Tally> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Tally::of_junit(file.path())
    }

    #[test]
    fn counts_a_junit_report() {
        let tally = junit(
            "<?xml version=\"1.0\"?>\n<testsuites name=\"n\" tests=\"7\" failures=\"2\" errors=\"1\" uuid=\"u\">\n<testsuite tests=\"3\">",
        );
        assert_eq!(
            tally.unwrap(),
            Tally {
                passed: 4,
                failed: 3,
                skipped: 0
            }
        );
        assert!(junit("<testsuites name=\"n\">").is_err());
        assert!(junit("").is_err());
    }

    #[test]
    fn a_runner_that_fails_without_a_failed_test_is_a_failure() {
        let passed = Tally {
            passed: 5,
            ..Tally::default()
        };
        let failed = Tally {
            failed: 2,
            ..passed
        };
        let died = || Err(anyhow::anyhow!("died"));
        assert_eq!(Tally::of_runner(Ok(()), Ok(passed)), passed);
        assert_eq!(Tally::of_runner(died(), Ok(failed)), failed);
        assert_eq!(
            Tally::of_runner(died(), Ok(passed)),
            Tally {
                failed: 1,
                ..passed
            }
        );
        assert_eq!(
            Tally::of_runner(died(), died().map(|()| passed)),
            Tally::FAILED
        );
        assert_eq!(
            Tally::of_runner(Ok(()), Ok(Tally::default())),
            Tally::FAILED
        );
    }

    #[test]
    fn the_closing_line_names_the_skipped_only_when_there_are_any() {
        let mut tally = Tally {
            passed: 2,
            failed: 0,
            skipped: 0,
        };
        assert_eq!(tally.to_string(), "2 passed, 0 failed");
        tally += Tally::SKIPPED;
        assert_eq!(tally.to_string(), "2 passed, 0 failed, 1 skipped");
    }
}
