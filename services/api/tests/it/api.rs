//! An API on a database of its own.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use taskmaster_api::{ApiConfig, ApiState};
use taskmaster_broker::BrokerConfig;
use taskmaster_fleet::Fleet;
use taskmaster_store::{PgPool, StoreConfig};
use taskmaster_testkit::{TestDatabase, amqp_url, random_prefix};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::answer::{Answer, Events};

/// An API under test.
pub(crate) struct TestApi {
    router: Router,
    pub(crate) config: ApiConfig,
    pub(crate) shutdown: CancellationToken,
    database: Option<TestDatabase>,
}

impl TestApi {
    /// With Postgres, without RabbitMQ.
    pub(crate) async fn start() -> Self {
        Self::with_fleet(Fleet::None).await
    }

    pub(crate) async fn with_fleet(fleet: Fleet) -> Self {
        let database = TestDatabase::create().await.unwrap();
        let amqp = format!("amqp://guest:guest@127.0.0.1:{}", closed_port());
        Self::new(config(&database.url(), &amqp), Some(database), fleet)
    }

    /// The same, whose changes of the fleet wait only so long for others.
    pub(crate) async fn with_patience(fleet: Fleet, patience: Duration) -> Self {
        let mut api = Self::with_fleet(fleet.clone()).await;
        api.config.fleet_patience = patience;
        Self::new(api.config, api.database, fleet)
    }

    /// Another API on the same database: with a clone of the same fleet, it has no idea of its own of that.
    pub(crate) fn beside(&self, fleet: Fleet) -> Self {
        Self::new(self.config.clone(), None, fleet)
    }

    /// With Postgres and RabbitMQ.
    pub(crate) async fn with_rabbitmq() -> Self {
        let database = TestDatabase::create().await.unwrap();
        let config = config(&database.url(), &amqp_url().unwrap());
        Self::new(config, Some(database), Fleet::None)
    }

    /// With neither.
    pub(crate) fn alone() -> Self {
        let postgres = format!("postgres://someone:s3cret@127.0.0.1:{}/x", closed_port());
        let amqp = format!("amqp://someone:s3cret@127.0.0.1:{}", closed_port());
        Self::new(config(&postgres, &amqp), None, Fleet::None)
    }

    fn new(config: ApiConfig, database: Option<TestDatabase>, fleet: Fleet) -> Self {
        let shutdown = CancellationToken::new();
        let state = ApiState::new(&config, Arc::new(fleet), shutdown.clone()).unwrap();
        Self {
            router: taskmaster_api::router(state),
            config,
            shutdown,
            database,
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.as_ref().unwrap().pool()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        Answer::read(response).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(get(path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Value>) -> Answer {
        self.post_text(path, body.into().to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Value>) -> Answer {
        let request = Request::put(path)
            .header("host", "localhost")
            .header("content-type", "application/json");
        let body = body.into().to_string();
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Posts what need not be JSON and says that it is.
    pub(crate) async fn post_text(&self, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path)
            .header("host", "localhost")
            .header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Posts nothing.
    pub(crate) async fn ask(&self, path: &str) -> Answer {
        let request = Request::post(path).header("host", "localhost");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn follow(&self, path: &str) -> Events {
        Events::of(self.router.clone().oneshot(get(path)).await.unwrap())
    }

    /// Posts, and asks for events as the answer.
    pub(crate) async fn follow_post(&self, path: &str, body: Value) -> Events {
        let request = Request::post(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("accept", "text/event-stream");
        let request = request.body(Body::from(body.to_string())).unwrap();
        Events::of(self.router.clone().oneshot(request).await.unwrap())
    }

    /// Submits a task and returns its id.
    pub(crate) async fn submit(&self, task: Value) -> String {
        let task = self.post("/api/v1/tasks", task).await.json(201);
        task["id"].as_str().unwrap().to_owned()
    }
}

fn get(path: &str) -> Request<Body> {
    let request = Request::get(path).header("host", "localhost");
    request.body(Body::empty()).unwrap()
}

/// An API's configuration, on any port.
pub(crate) fn config(postgres: &str, amqp: &str) -> ApiConfig {
    ApiConfig {
        store: StoreConfig::new(postgres.into(), 5),
        broker: BrokerConfig::new(amqp, &random_prefix()).unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
        allowed_hosts: vec!["tasks.example.com".parse().unwrap()],
        autoscale_interval: taskmaster_api::AUTOSCALE_INTERVAL,
        fleet_patience: Duration::from_secs(20),
    }
}

/// A port that nobody listens on.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
