//! Making another worker. What the caller says it should be is not read, but for the hash of its configuration, which
//! chooses among workers of two configurations while Compose replaces one by the other.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use taskmaster_fleet::MAX_WORKERS;
use taskmaster_fleet::docker::spec::{CONFIG_HASH, Made, NUMBER, like};
use tokio::time::Instant;

use crate::call::Id;
use crate::engine::{Answer, Ask, EngineError};
use crate::filters::Filters;
use crate::ours::NewWorker;
use crate::proxy::{Inspection, Proxy, full_id, of, target};
use crate::refusal::{Failure, Refusal};

/// The most containers of workers that there may be: a whole fleet beside one that still drains, as after a scaling to a few
/// and back. They may keep five connections to Postgres each, more than it takes from all; but they open them when they
/// need them, those that drain need few, and whoever gets none waits.
const MOST_CONTAINERS: usize = 2 * MAX_WORKERS as usize;
/// How long a creation may take in all, which asks the engine up to five times and more: the fleet waits for 60 s, and a worker
/// that came later would be there without anybody who asked for it.
const LIMIT: Duration = Duration::from_secs(50);

/// The numbers of the workers that are being made, which the engine's list may not have yet.
#[derive(Debug, Default)]
pub(crate) struct BeingMade {
    /// One looks and takes its number after the other.
    turn: tokio::sync::Mutex<()>,
    numbers: Arc<Mutex<BTreeSet<u32>>>,
}

/// A number that nobody else gets while this is there.
struct Taken {
    number: u32,
    numbers: Arc<Mutex<BTreeSet<u32>>>,
}

impl BeingMade {
    fn numbers(&self) -> BTreeSet<u32> {
        let numbers = self.numbers.lock();
        numbers.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, number: u32) -> Taken {
        let numbers = self.numbers.lock();
        numbers
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number);
        Taken {
            number,
            numbers: Arc::clone(&self.numbers),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let numbers = self.numbers.lock();
        numbers
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.number);
    }
}

/// Makes the worker like one that is there, and connects it to its networks. The engine's answer to its creation, or to
/// what did not work.
pub(crate) async fn create(
    proxy: &Proxy,
    worker: &NewWorker,
    ours: &Filters,
    hash: Option<&str>,
) -> Result<Answer, Failure> {
    let begun = Instant::now();
    let created = make(proxy, worker, ours, hash).await?;
    if created.status == StatusCode::CREATED && begun.elapsed() >= LIMIT {
        remove(proxy, &full_id(&created.json()?)?).await;
        return Err(EngineError::Late.into());
    }
    Ok(created)
}

async fn make(
    proxy: &Proxy,
    worker: &NewWorker,
    ours: &Filters,
    hash: Option<&str>,
) -> Result<Answer, Failure> {
    let turn = proxy.being_made.turn.lock().await;
    // Before the list: who is not among these any more is in it.
    let being_made = proxy.being_made.numbers();
    let parameters = [("all", "1".to_owned()), of(ours)];
    let list = Ask::get(target(None, "/containers/json", &parameters));
    let answer = proxy.engine.ask(list).await?;
    if answer.status != StatusCode::OK {
        return Ok(answer);
    }
    let Value::Array(workers) = answer.json()? else {
        return Err(EngineError::Odd("no list").into());
    };
    check_room(&workers, &being_made, worker)?;
    let template = template(&workers, &being_made, worker, hash)
        .ok_or(Refusal::conflict("there is no worker to make another like"))?;
    let _taken = proxy.being_made.take(worker.number);
    drop(turn);

    let text = |field: &str| template[field].as_str().unwrap_or_default();
    let id = Id::read(text("Id")).ok_or(EngineError::Odd("no id"))?;
    let said = match proxy.inspect(&id).await? {
        Inspection::Of { said, .. } => said,
        Inspection::Not(answer) => return Ok(answer),
    };
    let made = made(&said, text("Image"), worker)?;
    let created = send(proxy, &made).await?;
    if created.status != StatusCode::CREATED {
        return Ok(created);
    }
    let id = full_id(&created.json()?)?;
    if same_image(proxy, &id, &said).await? {
        return connect(proxy, created, &id, &made).await;
    }
    // The image's name has moved on in between.
    remove(proxy, &id).await;
    let image = said["Image"].as_str().unwrap_or_default();
    let made = self::made(&said, image, worker)?;
    let created = send(proxy, &made).await?;
    if created.status != StatusCode::CREATED {
        return Ok(created);
    }
    let id = full_id(&created.json()?)?;
    connect(proxy, created, &id, &made).await
}

