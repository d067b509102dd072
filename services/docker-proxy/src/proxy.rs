//! From a request to its answer: read, checked against what the engine says, asked of the engine.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use form_urlencoded::Serializer;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::call::{Call, ContainerAction, Id, Request};
use crate::create::{self, BeingMade};
use crate::engine::{Answer, Ask, Engine, EngineError};
use crate::filters::Filters;
use crate::ours::Ours;
use crate::parse::parse;
use crate::refusal::{Failure, Refusal};
use crate::services;
use crate::wanted::Wanted;

/// How many bodies are held at once.
pub(crate) const MOST_BODIES: usize = 8;
/// The longest body, in bytes.
const LONGEST_BODY: usize = 1 << 20;
/// How long a body may take to come.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// How much of a refused path is logged, in characters.
const LONGEST_PATH: usize = 200;

/// What every request is answered with.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) engine: Engine,
    pub(crate) ours: Ours,
    pub(crate) being_made: BeingMade,
    requests: Arc<Semaphore>,
    bodies: Semaphore,
}

impl Proxy {
    /// `most_requests`: how many are answered at once.
    pub(crate) fn new(engine: Engine, ours: Ours, most_requests: usize) -> Self {
        Self {
            engine,
            ours,
            being_made: BeingMade::default(),
            requests: Arc::new(Semaphore::new(most_requests)),
            bodies: Semaphore::new(MOST_BODIES),
        }
    }

    /// What the engine says of a container, if it is a worker of ours.
    pub(crate) async fn inspect(&self, id: &Id) -> Result<Inspection, Failure> {
        self.inspect_by(format!("/containers/{}/json", id.as_str()))
            .await
    }

    async fn inspect_by(&self, target: String) -> Result<Inspection, Failure> {
        let answer = self.engine.ask(Ask::get(target)).await?;
        if answer.status != StatusCode::OK {
            return Ok(Inspection::Not(answer));
        }
        let said = answer.json()?;
        if !self.ours.has_container(&said["Config"]["Labels"]) {
            return Err(Refusal::new("not a worker of ours").into());
        }
        let id = full_id(&said)?;
        Ok(Inspection::Of { id, said, answer })
    }
}

/// What the engine says of a container.
#[derive(Debug)]
pub(crate) enum Inspection {
    /// Of a worker of ours.
    Of {
        /// All 64 digits: whatever is renamed meanwhile, this stays what was looked at.
        id: String,
        said: Value,
        answer: Answer,
    },
    /// Nothing: there is none, or it cannot tell.
    Not(Answer),
}

/// Answers everything.
pub(crate) fn router(proxy: Arc<Proxy>) -> Router {
    Router::new().fallback(answer).with_state(proxy)
}

