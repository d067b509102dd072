//! Whose workers they are, and what can be told from what the engine says of a container or a service.

use serde_json::Value;
use taskmaster_fleet::docker::own_container;
use taskmaster_fleet::docker::spec::{ONEOFF, PROJECT, SERVICE};

use crate::ProxyConfig;
use crate::engine::{Ask, Engine, EngineError};
use crate::filters::Filters;
use crate::refusal::Refusal;

/// The label that `docker stack` puts on all that is of one stack.
pub(crate) const NAMESPACE: &str = "com.docker.stack.namespace";
/// The greatest number that a worker may have.
const LAST_NUMBER: u32 = 99_999;

/// Whose workers they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ours {
    /// A Compose project's: the containers of one service.
    Project {
        /// The project's name.
        name: String,
        /// As in the Compose file.
        service: String,
    },
    /// A Swarm stack's: the tasks of one service.
    Stack {
        /// The stack's name.
        name: String,
        /// The whole name, with that of the stack.
        service: String,
    },
}

/// A worker that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewWorker {
    /// `taskmaster_worker_3`
    pub(crate) name: String,
    /// From 1.
    pub(crate) number: u32,
}

impl NewWorker {
    /// What comes before the number.
    pub(crate) fn prefix(&self) -> &str {
        self.name.trim_end_matches(|end: char| end.is_ascii_digit())
    }
}

/// Why nobody's workers can be controlled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Nobody {
    /// Perhaps later.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Never.
    #[error(
        "this is no container of a Compose project or a Swarm stack ({0}): start it by docker-compose.yml, or name the \
         project with --compose-project NAME"
    )]
    Unknown(&'static str),
}

impl Ours {
    /// As configured, else as the engine says of the container that we are in.
    pub(crate) async fn find(config: &ProxyConfig, engine: &Engine) -> Result<Self, Nobody> {
        let service = &config.worker_service;
        if let Some(name) = &config.compose_project {
            return Ok(Self::project(name, service));
        }
        let id = own_container().ok_or(Nobody::Unknown("it runs in no container"))?;
        let answer = engine
            .ask(Ask::get(format!("/containers/{id}/json")))
            .await?;
        if answer.status.as_u16() == 404 {
            return Err(Nobody::Unknown("the engine does not know our container"));
        }
        if !answer.status.is_success() {
            return Err(EngineError::Odd("it does not tell of our own container").into());
        }
        Self::of_labels(&answer.json()?["Config"]["Labels"], service)
            .ok_or(Nobody::Unknown("our container has no label of either"))
    }

    /// Whose a container with these labels is.
    fn of_labels(labels: &Value, service: &str) -> Option<Self> {
        if let Some(project) = labels[PROJECT].as_str() {
            return Some(Self::project(project, service));
        }
        let stack = labels[NAMESPACE].as_str()?;
        Some(Self::Stack {
            name: stack.to_owned(),
            service: format!("{stack}_{service}"),
        })
    }

    pub(crate) fn project(name: &str, service: &str) -> Self {
        Self::Project {
            name: name.to_owned(),
            service: service.to_owned(),
        }
    }

    /// What the engine's lists of containers are filtered by.
    ///
    /// # Errors
    /// In a stack, whose containers may be on other nodes.
    pub(crate) fn container_filters(&self) -> Result<Filters, Refusal> {
        let (name, service) = self.compose()?;
        let labels = vec![
            format!("{PROJECT}={name}"),
            format!("{SERVICE}={service}"),
            format!("{ONEOFF}=False"),
        ];
        Ok(Filters::new([("label", labels)]))
    }

    /// What the engine's list of services is filtered by. It takes the name for the beginning of one.
    ///
    /// # Errors
    /// In a Compose project.
    pub(crate) fn service_filters(&self) -> Result<Filters, Refusal> {
        let (name, service) = self.stack()?;
        let label = format!("{NAMESPACE}={name}");
        Ok(Filters::new([
            ("label", vec![label]),
            ("name", vec![service.to_owned()]),
        ]))
    }

    /// What the engine's list of tasks is filtered by.
    ///
    /// # Errors
    /// As [`service_filters`](Self::service_filters).
    pub(crate) fn task_filters(&self) -> Result<Filters, Refusal> {
        let (name, service) = self.stack()?;
        let label = format!("{NAMESPACE}={name}");
        Ok(Filters::new([
            ("label", vec![label]),
            ("service", vec![service.to_owned()]),
        ]))
    }

    /// The project's name and the service's.
    ///
    /// # Errors
    /// In a stack.
    pub(crate) fn compose(&self) -> Result<(&str, &str), Refusal> {
        match self {
            Self::Project { name, service } => Ok((name, service)),
            Self::Stack { .. } => Err(Refusal::new("a stack's workers are not ruled by container")),
        }
    }