fn check_room(
    workers: &[Value],
    being_made: &BTreeSet<u32>,
    worker: &NewWorker,
) -> Result<(), Refusal> {
    let listed: BTreeSet<u32> = workers.iter().filter_map(number).collect();
    if listed.contains(&worker.number) || being_made.contains(&worker.number) {
        return Err(Refusal::conflict("another worker has that number"));
    }
    let not_listed = being_made.difference(&listed).count();
    if workers.len() + not_listed >= MOST_CONTAINERS {
        let reason = format!(
            "{MOST_CONTAINERS} containers of workers are there, those that drain or have stopped included: wait until \
             they are gone"
        );
        return Err(Refusal::new(reason));
    }
    Ok(())
}

/// Of those with this configuration and the same way of joining names: the newest that runs, else the newest. One that
/// is being made may lack its networks.
fn template<'a>(
    workers: &'a [Value],
    being_made: &BTreeSet<u32>,
    worker: &NewWorker,
    hash: Option<&str>,
) -> Option<&'a Value> {
    workers
        .iter()
        .filter(|other| hash.is_none_or(|hash| other["Labels"][CONFIG_HASH] == *hash))
        .filter(|other| number(other).is_some_and(|number| !being_made.contains(&number)))
        .filter(|other| {
            // It has others as well where containers are linked.
            let names = other["Names"].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).any(|name| {
                let prefix = name.trim_end_matches(|end: char| end.is_ascii_digit());
                prefix.strip_prefix('/') == Some(worker.prefix())
            })
        })
        .max_by_key(|other| (other["State"] == "running", other["Created"].as_i64()))
}

fn number(worker: &Value) -> Option<u32> {
    worker["Labels"][NUMBER].as_str()?.parse().ok()
}

fn made(template: &Value, image: &str, worker: &NewWorker) -> Result<Made, Refusal> {
    let made = like(template, image, worker.number)
        .map_err(|error| Refusal::new(format!("no other worker can be made: {error}")))?;
    if made.name == worker.name {
        Ok(made)
    } else {
        Err(Refusal::new("another worker would be called otherwise"))
    }
}

async fn send(proxy: &Proxy, made: &Made) -> Result<Answer, EngineError> {
    let name = [("name", made.name.clone())];
    let create = Ask::post(target(None, "/containers/create", &name));
    proxy.engine.ask(create.with(&made.body)).await
}

/// Whether a container that was just made has its template's image.
async fn same_image(proxy: &Proxy, id: &str, template: &Value) -> Result<bool, Failure> {
    let inspect = Ask::get(format!("/containers/{id}/json"));
    let inspected = match proxy.engine.ask(inspect).await {
        Ok(answer) => answer.json(),
        Err(error) => Err(error),
    };
    match inspected {
        Ok(said) => Ok(said["Image"] == template["Image"]),
        Err(error) => {
            remove(proxy, id).await;
            Err(error.into())
        }
    }
}

/// Connects it to its further networks, or removes it.
async fn connect(proxy: &Proxy, created: Answer, id: &str, made: &Made) -> Result<Answer, Failure> {
    for (network, endpoint) in &made.connect {
        let connected = match Id::read(network) {
            Some(network) => {
                let connect = Ask::post(format!("/networks/{}/connect", network.as_str()));
                let body = json!({ "Container": id, "EndpointConfig": endpoint });
                proxy.engine.ask(connect.with(&body)).await
            }
            None => Err(EngineError::Odd("a network without a name")),
        };
        match connected {
            Ok(answer) if answer.status.is_success() => {}
            Ok(answer) => {
                remove(proxy, id).await;
                return Ok(answer);
            }
            Err(error) => {
                remove(proxy, id).await;
                return Err(error.into());
            }
        }
    }
    Ok(created)
}

/// Removes what was made and is not as it should be.
async fn remove(proxy: &Proxy, id: &str) {
    let remove = Ask::new(Method::DELETE, format!("/containers/{id}?v=1"));
    match proxy.engine.ask(remove).await {
        Ok(answer) if answer.status.is_success() => {}
        Ok(answer) => {
            let status = answer.status.as_u16();
            tracing::warn!(
                container.id = id,
                http.status = status,
                "a worker that is not whole is left"
            );
        }
        Err(error) => {
            tracing::warn!(container.id = id, %error, "a worker that is not whole is left");
        }
    }
}
