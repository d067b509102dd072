//! Workers as the containers of a Compose service.
//!
//! The engine is the only truth about which containers there are: Compose and people change them as well. So nothing is
//! kept but which ones were told to go, and a new one is made like one that Compose made. Whatever name a caller gives is
//! only compared with those in the engine's list of our own service; the engine gets ids.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::sync::{OnceCell, watch};
use tokio::time::sleep;

use crate::scaling::pick_to_drain;
use crate::steps::{tell, tell_failure};
use crate::{FleetError, FleetWorker, ScaleFailure, ScaleOutcome, StepKind, Steps};
use container::{Container, next_number, template};
use engine::{Engine, EngineError};

mod container;
mod engine;
mod own;
pub mod spec;
mod watcher;

pub use own::own_container;

/// How many containers are made or started at once.
const AT_ONCE: usize = 16;
/// How often a number is tried that somebody else has taken in the meantime.
const NUMBERS_TRIED: u32 = 5;
/// What a killed worker gets for what it runs.
const KILL_GRACE: Duration = Duration::from_secs(10);
/// What a worker that was told to stop at once gets to hand back what it holds.
const HAND_BACK: Duration = Duration::from_secs(5);
/// How long one that was told to go is told again while the engine is away, and how often.
const AWAY_TRIES: u32 = 60;
const AWAY_PAUSE: Duration = Duration::from_secs(5);

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
    leaving: Mutex<HashSet<String>>,
    workers: watch::Sender<Vec<FleetWorker>>,
    /// Held while the last container is told from one that may be removed.
    removing: tokio::sync::Mutex<()>,
}

/// How a container is told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// With the time that its `stop_grace_period` gives.
    Drain,
    /// Soon.
    Kill,
}

