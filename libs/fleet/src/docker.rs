//! Workers as the containers of a Compose service.
//!
//! The engine is the only truth about which containers there are: Compose and people change them as well. So nothing is
//! kept but which ones were told to go, and a new one is made like one that Compose made. Whatever name a caller gives is
//! only compared with those in the engine's list of our own service; the engine gets ids.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, stream};
use tokio::sync::{OnceCell, watch};

use crate::scaling::{Candidate, Workload, pick_to_drain};
use crate::steps::tell;
use crate::{FleetError, FleetWorker, ScaleFailure, ScaleOutcome, StepKind, Steps};
use container::{Container, Life, are_of_one_project, next_number, template};
use engine::{Engine, EngineError};
use leaving::Leaving;
use maker::Maker;
use order::Order;

mod container;
mod engine;
mod leaving;
mod maker;
mod order;
mod own;
pub mod spec;

pub use own::own_container;

/// What whoever runs us can do about it.
const SET_PROJECT: &str = "which Compose project has the workers? Set --compose-project (TASKMASTER_COMPOSE_PROJECT): only \
                           within a container of that project it is known without";

/// How many containers are made or started at once.
const AT_ONCE: usize = 16;

/// Where the engine is, and which of its containers are the workers.
#[derive(Clone, Debug)]
pub struct DockerFleetConfig {
    /// `unix:///var/run/docker.sock`, or `tcp://host:port`.
    pub host: String,
    /// The Compose project; `None` for that of the container that we are in.
    pub project: Option<String>,
    /// The service in it.
    pub service: String,
}

/// A fleet of containers. Clones are the same fleet.
#[derive(Clone, Debug)]
pub struct DockerFleet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: DockerFleetConfig,
    /// Known since the engine answered for the first time.
    engine: OnceCell<Engine>,
    /// By id: those that we told to go.
    leaving: Mutex<HashMap<String, Leaving>>,
    workers: watch::Sender<Vec<FleetWorker>>,
    /// Held while the last container is told from one that may be removed.
    removing: tokio::sync::Mutex<()>,
}

impl DockerFleet {
    /// A fleet whose engine may be away.
    ///
    /// # Errors
    ///
    /// [`FleetError::Refused`] when no project is named and we are not in a container.
    pub fn new(config: DockerFleetConfig) -> Result<Self, FleetError> {
        if config.project.is_none() && own_container().is_none() {
            return Err(FleetError::Refused(SET_PROJECT.into()));
        }
        let inner = Arc::new(Inner {
            config,
            engine: OnceCell::new(),
            leaving: Mutex::default(),
            workers: watch::Sender::default(),
            removing: tokio::sync::Mutex::default(),
        });
        Ok(Self { inner })
    }

    /// The workers as the engine has them now, by number.
    pub(crate) async fn workers(&self) -> Result<Vec<FleetWorker>, FleetError> {
        let containers = self.inner.list().await?;
        Ok(self.inner.publish(&containers))
    }

    /// How many are there and stay. There is no number but what the engine has: Compose changes it as well.
    pub(crate) async fn desired(&self, draining: &HashSet<String>) -> Result<u32, FleetError> {
        let stays = |worker: &&FleetWorker| {
            let drains = worker.host.as_ref().is_some_and(|it| draining.contains(it));
            worker.state.is_wanted() && !drains
        };
        let workers = self.workers().await?;
        Ok(u32::try_from(workers.iter().filter(stays).count()).unwrap_or(u32::MAX))
    }

    /// The workers as they were last seen, and whenever they are looked at.
    pub(crate) fn changes(&self) -> watch::Receiver<Vec<FleetWorker>> {
        self.inner.workers.subscribe()
    }

