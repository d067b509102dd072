//! A worker's container, as the engine's list has it.

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};

use super::spec::{CONFIG_HASH, NUMBER};
use crate::FleetWorkerState;

/// A container of our service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    /// Compose's number; 0 if it has none.
    pub(super) number: u32,
    /// The name of its image while that still means the same image, else its id.
    pub(super) image: String,
    pub(super) image_id: String,
    pub(super) config_hash: String,
    /// Seconds since 1970.
    pub(super) created: i64,
    pub(super) life: Life,
}

/// What the engine says of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    /// It was made and never started.
    #[default]
    Created,
    /// Its program runs.
    Running,
    /// Its program runs, or is paused, and does not answer the health check.
    Unhealthy,
    /// Its program ended and the engine starts it again.
    Restarting,
    /// Its program ended, and that was it.
    Ended,
    /// It is being removed.
    Removing,
}

impl Container {
    /// `None` for an answer without an id or a name.
    pub(super) fn read(summary: ContainerSummary) -> Option<Self> {
        let mut labels = summary.labels.unwrap_or_default();
        let status = summary.status.unwrap_or_default();
        let name = summary.names?.into_iter().next()?;
        Some(Self {
            id: summary.id?,
            name: name.trim_start_matches('/').to_owned(),
            number: labels
                .get(NUMBER)
                .and_then(|number| number.parse().ok())
                .unwrap_or_default(),
            image: summary.image.unwrap_or_default(),
            image_id: summary.image_id.unwrap_or_default(),
            config_hash: labels.remove(CONFIG_HASH).unwrap_or_default(),
            created: summary.created.unwrap_or_default(),
            life: Life::read(summary.state?, &status),
        })
    }

    /// The host name inside, by which the worker signs on: the first 12 digits of the id.
    pub(super) fn host(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Whether it is the one that somebody means by this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name || self.host() == name
    }

    /// Whether it works, or will without our doing.
    pub(super) fn lives(&self) -> bool {
        matches!(
            self.life,
            Life::Running | Life::Unhealthy | Life::Restarting
        )
    }

    /// Whether a start is all that it needs to work like `template`.
    pub(super) fn can_start_like(&self, template: &Self) -> bool {
        matches!(self.life, Life::Created | Life::Ended)
            && self.config_hash == template.config_hash
            && self.image_id == template.image_id
    }

    /// `leaving`: it was told to go.
    pub(super) fn state(&self, leaving: bool) -> FleetWorkerState {
        match self.life {
            Life::Ended => FleetWorkerState::Gone,
            Life::Removing => FleetWorkerState::Draining,
            _ if leaving => FleetWorkerState::Draining,
            Life::Created => FleetWorkerState::Starting,
            Life::Running => FleetWorkerState::Running,
            Life::Unhealthy => FleetWorkerState::Unhealthy,
            Life::Restarting => FleetWorkerState::Restarting,
        }
    }
}

impl Life {
    fn read(state: ContainerSummaryStateEnum, status: &str) -> Self {
        use ContainerSummaryStateEnum as State;
        match state {
            // Older engines tell of health in these words only: "Up 3 seconds (unhealthy)".
            State::RUNNING if status.ends_with("(unhealthy)") => Self::Unhealthy,
            State::RUNNING | State::STOPPING => Self::Running,
            State::PAUSED => Self::Unhealthy,
            State::RESTARTING => Self::Restarting,
            State::EXITED | State::DEAD => Self::Ended,
            State::REMOVING => Self::Removing,
            State::CREATED | State::EMPTY => Self::Created,
        }
    }
}

/// What new ones are made like: the newest that runs, else the newest.
pub(super) fn template(containers: &[Container]) -> Option<&Container> {
    containers
        .iter()
        .max_by_key(|container| (container.lives(), container.created, container.number))
}

/// As Compose does: it leaves gaps, and counts those that do not run.
pub(super) fn next_number(containers: &[Container]) -> u32 {
    let greatest = containers.iter().map(|container| container.number).max();
    greatest.unwrap_or_default().saturating_add(1)
}
