//! How a command that failed says so: one line, and an exit code.

use std::io::Write;
use std::process::ExitCode;

use crate::commands::Usage;
use crate::output::Closed;

/// Prints the error and gives the exit code for it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if error.is::<Closed>() {
        return ExitCode::SUCCESS;
    }
    writeln!(std::io::stderr(), "error: {}", line(error)).ok();
    if error.is::<Usage>() {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

/// The error and its causes in one line, each said once: many errors repeat their cause in their own text.
pub(crate) fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    let words: Vec<&str> = line
        .split(['\r', '\n'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_error_is_one_line_without_repetition() {
        let error = anyhow!("no such\n  file")
            .context("cannot read: no such\n  file")
            .context("cannot start");
        assert_eq!(line(&error), "cannot start: cannot read: no such file");
    }
}
