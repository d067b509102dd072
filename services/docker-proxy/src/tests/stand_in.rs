//! A recording counterpart for the engine: what it was asked, and answers of the real one's shape. It obeys whatever it is
//! asked, as the real one does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;

/// One request that reached the engine.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    /// Method, path and decoded query.
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// What the engine knows, and how it behaves.
#[derive(Default)]
pub(super) struct World {
    pub(super) containers: Vec<Value>,
    services: Vec<Value>,
    asked: Vec<Asked>,
    /// After the first of these is inspected, both swap their names.
    pub(super) swap: Option<(String, String)>,
    /// The image of what is created by the image's name.
    pub(super) image_now: Option<String>,
    /// A network that nothing can be connected to.
    pub(super) broken_network: Option<String>,
    /// The next creation waits for this.
    pub(super) hold: Option<Arc<Notify>>,
    /// A container was connected to a network.
    pub(super) connected: Arc<Notify>,
    /// Streams do not begin.
    pub(super) silent: bool,
    /// Stops wait for this.
    pub(super) hold_stops: Option<Arc<Notify>>,
    /// What comes out of the streams.
    pub(super) streams: Vec<mpsc::Sender<Bytes>>,
}

/// See the module. It ends with this.
pub(super) struct StandIn {
    pub(super) address: SocketAddr,
    world: Arc<Mutex<World>>,
    /// Somebody has begun to listen to a stream.
    pub(super) listened: Arc<Notify>,
    /// A creation has come.
    pub(super) creating: Arc<Notify>,
    /// A stop has come.
    pub(super) stopping: Arc<Notify>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Shared {
    world: Arc<Mutex<World>>,
    listened: Arc<Notify>,
    creating: Arc<Notify>,
    stopping: Arc<Notify>,
}

impl StandIn {
    pub(super) async fn start(containers: Vec<Value>, services: Vec<Value>) -> Self {
        let world = World {
            containers,
            services,
            ..World::default()
        };
        let shared = Shared {
            world: Arc::new(Mutex::new(world)),
            listened: Arc::default(),
            creating: Arc::default(),
            stopping: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let serving = async move { axum::serve(listener, router).await.unwrap() };
        Self {
            address,
            world: shared.world,
            listened: shared.listened,
            creating: shared.creating,
            stopping: shared.stopping,
            _serving: AbortOnDropHandle::new(tokio::spawn(serving)),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// What it was asked since it was looked at last, but for inspections.
    pub(super) fn take(&self) -> Vec<Asked> {
        let mut asked = std::mem::take(&mut self.world().asked);
        asked.retain(|asked| {
            let inspects =
                asked.line.starts_with("GET /containers/") && asked.line.ends_with("/json");
            !inspects || asked.line == "GET /containers/json"
        });
        asked
    }

    /// The lines of [`take`](Self::take).
    pub(super) fn lines(&self) -> Vec<String> {
        self.take().into_iter().map(|asked| asked.line).collect()
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let pairs = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let query: BTreeMap<String, String> = pairs.into_owned().collect();
    let pairs = query.iter().map(|(name, value)| format!("{name}={value}"));
    let pairs = pairs.collect::<Vec<_>>().join("&");
    let question = if pairs.is_empty() { "" } else { "?" };
    let path = head.uri.path();
    shared.world.lock().unwrap().asked.push(Asked {
        line: format!("{} {path}{question}{pairs}", head.method),
        headers: head.headers.clone(),
        body: body.clone(),
    });
    let mut segments: Vec<&str> = path.split('/').skip(1).collect();
    if segments[0].starts_with("v1.") {
        segments.remove(0);
    }
    match (head.method.as_str(), &segments[..]) {
        ("POST", ["containers", _, "wait"]) => {
            if shared.world.lock().unwrap().silent {
                shared.listened.notify_one();
                std::future::pending::<()>().await;
            }
            stream(&shared)
        }
        ("POST", ["containers", "create"]) => {
            shared.creating.notify_one();
            let hold = shared.world.lock().unwrap().hold.take();
            if let Some(hold) = hold {
                hold.notified().await;
            }
            let body = serde_json::from_str(&body).unwrap();
            shared.world.lock().unwrap().create(&query["name"], body)
        }
        (method, segments) => {
            if let ["containers", _, "stop"] = segments {
                shared.stopping.notify_one();
                let hold = shared.world.lock().unwrap().hold_stops.clone();
                if let Some(hold) = hold {
                    hold.notified().await;
                }
            }
            let mut world = shared.world.lock().unwrap();
            world.answer(method, segments, &query, &body)
        }
    }
}

fn stream(shared: &Shared) -> Response {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    shared.world.lock().unwrap().streams.push(sender);
    shared.listened.notify_one();
    let pieces = stream::unfold(receiver, |mut receiver: mpsc::Receiver<Bytes>| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), receiver))
    });
    Body::from_stream(Box::pin(pieces)).into_response()
}

impl World {
    fn answer(
        &mut self,
        method: &str,
        segments: &[&str],
        query: &BTreeMap<String, String>,
        body: &str,
    ) -> Response {
        let done = StatusCode::NO_CONTENT.into_response();
        match (method, segments) {
            ("GET" | "HEAD", ["_ping"]) => {
                ([("Api-Version", "1.41"), ("Docker-Secret", "x")], "OK").into_response()
            }
            ("GET", ["containers", "json"]) => Json(self.list(&query["filters"])).into_response(),
            ("GET", ["containers", name, "json"]) => {
                let Some(index) = self.find(name) else {
                    return missing();
                };
                let said = self.containers[index].clone();
                self.swap_names(name);
                Json(said).into_response()
            }
            ("POST", ["containers", name, "start" | "stop" | "kill"]) => {
                self.find(name).map_or_else(missing, |_| done)
            }
            ("DELETE", ["containers", name]) => match self.find(name) {
                Some(index) => {
                    self.containers.remove(index);
                    done
                }
                None => missing(),
            },
            ("POST", ["networks", network, "connect"]) => {
                if self.broken_network.as_deref() == Some(network) {
                    let said = json!({ "message": "no more addresses" });
                    return (StatusCode::FORBIDDEN, Json(said)).into_response();
                }
                let body: Value = serde_json::from_str(body).unwrap();
                let index = self.find(body["Container"].as_str().unwrap()).unwrap();
                let networks = &mut self.containers[index]["NetworkSettings"]["Networks"];
                networks[*network] = body["EndpointConfig"].clone();
                self.connected.notify_one();
                StatusCode::OK.into_response()
            }
            ("GET", ["services"]) => {
                let filters: Value = serde_json::from_str(&query["filters"]).unwrap();
                let begins = filters["name"][0].as_str().unwrap();
                let named =
                    |said: &&Value| said["Spec"]["Name"].as_str().unwrap().starts_with(begins);
                Json(self.services.iter().filter(named).collect::<Vec<_>>()).into_response()
            }
            ("GET", ["services", id]) => {
                let said = self.services.iter().find(|said| said["ID"] == **id);
                said.map_or_else(missing, |said| Json(said).into_response())
            }
            ("POST", ["services", _, "update"]) => {
                Json(json!({ "Warnings": null })).into_response()
            }
            ("GET", ["tasks"]) => {
                let spec = json!({ "ContainerSpec": { "Image": "i", "Env": [super::SECRET] } });
                Json(json!([{ "ID": "x", "Spec": spec }])).into_response()
            }
            ("GET", ["nodes"]) => Json(json!([{ "ID": "x" }])).into_response(),
            // What should never be asked, and would be done.
            _ => StatusCode::IM_A_TEAPOT.into_response(),
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let by_name = |said: &Value| said["Name"] == format!("/{name}");
        let by_id = |said: &Value| said["Id"].as_str().unwrap().starts_with(name);
        let found = self.containers.iter().position(by_name);
        found.or_else(|| self.containers.iter().position(by_id))
    }

    fn swap_names(&mut self, inspected: &str) {
        let fits = |(one, _): &mut (String, String)| one == inspected;
        if let Some((one, other)) = self.swap.take_if(fits) {
            let (one, other) = (self.find(&one).unwrap(), self.find(&other).unwrap());
            let name = self.containers[one]["Name"].take();
            self.containers[one]["Name"] = self.containers[other]["Name"].take();
            self.containers[other]["Name"] = name;
        }
    }

    fn list(&self, filters: &str) -> Vec<Value> {
        let filters: Value = serde_json::from_str(filters).unwrap();
        let labels = filters["label"].as_array().unwrap();
        let fits = |said: &&Value| {
            labels.iter().all(|label| {
                let (name, value) = label.as_str().unwrap().split_once('=').unwrap();
                said["Config"]["Labels"][name] == value
            })
        };
        let listed = self.containers.iter().filter(fits).map(|said| {
            json!({
                "Id": said["Id"],
                "Names": ["/linked/alias", said["Name"]],
                "Image": said["Config"]["Image"],
                "ImageID": said["Image"],
                "Created": said["Created"].as_str().unwrap()[17..19].parse::<u32>().unwrap(),
                "State": said["State"]["Status"],
                "Labels": said["Config"]["Labels"],
            })
        });
        listed.collect()
    }

    fn create(&mut self, name: &str, body: Value) -> Response {
        if self.find(name).is_some() {
            let said = json!({ "message": "the name is in use" });
            return (StatusCode::CONFLICT, Json(said)).into_response();
        }
        let id = super::id(&format!("d{:x}", self.containers.len()));
        let named = !body["Image"].as_str().unwrap().starts_with("sha256:");
        let image = match &self.image_now {
            Some(image) if named => image.clone(),
            _ => "sha256:1111".to_owned(),
        };
        self.containers.push(json!({
            "Id": id,
            "Name": format!("/{name}"),
            "Created": "2026-01-01T00:01:59Z",
            "Image": image,
            "State": { "Status": "created", "Running": false },
            "HostConfig": body["HostConfig"],
            "NetworkSettings": { "Networks": body["NetworkingConfig"]["EndpointsConfig"] },
            "Config": body,
        }));
        let said = json!({ "Id": id, "Warnings": [] });
        (StatusCode::CREATED, Json(said)).into_response()
    }
}

fn missing() -> Response {
    let said = json!({ "message": "No such container" });
    (StatusCode::NOT_FOUND, Json(said)).into_response()
}
