//! A worker's container, as the engine's list has it.

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};

use super::spec::{CONFIG_HASH, NUMBER, PROJECT};
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
    /// Compose's; empty if it has none.
    pub(super) project: String,
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
    /// Its program was told to end.
    Stopping,
    /// Its program ended, and that was it.
    Ended,
    /// It is being removed, or was and something of it is left: it cannot be started any more.
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
            project: labels.remove(PROJECT).unwrap_or_default(),
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

    /// Whether there is no program of it that could be told anything.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.life, Life::Ended | Life::Removing)
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
            Life::Stopping | Life::Removing => FleetWorkerState::Draining,
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
            State::RUNNING => Self::Running,
            State::STOPPING => Self::Stopping,
            State::PAUSED => Self::Unhealthy,
            State::RESTARTING => Self::Restarting,
            State::EXITED => Self::Ended,
            State::REMOVING | State::DEAD => Self::Removing,
            State::CREATED | State::EMPTY => Self::Created,
        }
    }
}

/// What new ones are made like: the newest that runs and stays, else the newest. `stays`: it was not told to go.
pub(super) fn template(
    containers: &[Container],
    stays: impl Fn(&Container) -> bool,
) -> Option<&Container> {
    containers.iter().max_by_key(|container| {
        let lives = container.lives();
        let rank = (lives && stays(container), lives);
        (rank, container.created, container.number)
    })
}

/// As Compose does: it leaves gaps, and counts those that do not run.
pub(super) fn next_number(containers: &[Container]) -> u32 {
    let greatest = containers.iter().map(|container| container.number).max();
    greatest.unwrap_or_default().saturating_add(1)
}

/// Whether all are of one Compose project.
pub(super) fn are_of_one_project(containers: &[Container]) -> bool {
    let mut projects = containers.iter().map(|container| &container.project);
    let first = projects.next();
    projects.all(|project| Some(project) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(number: u32, life: Life) -> Container {
        Container {
            number,
            life,
            created: i64::from(number),
            project: "p".to_owned(),
            ..Container::default()
        }
    }

    #[test]
    fn new_ones_are_made_like_one_that_stays() {
        let containers = [
            container(1, Life::Running),
            container(2, Life::Running),
            container(3, Life::Stopping),
            container(4, Life::Ended),
        ];
        let stays = |one: &Container| one.number == 1;
        assert_eq!(template(&containers, stays), Some(&containers[0]));
        assert_eq!(template(&containers, |_| false), Some(&containers[1]));
        assert_eq!(template(&containers[2..], |_| true), Some(&containers[3]));
    }

    #[test]
    fn what_the_engine_says_of_its_end_is_believed() {
        let state = |state| Life::read(state, "");
        assert!(!container(1, state(ContainerSummaryStateEnum::STOPPING)).lives());
        let dead = container(1, state(ContainerSummaryStateEnum::DEAD));
        assert!(!dead.can_start_like(&dead));
        let ended = container(1, state(ContainerSummaryStateEnum::EXITED));
        assert!(ended.can_start_like(&ended));
    }

    #[test]
    fn two_projects_are_not_one() {
        let other = Container {
            project: "q".to_owned(),
            ..container(2, Life::Ended)
        };
        let ours = [container(1, Life::Running), container(2, Life::Ended)];
        assert!(are_of_one_project(&[]) && are_of_one_project(&ours));
        assert!(!are_of_one_project(&[container(1, Life::Running), other]));
    }
}
