//! Runs the checker and says what came out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, Model};

use crate::{Action, Setup};

/// What the checker found.
#[derive(Debug, Clone)]
pub struct Checked {
    /// How many different states it has been in.
    pub states: usize,
    /// How many steps it has made, also to states that it had been in.
    pub steps: usize,
    /// The longest way to a state, in steps.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The properties that do not hold, each with the steps to a state where it does not.
    pub violations: BTreeMap<&'static str, Vec<Action>>,
    /// What was to be reachable and is not.
    pub unreachable: Vec<&'static str>,
}

/// Walks every reachable state.
#[must_use]
pub fn check(setup: Setup) -> Checked {
    let began = Instant::now();
    // By depth: in less memory, and every state is walked anyway.
    read(&setup.checker().spawn_dfs().join(), began)
}

/// Looks for a state in which a property does not hold, and stops at the first: none is fewer steps away.
#[must_use]
pub fn find_violation(setup: Setup, property: &'static str) -> Checked {
    let began = Instant::now();
    let property = Some(property);
    read(
        &Setup { property, ..setup }.checker().spawn_bfs().join(),
        began,
    )
}

fn read(checker: &impl Checker<Setup>, began: Instant) -> Checked {
    let mut found = checker.discoveries();
    let mut violations = BTreeMap::new();
    let mut unreachable = Vec::new();
    for property in checker.model().properties() {
        let path = found.remove(property.name);
        match (property.expectation, path) {
            (Expectation::Sometimes, None) => unreachable.push(property.name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(path)) => drop(violations.insert(property.name, path.into_actions())),
        }
    }
    Checked {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        violations,
        unreachable,
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} distinct states, {} steps, {} deep, {:.1} s",
            self.states,
            self.steps,
            self.depth,
            self.took.as_secs_f64()
        )?;
        for (property, actions) in &self.violations {
            write!(f, "\n  violated: {property}")?;
            for (number, action) in (1..).zip(actions) {
                write!(f, "\n  {number:>4}. {action:?}")?;
            }
        }
        Ok(())
    }
}