    /// See [`Fleet::scale`](crate::Fleet::scale). The caller sees to it that there is one at a time.
    pub(crate) async fn scale(
        &self,
        count: u32,
        workload: &Workload,
        steps: &Steps,
    ) -> Result<ScaleOutcome, FleetError> {
        // Before the list: one that is seen off meanwhile is listed as it was before its end, and removed now.
        let told: HashSet<String> = self.inner.leaving().keys().cloned().collect();
        let containers = self.inner.list().await?;
        let leaves = |container: &Container| {
            told.contains(&container.id) || workload.draining.contains(container.host())
        };
        let stays = |container: &&Container| container.lives() && !leaves(container);
        let staying: Vec<&Container> = containers.iter().filter(stays).collect();
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        if staying.len() > wanted {
            Ok(self.shrink(&staying, staying.len() - wanted, &workload.loads, steps))
        } else {
            let missing = wanted - staying.len();
            self.grow(&containers, leaves, &told, missing, steps).await
        }
    }

    /// Tells `n` to go: those that have least to do.
    fn shrink(
        &self,
        staying: &[&Container],
        n: usize,
        loads: &HashMap<String, u32>,
        steps: &Steps,
    ) -> ScaleOutcome {
        let load = |container: &Container| {
            let load = loads.get(&container.name);
            load.or_else(|| loads.get(container.host())).copied()
        };
        let candidates: Vec<Candidate> = staying
            .iter()
            .map(|container| Candidate {
                name: container.name.clone(),
                load: load(container).unwrap_or_default(),
                is_well: container.life == Life::Running,
            })
            .collect();
        let draining = pick_to_drain(&candidates, n);
        for container in staying {
            if draining.contains(&container.name) {
                tell(steps, &container.name, StepKind::Draining);
                self.send_off(container, Order::Drain, false, steps);
            }
        }
        ScaleOutcome {
            draining,
            ..ScaleOutcome::default()
        }
    }

