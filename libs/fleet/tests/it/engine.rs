//! A stand-in for a Docker engine: its containers end, and it is away, when a test says so.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use taskmaster_fleet::{DockerFleet, DockerFleetConfig, Fleet};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One container, of the service `worker` of the project `p`.
#[derive(Clone, Debug)]
struct Container {
    number: u32,
    state: &'static str,
    started_at: &'static str,
}

impl Container {
    fn name(&self) -> String {
        format!("p-worker-{}", self.number)
    }
}

/// The id of a container of this number; its first 12 digits are its host name.
fn id(number: u32) -> String {
    format!("{number:012}{:052}", 0)
}

/// The host name of a container of this number.
pub(crate) fn host(number: u32) -> String {
    id(number)[..12].to_owned()
}

#[derive(Debug, Default)]
struct World {
    containers: Vec<Container>,
    /// What changes something, and what waits: `stop p-worker-1`.
    asked: Vec<String>,
    away: bool,
    /// No container of this name can be made.
    broken: Option<String>,
}

impl World {
    fn find(&mut self, name: &str) -> Option<&mut Container> {
        let fits = |one: &&mut Container| id(one.number) == name || one.name() == name;
        self.containers.iter_mut().find(fits)
    }

    fn runs(&self, name: &str) -> bool {
        let fits = |one: &&Container| id(one.number) == name;
        let found = self.containers.iter().find(fits);
        found.is_some_and(|one| one.state == "running")
    }
}