impl DockerFleet {
    /// A fleet whose engine may be away; asked for in a tokio runtime, in which it watches the engine.
    ///
    /// # Errors
    ///
    /// [`FleetError::Refused`] when no project is named and we are not in a container.
    pub fn new(config: DockerFleetConfig) -> Result<Self, FleetError> {
        if config.project.is_none() && own_container().is_none() {
            let advice = "which Compose project has the workers? Set --compose-project (TASKMASTER_COMPOSE_PROJECT): \
                          only within a container of that project it is known without";
            return Err(FleetError::Refused(advice.into()));
        }
        let inner = Arc::new(Inner {
            config,
            engine: OnceCell::new(),
            leaving: Mutex::default(),
            workers: watch::Sender::default(),
            removing: tokio::sync::Mutex::default(),
        });
        tokio::spawn(watcher::watch(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// The workers as the engine has them now, by number.
    pub(crate) async fn workers(&self) -> Result<Vec<FleetWorker>, FleetError> {
        let containers = self.inner.list().await?;
        Ok(self.inner.publish(&containers))
    }

    /// The workers as they change; as they were last seen while the engine is away.
    pub(crate) fn changes(&self) -> watch::Receiver<Vec<FleetWorker>> {
        self.inner.workers.subscribe()
    }

    /// See [`Fleet::scale`](crate::Fleet::scale). The caller sees to it that there is one at a time.
    pub(crate) async fn scale(
        &self,
        count: u32,
        loads: &HashMap<String, u32>,
        steps: &Steps,
    ) -> Result<ScaleOutcome, FleetError> {
        let containers = self.inner.list().await?;
        let staying: Vec<&Container> = {
            let leaving = self.inner.leaving();
            let stays =
                |container: &&Container| container.lives() && !leaving.contains(&container.id);
            containers.iter().filter(stays).collect()
        };
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        let outcome = if staying.len() > wanted {
            self.shrink(&staying, staying.len() - wanted, loads, steps)
        } else {
            let missing = wanted - staying.len();
            self.grow(&containers, missing, steps).await?
        };
        self.inner.refresh().await.ok();
        Ok(outcome)
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
        let candidates: Vec<(String, u32)> = staying
            .iter()
            .map(|container| (container.name.clone(), load(container).unwrap_or_default()))
            .collect();
        let draining = pick_to_drain(&candidates, n);
        for container in staying {
            if draining.contains(&container.name) {
                self.send_off(container, Order::Drain, steps);
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
        missing: usize,
        steps: &Steps,
    ) -> Result<ScaleOutcome, FleetError> {
        if missing == 0 {
            return Ok(ScaleOutcome::default());
        }
        let template = template(containers).ok_or(FleetError::NoTemplate)?;
        let engine = self.inner.engine().await?;
        let inspection = engine.inspect(&template.id).await?;
        let startable: Vec<(String, String)> = {
            let leaving = self.inner.leaving();
            let fits = |container: &&Container| {
                container.can_start_like(template) && !leaving.contains(&container.id)
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
        outcome
            .started
            .sort_by_key(|name| (name.len(), name.clone()));
        Ok(outcome)
    }

    /// SIGTERM, on which a worker drains; after 10 s another one, on which it stops at once and hands back; after 5 s more
    /// SIGKILL.
    pub(crate) async fn kill(&self, name: &str, steps: &Steps) -> Result<(), FleetError> {
        self.send_off_by_name(name, Order::Kill, steps).await
    }

    /// SIGTERM, and the time that the service's `stop_grace_period` gives.
    pub(crate) async fn drain(&self, name: &str, steps: &Steps) -> Result<(), FleetError> {
        self.send_off_by_name(name, Order::Drain, steps).await
    }

    /// Sees off those that were told to go by a program that has ended since.
    pub(crate) async fn resume(&self, names: &[String], steps: &Steps) -> Result<(), FleetError> {
        let containers = self.inner.list().await?;
        for name in names {
            match containers.iter().find(|container| container.is(name)) {
                Some(container) => self.send_off(container, Order::Drain, steps),
                None => tell(steps, name, StepKind::Removed),
            }
        }
        Ok(())
    }

    async fn send_off_by_name(
        &self,
        name: &str,
        order: Order,
        steps: &Steps,
    ) -> Result<(), FleetError> {
        let containers = self.inner.list().await?;
        let Some(container) = containers.iter().find(|container| container.is(name)) else {
            return Err(FleetError::UnknownWorker(name.to_owned()));
        };
        self.send_off(container, order, steps);
        self.inner.publish(&containers);
        Ok(())
    }

    /// Tells a container to go and sees it off, in the background.
    fn send_off(&self, container: &Container, order: Order, steps: &Steps) {
        tracing::info!(container.name = %container.name, ?order, "told to go");
        self.inner.leaving().insert(container.id.clone());
        tell(steps, &container.name, StepKind::Draining);
        let fleet = self.clone();
        let container = container.clone();
        let steps = steps.clone();
        tokio::spawn(async move {
            if let Err(error) = fleet.see_off(&container, order, &steps).await {
                tracing::error!(container.name = %container.name, %error, "could not be seen off");
                tell_failure(&steps, &container.name, &error.to_string());
            }
            fleet.inner.leaving().remove(&container.id);
            fleet.inner.refresh().await.ok();
        });
    }

    async fn see_off(
        &self,
        container: &Container,
        order: Order,
        steps: &Steps,
    ) -> Result<(), EngineError> {
        let engine = self.inner.known_engine()?;
        match again_while_away(|| stop(engine, container, order)).await {
            Ok(()) => tell(steps, &container.name, StepKind::Stopped),
            Err(EngineError::Gone) => {}
            Err(error) => return Err(error),
        }
        // One at a time, or two could each take the other for the one that stays.
        let _held = self.inner.removing.lock().await;
        if again_while_away(|| engine.list()).await?.len() <= 1 {
            // New workers are made like another: without any there could be none again.
            tracing::info!(container.name = %container.name, "stopped, and kept as the model for the next one");
            return Ok(());
        }
        match again_while_away(|| engine.remove(&container.id)).await {
            // Or somebody else is removing it.
            Ok(()) | Err(EngineError::Conflict) => {}
            Err(error) => return Err(error),
        }
        tell(steps, &container.name, StepKind::Removed);
        Ok(())
    }
}

/// What it takes to make one more worker.
struct Maker<'a> {
    engine: &'a Engine,
    inspection: &'a Value,
    image: &'a str,
    /// The next one that nobody has, as far as we know.
    number: AtomicU32,
    steps: &'a Steps,
}

impl Maker<'_> {
    /// A new container, started; its name.
    async fn make(&self) -> Result<String, ScaleFailure> {
        let (name, id) = self.create().await?;
        tell(self.steps, &name, StepKind::Created);
        let started = self.start(&name, &id).await;
        if started.is_err() {
            // It would be started by the next `up` or scale, by then unasked for.
            self.engine.remove(&id).await.ok();
        }
        started
    }

    async fn create(&self) -> Result<(String, String), ScaleFailure> {
        let mut tries = 1..=NUMBERS_TRIED;
        loop {
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            let name = format!("number {number}");
            let made = spec::like(self.inspection, self.image, number)
                .map_err(|reason| self.failed(name, StepKind::Created, reason.to_string()))?;
            let created = match self.engine.create(&made.name, made.body).await {
                // Compose was faster.
                Err(EngineError::Conflict) if tries.next().is_some() => continue,
                Err(EngineError::Gone) => Err("its image or its network is not there".to_owned()),
                created => created.map_err(|error| error.to_string()),
            };
            let id = created
                .map_err(|reason| self.failed(made.name.clone(), StepKind::Created, reason))?;
            if let Err(error) = self.connect(&id, made.connect).await {
                self.engine.remove(&id).await.ok();
                return Err(self.failed(made.name, StepKind::Created, error.to_string()));
            }
            return Ok((made.name, id));
        }
    }

    /// Connects it to what it is not connected to yet: a proxy that makes containers itself has done it.
    async fn connect(&self, id: &str, further: Vec<(String, Value)>) -> Result<(), EngineError> {
        if further.is_empty() {
            return Ok(());
        }
        let inspection = self.engine.inspect(id).await?;
        for (network, endpoint) in further {
            if inspection["NetworkSettings"]["Networks"][&network].is_null() {
                self.engine.connect_network(&network, id, endpoint).await?;
            }
        }
        Ok(())
    }

    async fn start(&self, name: &str, id: &str) -> Result<String, ScaleFailure> {
        match self.engine.start(id).await {
            Ok(()) => {
                tracing::info!(container.name = %name, "started");
                tell(self.steps, name, StepKind::Started);
                Ok(name.to_owned())
            }
            Err(error) => Err(self.failed(name.to_owned(), StepKind::Started, error.to_string())),
        }
    }

    fn failed(&self, name: String, step: StepKind, reason: String) -> ScaleFailure {
        tracing::error!(container.name = %name, ?step, reason, "a worker could not be started");
        tell_failure(self.steps, &name, &reason);
        ScaleFailure { name, step, reason }
    }
}

impl Inner {
    fn leaving(&self) -> MutexGuard<'_, HashSet<String>> {
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
                None => {
                    tracing::error!("our own container is not Compose's: set --compose-project");
                    Err(EngineError::Gone)
                }
            },
            // An engine never forbids that: it is our proxy, which shows us our own project's workers and nothing else.
            Err(EngineError::Refused { status: 403 }) => Ok(engine),
            Err(error) => Err(error),
        }
    }

    async fn list(&self) -> Result<Vec<Container>, EngineError> {
        let summaries = self.engine().await?.list().await?;
        let containers = summaries.into_iter().filter_map(Container::read);
        let mut containers: Vec<Container> = containers.collect();
        containers.sort_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
        Ok(containers)
    }

    async fn refresh(&self) -> Result<(), EngineError> {
        self.publish(&self.list().await?);
        Ok(())
    }

    /// Tells everybody who watches.
    fn publish(&self, containers: &[Container]) -> Vec<FleetWorker> {
        let leaving = self.leaving().clone();
        let workers: Vec<FleetWorker> = containers
            .iter()
            .map(|container| FleetWorker {
                name: container.name.clone(),
                host: Some(container.host().to_owned()),
                pid: None,
                node: None,
                state: container.state(leaving.contains(&container.id)),
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
            error => Self::Refused(error.to_string()),
        }
    }
}

/// Stops a container as it was told to go.
async fn stop(engine: &Engine, container: &Container, order: Order) -> Result<(), EngineError> {
    if order == Order::Drain {
        return engine.stop(&container.id, None).await;
    }
    match engine.terminate(&container.id).await {
        Ok(()) | Err(EngineError::Conflict) => {}
        Err(error) => return Err(error),
    }
    let grace = if engine.stopped_within(&container.id, KILL_GRACE).await {
        // Told to the engine all the same, or its restart policy undoes it.
        Duration::ZERO
    } else {
        HAND_BACK
    };
    engine.stop(&container.id, Some(grace)).await
}

/// The engine may be restarted while workers drain.
async fn again_while_away<T, Asked>(ask: impl Fn() -> Asked) -> Result<T, EngineError>
where
    Asked: Future<Output = Result<T, EngineError>>,
{
    for _ in 1..AWAY_TRIES {
        match ask().await {
            Err(EngineError::Away) => sleep(AWAY_PAUSE).await,
            answer => return answer,
        }
    }
    ask().await
}