async fn answer(State(proxy): State<Arc<Proxy>>, request: axum::extract::Request) -> Response {
    let (head, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    match parse(&head, has_body, &proxy.ours) {
        Ok(request) => carry_out(proxy, &head, request, body).await,
        Err(refusal) => refused(&head, &refusal),
    }
}

async fn carry_out(proxy: Arc<Proxy>, head: &Parts, request: Request, body: Body) -> Response {
    let Ok(room) = Arc::clone(&proxy.requests).try_acquire_owned() else {
        return refused(head, &Refusal::too_many());
    };
    let changes = request.call.changes();
    let wanted = match read(&proxy, &request.call, body).await {
        Ok(wanted) => wanted,
        Err(refusal) => return refused(head, &refusal),
    };
    // It takes up its room for as long as it is carried out.
    let asked = async move { (ask(&proxy, request, wanted).await, room) };
    let (answered, room) = if changes {
        // It is carried out to its end, also when nobody waits for the answer any more: a worker that was made and not
        // connected to its networks would be left behind.
        match tokio::spawn(asked).await {
            Ok(answered) => answered,
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    } else {
        asked.await
    };
    let response = match answered {
        Ok(response) => response,
        Err(Failure::Refused(refusal)) => return refused(head, &refusal),
        Err(Failure::Engine(error)) => {
            let reason: &dyn std::error::Error = &error;
            let source = reason.source().map(ToString::to_string);
            tracing::warn!(http.method = %head.method, http.path = path(head), %error, source);
            error.into_response()
        }
    };
    if changes {
        let status = response.status().as_u16();
        tracing::info!(http.method = %head.method, http.path = path(head), http.status = status, "asked the engine");
    }
    // There is room for another one when the answer has come to its end.
    response.map(|body| {
        Body::new(http_body_util::BodyExt::map_err(body, move |error| {
            let _room = &room;
            error
        }))
    })
}

/// What can be seen of a request whose query and body may hold anything.
fn path(head: &Parts) -> String {
    head.uri.path().chars().take(LONGEST_PATH).collect()
}

fn refused(head: &Parts, refusal: &Refusal) -> Response {
    let reason = refusal.reason();
    tracing::warn!(http.method = %head.method, http.path = path(head), reason, "refused");
    refusal.clone().into_response()
}

/// What is read of the body of a call that has one.
async fn read(proxy: &Proxy, call: &Call, body: Body) -> Result<Wanted, Refusal> {
    if !call.has_body() {
        return Ok(Wanted::default());
    }
    let reading = async {
        let _room = proxy.bodies.acquire().await;
        let bytes = to_bytes(body, LONGEST_BODY).await;
        let bytes = bytes
            .map_err(|_| Refusal::body(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"))?;
        Wanted::read(&bytes)
    };
    let late = Refusal::body(StatusCode::REQUEST_TIMEOUT, "the body does not come");
    timeout(BODY_LIMIT, reading).await.map_err(|_| late)?
}

async fn ask(proxy: &Proxy, request: Request, wanted: Wanted) -> Result<Response, Failure> {
    let engine = &proxy.engine;
    let version = request.version;
    let answer = match request.call {
        Call::Ping { head } => {
            let method = if head { Method::HEAD } else { Method::GET };
            engine
                .ask(Ask::new(method, target(version, "/_ping", &[])))
                .await?
        }
        Call::ListNodes => engine.ask(Ask::get(target(version, "/nodes", &[]))).await?,
        Call::ListContainers { all, filters } => {
            let parameters = [("all", u8::from(all).to_string()), of(&filters)];
            let list = Ask::get(target(version, "/containers/json", &parameters));
            engine.ask(list).await?
        }
        Call::CreateContainer { worker, ours } => {
            create::create(proxy, &worker, &ours, wanted.config_hash()).await?
        }
        Call::Container { id, action } => return container(proxy, version, &id, action).await,
        Call::ListServices { filters } => {
            let list = Ask::get(target(version, "/services", &[of(&filters)]));
            services::only_ours(&proxy.ours, engine.ask(list).await?)?
        }
        Call::ScaleService { id, version } => {
            services::scale(proxy, &id, version, wanted.replicas()).await?
        }
        Call::ListTasks { filters } => {
            let list = Ask::get(target(version, "/tasks", &[of(&filters)]));
            services::tasks(engine.ask(list).await?)?
        }
    };
    Ok(answer.into_response())
}

async fn container(
    proxy: &Proxy,
    version: Option<u8>,
    id: &Id,
    action: ContainerAction,
) -> Result<Response, Failure> {
    let path = format!("/containers/{}/json", id.as_str());
    let version = version.filter(|_| action == ContainerAction::Inspect);
    let (id, mut said, answer) = match proxy.inspect_by(target(version, &path, &[])).await? {
        Inspection::Of { id, said, answer } => (id, said, answer),
        Inspection::Not(answer) => return Ok(answer.into_response()),
    };
    let engine = &proxy.engine;
    let answer = match action {
        ContainerAction::Inspect => {
            // It has the passwords, and nobody there needs it.
            said["Config"]["Env"] = json!([]);
            answer.with(&said)
        }
        ContainerAction::Start => {
            engine
                .ask(Ask::post(format!("/containers/{id}/start")))
                .await?
        }
        ContainerAction::Stop { seconds } => {
            let seconds = seconds.map(|seconds| format!("?t={seconds}"));
            let stop = format!("/containers/{id}/stop{}", seconds.unwrap_or_default());
            // It answers when the container has stopped.
            engine.whole(Ask::post(stop)).await?
        }
        ContainerAction::Terminate => {
            let kill = format!("/containers/{id}/kill?signal=SIGTERM");
            engine.ask(Ask::post(kill)).await?
        }
        ContainerAction::Wait => {
            let wait = format!("/containers/{id}/wait?condition=not-running");
            return Ok(engine.stream(Ask::post(wait)).await?);
        }
        ContainerAction::Remove => {
            let remove = format!("/containers/{id}?v=1");
            engine.ask(Ask::new(Method::DELETE, remove)).await?
        }
    };
    Ok(answer.into_response())
}

/// Path and query, encoded.
pub(crate) fn target(version: Option<u8>, path: &str, parameters: &[(&str, String)]) -> String {
    let mut target = version.map_or_else(String::new, |minor| format!("/v1.{minor}"));
    target.push_str(path);
    if parameters.is_empty() {
        return target;
    }
    let length = target.len() + 1;
    target.push('?');
    Serializer::for_suffix(target, length)
        .extend_pairs(parameters)
        .finish()
}

pub(crate) fn of(filters: &Filters) -> (&'static str, String) {
    ("filters", filters.to_json())
}

/// # Errors
/// When what the engine says of a container has none.
pub(crate) fn full_id(said: &Value) -> Result<String, EngineError> {
    let id = said["Id"].as_str().filter(|id| is_full_id(id));
    id.map(str::to_owned).ok_or(EngineError::Odd("no id"))
}

fn is_full_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
