//! New workers: whatever the caller wants them to be, they are like one that is there.

use std::sync::Arc;

use serde_json::{Value, json};
use taskmaster_fleet::docker::spec::like;
use tokio::sync::Notify;

use super::stand_in::{Asked, StandIn};
use super::{SECRET, compose, compose_of, container, id, three_projects};

fn hostile() -> Value {
    json!({
        "Image": "evil:latest",
        "User": "0:0",
        "Entrypoint": ["/bin/sh", "-c", "cat /host/etc/shadow"],
        "Cmd": ["evil"],
        "Env": ["LD_PRELOAD=/host/evil.so"],
        "Labels": {
            "com.docker.compose.project": "other",
            "com.docker.compose.service": "db",
            "com.docker.compose.config-hash": "hash of tm",
        },
        "HostConfig": {
            "Privileged": true,
            "Binds": ["/:/host", "/var/run/docker.sock:/var/run/docker.sock"],
            "NetworkMode": "host",
            "PidMode": "host",
            "CapAdd": ["ALL"],
            "Devices": [{ "PathOnHost": "/dev/sda" }],
            "SecurityOpt": ["seccomp=unconfined"],
        },
        "NetworkingConfig": { "EndpointsConfig": { "tm_control": {}, "host": {} } },
    })
}

/// The creations among what the engine was asked.
fn creations(engine: &StandIn) -> Vec<Asked> {
    let mut asked = engine.take();
    asked.retain(|asked| asked.line.starts_with("POST /containers/create"));
    asked
}

#[tokio::test]
async fn the_body_is_the_templates_byte_for_byte() {
    let (engine, client) = compose().await;
    let created = client
        .post("/v1.41/containers/create?name=tm_worker_3", &hostile())
        .await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.json()["Id"], id("d8"));
    let [creation] = &creations(&engine)[..] else {
        panic!("not one creation");
    };
    assert_eq!(creation.line, "POST /containers/create?name=tm_worker_3");
    let template = container("a2", "tm", "worker", 2);
    let made = like(&template, "taskmaster:latest", 3).unwrap();
    assert_eq!(creation.body, made.body.to_string());

    // The same, without the help of what made it: the template, but for the number, the host name and what the
    // engine made of the network.
    let mut expected = template["Config"].clone();
    expected.as_object_mut().unwrap().remove("Hostname");
    expected["Labels"]["com.docker.compose.container-number"] = "3".into();
    expected["HostConfig"] = template["HostConfig"].clone();
    let endpoint = json!({ "tm_workers": { "Aliases": ["worker"] } });
    expected["NetworkingConfig"] = json!({ "EndpointsConfig": endpoint });
    let body: Value = serde_json::from_str(&creation.body).unwrap();
    assert_eq!(body, expected);
    for evil in ["evil", "/host", "docker.sock", "tm_control", "other"] {
        assert!(!creation.body.contains(evil), "{evil}: {}", creation.body);
    }
    assert!(creation.body.contains(SECRET));
}

#[tokio::test]
async fn numbers_and_names_that_are_not_free_are_refused() {
    let (engine, client) = compose().await;
    for (name, status) in [
        ("tm_worker_1", 409),
        ("tm-worker-2", 409),
        // Nobody joins names so here.
        ("tm-worker-3", 409),
        ("tm_worker_0", 403),
        ("tm_worker_03", 403),
        ("tm_worker_100000", 403),
        ("tm_postgres_2", 403),
        ("other_worker_2", 403),
        ("evil", 403),
        ("", 403),
    ] {
        let target = format!("/containers/create?name={name}");
        client
            .post(&target, &hostile())
            .await
            .assert_refused(status);
    }
    client
        .post("/containers/create", &hostile())
        .await
        .assert_refused(403);
    assert_eq!(creations(&engine), []);
}

#[tokio::test]
async fn bodies_that_are_none_are_refused() {
    let (engine, client) = compose().await;
    let create = "POST /containers/create?name=tm_worker_3";
    client.send(create, "", "x").await.assert_refused(400);
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    client.send(create, "", &long).await.assert_refused(413);
    assert_eq!(creations(&engine), []);
}

#[tokio::test]
async fn there_are_never_more_than_two_whole_fleets() {
    let workers = |count| {
        let id = |number| format!("a{number:03}");
        (1..=count).map(move |number| {
            let mut worker = container(&id(number), "tm", "worker", number);
            worker["Created"] = "2026-01-01T00:00:09Z".into();
            worker
        })
    };
    let (engine, client) = compose_of(workers(100).collect()).await;
    let refused = client
        .post("/containers/create?name=tm_worker_101", &hostile())
        .await;
    refused.assert_refused(403);
    assert!(refused.body.contains("wait until they are gone"));
    // Those that have stopped count, those of others do not.
    let mut stopped: Vec<Value> = workers(99).chain(three_projects().split_off(2)).collect();
    stopped[0]["State"]["Status"] = "exited".into();
    engine.world().containers = stopped;
    // One that is being made counts before the engine tells of it.
    let hold = Arc::new(Notify::new());
    engine.world().hold = Some(Arc::clone(&hold));
    let first = client.post("/containers/create?name=tm_worker_160", &Value::Null);
    let second = async {
        engine.creating.notified().await;
        let second = client
            .post("/containers/create?name=tm_worker_161", &Value::Null)
            .await;
        hold.notify_one();
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.status, 201, "{first:?}");
    second.assert_refused(403);
}