    /// Starts what is there and does not run, and makes the rest, all at once.
    async fn grow(
        &self,
        containers: &[Container],
        leaves: impl Fn(&Container) -> bool,
        told: &HashSet<String>,
        missing: usize,
        steps: &Steps,
    ) -> Result<ScaleOutcome, FleetError> {
        if missing == 0 {
            return Ok(ScaleOutcome::default());
        }
        let template = template(containers, |one| !leaves(one)).ok_or(FleetError::NoTemplate)?;
        let engine = self.inner.engine().await?;
        let inspection = engine.inspect(&template.id).await?;
        let startable: Vec<(String, String)> = {
            let fits = |container: &&Container| {
                container.can_start_like(template) && !told.contains(&container.id)
            };
            let startable = containers.iter().filter(fits).take(missing);
            let named = startable.map(|container| (container.name.clone(), container.id.clone()));
            named.collect()
        };
        let new = missing - startable.len();
        if new > 0 {
            // Before anything is started: one that cannot be copied is no half success.
            spec::like(&inspection, &template.image, 1)
                .map_err(|reason| FleetError::Refused(reason.to_string()))?;
        }
        let maker = &Maker {
            engine,
            inspection: &inspection,
            image: &template.image,
            number: AtomicU32::new(next_number(containers)),
            steps,
        };
        let starts = startable.into_iter().map(Some);
        let jobs: Vec<Option<(String, String)>> =
            starts.chain(std::iter::repeat_n(None, new)).collect();
        let done: Vec<Result<String, ScaleFailure>> = stream::iter(jobs)
            .map(|existing| async move {
                match existing {
                    Some((name, id)) => maker.start(&name, &id).await,
                    None => maker.make().await,
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut outcome = ScaleOutcome::default();
        for one in done {
            match one {
                Ok(name) => outcome.started.push(name),
                Err(failure) => outcome.failed.push(failure),
            }
        }
        // That nothing worked because the engine went away is no matter of the containers.
        if outcome.started.is_empty()
            && let Err(EngineError::Away) = engine.list().await
        {
            return Err(FleetError::EngineAway);
        }
        outcome
            .started
            .sort_by_key(|name| (name.len(), name.clone()));
        Ok(outcome)
    }

    /// SIGTERM, on which a worker drains; after 10 s another one, on which it stops at once and hands back; after 5 s more
    /// SIGKILL.
    pub(crate) async fn kill(&self, name: &str, steps: &Steps) -> Result<(), FleetError> {
        self.send_off_by_name(name, Order::Kill, &HashSet::new(), steps)
            .await
    }

    /// SIGTERM, and the time that the service's `stop_grace_period` gives.
    pub(crate) async fn drain(
        &self,
        name: &str,
        draining: &HashSet<String>,
        steps: &Steps,
    ) -> Result<(), FleetError> {
        self.send_off_by_name(name, Order::Drain, draining, steps)
            .await
    }

    async fn send_off_by_name(
        &self,
        name: &str,
        order: Order,
        told: &HashSet<String>,
        steps: &Steps,
    ) -> Result<(), FleetError> {
        let containers = self.inner.list().await?;
        let Some(container) = containers.iter().find(|container| container.is(name)) else {
            return Err(FleetError::UnknownWorker(name.to_owned()));
        };
        tell(steps, &container.name, StepKind::Draining);
        self.send_off(container, order, told.contains(container.host()), steps);
        self.inner.publish(&containers);
        Ok(())
    }
}

impl Inner {
    fn leaving(&self) -> MutexGuard<'_, HashMap<String, Leaving>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine, told which project is ours.
    async fn engine(&self) -> Result<&Engine, EngineError> {
        self.engine.get_or_try_init(|| self.find_project()).await
    }

    fn known_engine(&self) -> Result<&Engine, EngineError> {
        self.engine.get().ok_or(EngineError::Away)
    }

    async fn find_project(&self) -> Result<Engine, EngineError> {
        let engine = Engine::new(self.config.host.clone(), self.config.service.clone());
        if let Some(project) = &self.config.project {
            return Ok(engine.with_project(project.clone()));
        }
        // `new` has seen to it that there is one.
        let own = own_container().ok_or(EngineError::Gone)?;
        match engine.inspect(&own).await {
            Ok(inspection) => match inspection["Config"]["Labels"][spec::PROJECT].as_str() {
                Some(project) => Ok(engine.with_project(project.to_owned())),
                None => Err(EngineError::NotOurs(
                    "the container of this program is not Compose's: set --compose-project (TASKMASTER_COMPOSE_PROJECT)",
                )),
            },
            // An engine never forbids that: it is our proxy, which shows us our own project's workers and nothing else.
            Err(EngineError::Refused { status: 403 }) => Ok(engine),
            Err(error) => Err(error),
        }
    }

    async fn list(&self) -> Result<Vec<Container>, EngineError> {
        let engine = self.engine().await?;
        let summaries = engine.list().await?;
        let containers = summaries.into_iter().filter_map(Container::read);
        let mut containers: Vec<Container> = containers.collect();
        if !engine.has_project() && !are_of_one_project(&containers) {
            // Whoever forbade us to look at our own container is not our proxy.
            return Err(EngineError::NotOurs(SET_PROJECT));
        }
        containers.sort_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
        Ok(containers)
    }

    /// Tells everybody who watches.
    fn publish(&self, containers: &[Container]) -> Vec<FleetWorker> {
        let leaving = self.leaving();
        let workers: Vec<FleetWorker> = containers
            .iter()
            .map(|container| FleetWorker {
                name: container.name.clone(),
                host: Some(container.host().to_owned()),
                pid: None,
                node: None,
                state: container.state(leaving.contains_key(&container.id)),
            })
            .collect();
        self.workers.send_if_modified(|last| {
            let changed = *last != workers;
            last.clone_from(&workers);
            changed
        });
        workers
    }
}

impl From<EngineError> for FleetError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Away => Self::EngineAway,
            EngineError::Refused {
                status: status @ 500..,
            } => Self::EngineFailed { status },
            error => Self::Refused(error.to_string()),
        }
    }
}
