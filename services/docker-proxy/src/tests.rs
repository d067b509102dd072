//! The proxy as the API meets it, over HTTP, in front of a counterpart that records what reaches the engine. What a real
//! engine makes of it is tested with the whole system.

mod change;
mod client;
mod create;
mod fleet;
mod limits;
mod see;
mod stand_in;
mod streams;
mod swarm;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use client::Client;
use stand_in::StandIn;

use crate::ours::{NAMESPACE, Ours};

/// The environment of our workers, which no other container has.
const SECRET: &str = "DATABASE_URL=postgres://taskmaster:s3cret@postgres/taskmaster";

/// 64 digits that begin with these.
fn id(start: &str) -> String {
    format!("{start:0<64}")
}

/// What an engine says of a container that docker-compose 1.29 made; in the order of the numbers they are created.
fn container(start: &str, project: &str, service: &str, number: u32) -> Value {
    let id = id(start);
    let short = &id[..12];
    let labels = BTreeMap::from([
        ("com.docker.compose.project", project.to_owned()),
        ("com.docker.compose.service", service.to_owned()),
        ("com.docker.compose.oneoff", "False".to_owned()),
        ("com.docker.compose.container-number", number.to_string()),
        (
            "com.docker.compose.config-hash",
            format!("hash of {project}"),
        ),
        ("com.docker.compose.version", "1.29.2".to_owned()),
    ]);
    let network = format!("{project}_workers");
    json!({
        "Id": id,
        "Name": format!("/{project}_{service}_{number}"),
        "Created": format!("2026-01-01T00:00:{number:02}.5Z"),
        "Image": "sha256:1111",
        "State": { "Status": "running", "Running": true },
        "Config": {
            "Hostname": short,
            "Domainname": "",
            "User": "10001:10001",
            "AttachStdout": false,
            "Env": [if project == "tm" { SECRET } else { "X=1" }],
            "Cmd": ["worker"],
            "Image": "taskmaster:latest",
            "Labels": labels,
            "Healthcheck": { "Test": ["CMD", "taskmaster", "healthcheck"] },
            "StopTimeout": 45,
            "OfANewerEngine": { "Kept": [1, 2.5, null] },
        },
        "HostConfig": {
            "Binds": [],
            "NetworkMode": network,
            "RestartPolicy": { "Name": "unless-stopped", "MaximumRetryCount": 0 },
            "CapDrop": ["ALL"],
            "Privileged": false,
            "ReadonlyRootfs": true,
            "SecurityOpt": ["no-new-privileges:true"],
            "Tmpfs": { "/tmp": "exec,mode=1777" },
            "Memory": 1_073_741_824_u64,
            "PidsLimit": 1024,
        },
        "NetworkSettings": { "Networks": { network: {
            "Aliases": ["worker", short],
            "Links": null,
            "IPAMConfig": null,
            "NetworkID": "33",
            "EndpointID": "44",
            "IPAddress": format!("10.0.0.{number}"),
            "MacAddress": "02:42:0a:00:00:02",
        } } },
    })
}

/// Three projects, of which `tm` is ours with two workers and one of `docker-compose run`.
fn three_projects() -> Vec<Value> {
    let mut one_off = container("a9", "tm", "worker", 9);
    one_off["Name"] = "/tm_worker_run_5a".into();
    one_off["Config"]["Labels"]["com.docker.compose.oneoff"] = "True".into();
    let mut no_compose = container("e1", "none", "worker", 1);
    no_compose["Config"]["Labels"] = json!({});
    vec![
        container("a1", "tm", "worker", 1),
        container("a2", "tm", "worker", 2),
        container("a3", "tm", "postgres", 1),
        one_off,
        container("b1", "other", "worker", 1),
        container("b2", "other", "db", 1),
        container("c1", "tm2", "worker", 1),
        no_compose,
    ]
}

/// The ids of what is not ours.
const FOREIGN: [&str; 6] = ["a3", "a9", "b1", "b2", "c1", "e1"];

/// A proxy for the workers of the project `tm` among others.
async fn compose() -> (StandIn, Client) {
    compose_of(three_projects()).await
}

async fn compose_of(containers: Vec<Value>) -> (StandIn, Client) {
    let engine = StandIn::start(containers, Vec::new()).await;
    let client = Client::start(engine.address, Ours::project("tm", "worker")).await;
    (engine, client)
}

/// What an engine says of a service of a stack.
fn service(id: &str, stack: &str, name: &str) -> Value {
    let spec = json!({
        "Name": name,
        "Labels": { NAMESPACE: stack },
        "TaskTemplate": { "ContainerSpec": {
            "Image": "taskmaster:latest",
            "Env": [SECRET],
            "Healthcheck": { "Interval": 5_000_000_000_u64 },
            "OfANewerEngine": [1],
        } },
        "Mode": { "Replicated": { "Replicas": 3 } },
    });
    json!({ "ID": id, "Version": { "Index": 11 }, "Spec": spec, "PreviousSpec": spec })
}

/// A proxy for the service `tm_worker` of the stack `tm` among others.
async fn swarm() -> (StandIn, Client) {
    let services = vec![
        service("worker1", "tm", "tm_worker"),
        service("worker2", "tm", "tm_worker2"),
        service("postgres1", "tm", "tm_postgres"),
        service("foreign1", "other", "tm_worker"),
    ];
    let engine = StandIn::start(three_projects(), services).await;
    let ours = Ours::Stack {
        name: "tm".to_owned(),
        service: "tm_worker".to_owned(),
    };
    let client = Client::start(engine.address, ours).await;
    (engine, client)
}