#[tokio::test]
async fn of_two_with_one_number_one_is_made() {
    let (engine, client) = compose().await;
    let hold = Arc::new(Notify::new());
    engine.world().hold = Some(Arc::clone(&hold));
    let first = client.post("/containers/create?name=tm_worker_3", &Value::Null);
    let second = async {
        engine.creating.notified().await;
        let second = client
            .post("/containers/create?name=tm_worker_3", &Value::Null)
            .await;
        hold.notify_one();
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.status, 201, "{first:?}");
    second.assert_refused(409);
    assert_eq!(creations(&engine).len(), 1);
}

#[tokio::test]
async fn the_template_is_the_newest_that_runs_with_that_configuration() {
    let mut workers: Vec<Value> = (1..=4)
        .map(|number| container(&format!("a{number}"), "tm", "worker", number))
        .collect();
    for (worker, image) in workers.iter_mut().zip(["one", "two", "three", "four"]) {
        worker["Config"]["Image"] = image.into();
    }
    // 3 has another configuration, 4 has stopped.
    workers[2]["Config"]["Labels"]["com.docker.compose.config-hash"] = "new".into();
    workers[3]["State"]["Status"] = "exited".into();
    for (hash, image) in [
        (Some("hash of tm"), "two"),
        (Some("new"), "three"),
        (None, "three"),
    ] {
        let (engine, client) = compose_of(workers.clone()).await;
        let body = match hash {
            Some(hash) => json!({ "Labels": { "com.docker.compose.config-hash": hash } }),
            None => json!({}),
        };
        let created = client
            .post("/containers/create?name=tm_worker_5", &body)
            .await;
        assert_eq!(created.status, 201, "{created:?}");
        let body: Value = serde_json::from_str(&creations(&engine)[0].body).unwrap();
        assert_eq!(body["Image"], image, "{hash:?}");
    }
    let (engine, client) = compose_of(workers).await;
    let body = json!({ "Labels": { "com.docker.compose.config-hash": "gone" } });
    let refused = client
        .post("/containers/create?name=tm_worker_5", &body)
        .await;
    refused.assert_refused(409);
    // All have stopped: the newest.
    for worker in &mut engine.world().containers {
        worker["State"]["Status"] = "exited".into();
    }
    let created = client
        .post("/containers/create?name=tm_worker_5", &json!({}))
        .await;
    assert_eq!(created.status, 201);
    let body: Value = serde_json::from_str(&creations(&engine)[0].body).unwrap();
    assert_eq!(body["Image"], "four");
}

#[tokio::test]
async fn a_name_that_means_another_image_by_now_is_not_used() {
    let (engine, client) = compose().await;
    engine.world().image_now = Some("sha256:2222".to_owned());
    let created = client
        .post("/containers/create?name=tm_worker_3", &Value::Null)
        .await;
    assert_eq!(created.status, 201);
    let id = created.json()["Id"].clone();
    let bodies = creations(&engine).into_iter().map(|asked| asked.body);
    let bodies: Vec<Value> = bodies
        .map(|body| serde_json::from_str(&body).unwrap())
        .collect();
    assert_eq!(bodies[0]["Image"], "taskmaster:latest");
    assert_eq!(bodies[1]["Image"], "sha256:1111");
    let world = engine.world();
    let made: Vec<&Value> = world.containers.iter().skip(8).collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["Id"], id);
    assert_eq!(made[0]["Image"], "sha256:1111");
}

#[tokio::test]
async fn further_networks_are_connected_before_the_answer_or_nothing_is_left() {
    let mut workers = three_projects();
    for worker in &mut workers[..2] {
        let networks = &mut worker["NetworkSettings"]["Networks"];
        networks["tm_extra"] =
            json!({ "Aliases": ["extra", &id("a2")[..12]], "IPAddress": "10.9.9.9" });
    }
    let (engine, client) = compose_of(workers).await;
    let created = client
        .post("/containers/create?name=tm_worker_3", &Value::Null)
        .await;
    assert_eq!(created.status, 201);
    let id = created.json()["Id"].as_str().unwrap().to_owned();
    let asked = engine.take();
    let connected = asked.last().unwrap();
    assert_eq!(connected.line, "POST /networks/tm_extra/connect");
    let body: Value = serde_json::from_str(&connected.body).unwrap();
    assert_eq!(
        body,
        json!({ "Container": id, "EndpointConfig": { "Aliases": ["extra"] } })
    );

    engine.world().broken_network = Some("tm_extra".to_owned());
    let refused = client
        .post("/containers/create?name=tm_worker_4", &Value::Null)
        .await;
    refused.assert_refused(403);
    assert_eq!(engine.world().containers.len(), 9);
    engine.world().broken_network = None;
    let created = client
        .post("/containers/create?name=tm_worker_4", &Value::Null)
        .await;
    assert_eq!(created.status, 201, "{created:?}");
}

#[tokio::test]
async fn what_has_begun_goes_on_when_the_caller_is_gone() {
    let mut workers = three_projects();
    for worker in &mut workers[..2] {
        worker["NetworkSettings"]["Networks"]["tm_extra"] = json!({ "Aliases": ["extra"] });
    }
    let (engine, client) = compose_of(workers).await;
    let hold = Arc::new(Notify::new());
    engine.world().hold = Some(Arc::clone(&hold));
    let line = "POST /containers/create?name=tm_worker_3";
    let gone = client.open(line, "", "{}").await;
    engine.creating.notified().await;
    drop(gone);
    // Its number is taken until it is whole.
    let same = client
        .post("/containers/create?name=tm_worker_3", &Value::Null)
        .await;
    same.assert_refused(409);
    let connected = Arc::clone(&engine.world().connected);
    hold.notify_one();
    connected.notified().await;
    let made = engine.world().containers[8].clone();
    assert_eq!(made["Name"], "/tm_worker_3");
    assert!(made["NetworkSettings"]["Networks"]["tm_extra"].is_object());
}