/// See the module. Ends with this.
pub(crate) struct Engine {
    world: Arc<watch::Sender<World>>,
    host: String,
    serving: JoinHandle<()>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Engine {
    /// With containers of these numbers, states, and times of their starts.
    pub(crate) async fn start(containers: &[(u32, &'static str, &'static str)]) -> Self {
        let containers = containers.iter().copied();
        let containers = containers.map(|(number, state, started_at)| Container {
            number,
            state,
            started_at,
        });
        let world = Arc::new(watch::Sender::new(World {
            containers: containers.collect(),
            ..World::default()
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("tcp://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(world.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            world,
            host,
            serving,
        }
    }

    pub(crate) async fn with(numbers: &[u32]) -> Self {
        let containers = numbers
            .iter()
            .map(|number| (*number, "running", "2026-01-01T00:00:00.5Z"));
        Self::start(&containers.collect::<Vec<_>>()).await
    }

    pub(crate) fn fleet(&self) -> Fleet {
        let config = DockerFleetConfig {
            host: self.host.clone(),
            project: Some("p".to_owned()),
            service: "worker".to_owned(),
        };
        Fleet::Docker(DockerFleet::new(config).unwrap())
    }

    /// What it was asked so far, but for looks.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.world.borrow().asked.clone()
    }

    /// Waits until it is asked for this.
    pub(crate) async fn until_asked(&self, line: &str) {
        let mut world = self.world.subscribe();
        let asked = world.wait_for(|world| world.asked.iter().any(|asked| asked == line));
        let waited = tokio::time::timeout(Duration::from_secs(30), asked).await;
        assert!(waited.is_ok(), "{line}: {:?}", self.asked());
    }

    /// The program of a container ends.
    pub(crate) fn end(&self, number: u32) {
        let end = |world: &mut World| world.find(&id(number)).unwrap().state = "exited";
        self.world.send_modify(end);
    }

    /// It does not answer any more, nor what it was asked before; or it answers again.
    pub(crate) fn set_away(&self, away: bool) {
        self.world.send_modify(|world| world.away = away);
    }

    pub(crate) fn cannot_make(&self, name: &str) {
        let name = Some(name.to_owned());
        self.world.send_modify(|world| world.broken = name);
    }
}

type Shared = Arc<watch::Sender<World>>;

/// As a proxy says that its engine is away.
fn away() -> Response {
    said(StatusCode::SERVICE_UNAVAILABLE)
}

fn said(status: StatusCode) -> Response {
    (status, Json(json!({"message": "said no"}))).into_response()
}

async fn answer(
    State(world): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    if world.borrow().away {
        return away();
    }
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let mut segments: Vec<&str> = path.split('/').skip(1).collect();
    segments.retain(|segment| !segment.starts_with("v1."));
    let done = StatusCode::NO_CONTENT.into_response();
    let record = |what: &str, id: &str| {
        world.send_modify(|world| {
            let name = world
                .find(id)
                .map_or_else(|| id.to_owned(), |one| one.name());
            world.asked.push(format!("{what} {name}"));
        });
    };
    match (&*method, &segments[..]) {
        ("GET", ["containers", "json"]) => list(&world.borrow()),
        ("GET", ["containers", id, "json"]) => inspect(&world, id),
        ("POST", ["containers", "create"]) => create(&world, &query["name"]),
        ("POST", ["containers", id, "start"]) => {
            record("start", id);
            world.send_modify(|world| world.find(id).unwrap().state = "running");
            done
        }
        ("POST", ["containers", id, "kill"]) => {
            record(&query["signal"], id);
            done
        }
        ("POST", ["containers", id, "stop"]) => {
            // One that has ended is sent nothing.
            if world.borrow().runs(id) {
                record("stop", id);
            }
            if has_ended(&world, id).await {
                done
            } else {
                away()
            }
        }
        ("POST", ["containers", id, "wait"]) => {
            record("wait", id);
            wait(&world, id)
        }
        ("DELETE", ["containers", name]) => {
            record("remove", name);
            world.send_modify(|world| world.containers.retain(|one| id(one.number) != **name));
            done
        }
        _ => said(StatusCode::IM_A_TEAPOT),
    }
}

/// Waits until a container does not run; false if the engine goes away before.
async fn has_ended(world: &Shared, id: &str) -> bool {
    let mut world = world.subscribe();
    let over = world.wait_for(|world| world.away || !world.runs(id)).await;
    !over.unwrap().away
}

fn list(world: &World) -> Response {
    let listed = world.containers.iter().map(|one| {
        json!({
            "Id": id(one.number), "Names": [format!("/{}", one.name())], "Image": "i", "ImageID": "sha256:1",
            "Created": one.number, "State": one.state, "Status": "", "Labels": labels(one),
        })
    });
    Json(listed.collect::<Vec<_>>()).into_response()
}

fn labels(one: &Container) -> Value {
    json!({
        "com.docker.compose.project": "p", "com.docker.compose.service": "worker",
        "com.docker.compose.container-number": one.number.to_string(), "com.docker.compose.config-hash": "c",
    })
}

fn inspect(world: &Shared, name: &str) -> Response {
    let mut said_of = None;
    world.send_if_modified(|world| {
        said_of = world.find(name).cloned();
        false
    });
    let Some(one) = said_of else {
        return said(StatusCode::NOT_FOUND);
    };
    Json(json!({
        "Id": id(one.number), "Name": format!("/{}", one.name()),
        "State": {"Running": one.state == "running", "StartedAt": one.started_at},
        "Config": {"StopTimeout": 0, "Labels": labels(&one)},
        "HostConfig": {}, "NetworkSettings": {"Networks": {}},
    }))
    .into_response()
}

fn create(world: &Shared, name: &str) -> Response {
    let number = name.rsplit('-').next().unwrap().parse().unwrap();
    if world.borrow().broken.as_deref() == Some(name) {
        return said(StatusCode::INTERNAL_SERVER_ERROR);
    }
    world.send_modify(|world| {
        world.asked.push(format!("create {name}"));
        world.containers.push(Container {
            number,
            state: "created",
            started_at: "0001-01-01T00:00:00Z",
        });
    });
    Json(json!({"Id": id(number), "Warnings": []})).into_response()
}

fn wait(world: &Shared, id: &str) -> Response {
    let (world, id) = (world.clone(), id.to_owned());
    let end = async move {
        let said = if has_ended(&world, &id).await {
            "{\"StatusCode\":0}\n"
        } else {
            ""
        };
        Ok::<_, Infallible>(Bytes::from_static(said.as_bytes()))
    };
    Body::from_stream(stream::once(end)).into_response()
}