    /// The stack's name and the service's.
    ///
    /// # Errors
    /// In a Compose project.
    pub(crate) fn stack(&self) -> Result<(&str, &str), Refusal> {
        match self {
            Self::Stack { name, service } => Ok((name, service)),
            Self::Project { .. } => Err(Refusal::new("a Compose project has no services of Swarm")),
        }
    }

    /// Whether a container with these labels is a worker of ours.
    pub(crate) fn has_container(&self, labels: &Value) -> bool {
        let Self::Project { name, service } = self else {
            return false;
        };
        labels[PROJECT] == **name && labels[SERVICE] == **service && labels[ONEOFF] == "False"
    }

    /// Whether a service, as the engine tells of it, is that of our workers.
    pub(crate) fn has_service(&self, inspection: &Value) -> bool {
        let Self::Stack { name, service } = self else {
            return false;
        };
        let spec = &inspection["Spec"];
        spec["Name"] == **service && spec["Labels"][NAMESPACE] == **name
    }

    /// A name as Compose gives it to a worker of ours: 1.29 joins by `_` and leaves out what a name may not begin with,
    /// later ones join by `-`.
    pub(crate) fn new_worker(&self, text: &str) -> Option<NewWorker> {
        let Self::Project { name, service } = self else {
            return None;
        };
        let project = name.trim_start_matches(['-', '_']);
        let joined = ['_', '-'].map(|joint| format!("{project}{joint}{service}{joint}"));
        let digits = joined
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix.as_str()))?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        let number = digits.parse().ok().filter(|_| plain)?;
        (1..=LAST_NUMBER).contains(&number).then(|| NewWorker {
            name: text.to_owned(),
            number,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_is_its_projects_or_its_stacks() {
        let compose = json!({ PROJECT: "tm", SERVICE: "docker-proxy" });
        let swarm = json!({ NAMESPACE: "tm" });
        assert_eq!(
            Ours::of_labels(&compose, "worker"),
            Some(Ours::project("tm", "worker"))
        );
        let stack = Ours::Stack {
            name: "tm".to_owned(),
            service: "tm_worker".to_owned(),
        };
        assert_eq!(Ours::of_labels(&swarm, "worker"), Some(stack));
        assert_eq!(Ours::of_labels(&json!({}), "worker"), None);
        assert_eq!(Ours::of_labels(&Value::Null, "worker"), None);
    }

    #[test]
    fn a_worker_of_ours_has_all_three_labels() {
        let ours = Ours::project("tm", "worker");
        let labels = json!({ PROJECT: "tm", SERVICE: "worker", ONEOFF: "False" });
        assert!(ours.has_container(&labels));
        for (label, other) in [
            (PROJECT, "tm2"),
            (SERVICE, "postgres"),
            (ONEOFF, "True"),
            (ONEOFF, "false"),
        ] {
            let mut changed = labels.clone();
            changed[label] = other.into();
            assert!(!ours.has_container(&changed), "{label}={other}");
            changed.as_object_mut().unwrap().remove(label);
            assert!(!ours.has_container(&changed), "without {label}");
        }
        assert!(!ours.has_container(&Value::Null));
    }

    #[test]
    fn a_new_workers_name_is_as_compose_would_give_it() {
        let ours = Ours::project("my-tm", "worker");
        for (text, number) in [
            ("my-tm_worker_1", 1),
            ("my-tm-worker-12", 12),
            ("my-tm_worker_99999", 99_999),
        ] {
            let worker = ours.new_worker(text).unwrap();
            assert_eq!((worker.name.as_str(), worker.number), (text, number));
            assert_eq!(format!("{}{number}", worker.prefix()), text);
        }
        for bad in [
            "",
            "my-tm_worker_",
            "my-tm_worker_0",
            "my-tm_worker_01",
            "my-tm_worker_100000",
            "my-tm_worker_4294967297",
            "my-tm_worker_+1",
            "my-tm_worker_1x",
            "my-tm_worker_-1",
            "my-tm_worker-1",
            "my-tm-worker_1",
            "my-tm_postgres_1",
            "other_worker_1",
            "/my-tm_worker_1",
            "my-tm_worker_1 ",
            "my-tm_worker_١",
        ] {
            assert_eq!(ours.new_worker(bad), None, "{bad}");
        }
        // As 1.29 has it.
        let ours = Ours::project("_tm", "worker");
        assert!(ours.new_worker("tm_worker_1").is_some());
        assert!(ours.new_worker("_tm_worker_1").is_none());
    }
}
