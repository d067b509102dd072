//! A stack: its service is seen and scaled, and nothing else of it or of others.

use serde_json::{Value, json};

use super::{SECRET, compose, id, service, swarm};

#[tokio::test]
async fn only_our_service_is_seen() {
    let (engine, client) = swarm().await;
    let list = client.ask("GET /v1.41/services").await;
    // But for the passwords.
    let mut expected = service("worker1", "tm", "tm_worker");
    for spec in ["Spec", "PreviousSpec"] {
        expected[spec]["TaskTemplate"]["ContainerSpec"]["Env"] = json!([]);
    }
    assert_eq!(list.json(), json!([expected]));
    assert!(!list.body.contains(SECRET));
    let tasks = client.ask("GET /tasks").await;
    let expected = json!([{ "ID": "x", "Spec": { "ContainerSpec": { "Image": "i", "Env": [] } } }]);
    assert_eq!((tasks.status, tasks.json()), (200, expected));
    assert_eq!(client.ask("GET /v1.41/nodes").await.status, 200);
    let label = r#""label":["com.docker.stack.namespace=tm"]"#;
    assert_eq!(
        engine.lines(),
        [
            format!(r#"GET /v1.41/services?filters={{{label},"name":["tm_worker"]}}"#),
            format!(r#"GET /tasks?filters={{{label},"service":["tm_worker"]}}"#),
            "GET /v1.41/nodes".to_owned(),
        ]
    );
    // Containers are not its matter.
    client
        .ask(&format!("GET /containers/{}/json", id("a1")))
        .await
        .assert_refused(403);
}

#[tokio::test]
async fn a_scaling_takes_a_number_and_nothing_else() {
    let (engine, client) = swarm().await;
    let hostile = json!({
        "Name": "tm_worker",
        "TaskTemplate": { "ContainerSpec": { "Image": "evil", "Mounts": [{ "Source": "/", "Target": "/host" }] } },
        "Mode": { "Replicated": { "Replicas": 50 } },
    });
    let update = "/v1.41/services/worker1/update?version=11";
    assert_eq!(client.post(update, &hostile).await.status, 200);
    let asked = engine.take();
    let update = asked.last().unwrap();
    assert_eq!(update.line, "POST /services/worker1/update?version=11");
    let mut expected = service("worker1", "tm", "tm_worker")["Spec"].clone();
    expected["Mode"]["Replicated"]["Replicas"] = 50.into();
    assert_eq!(update.body, expected.to_string());
    assert!(update.body.contains(SECRET));
}

#[tokio::test]
async fn a_service_that_has_changed_since_is_looked_at_again() {
    let (engine, client) = swarm().await;
    let body = json!({ "Mode": { "Replicated": { "Replicas": 5 } } });
    for version in [10, 12] {
        let update = format!("/services/worker1/update?version={version}");
        let refused = client.post(&update, &body).await;
        // As the engine says it, and the fleet knows it.
        refused.assert_refused(500);
        assert!(refused.body.contains("update out of sequence"));
    }
    let lines = engine.lines();
    assert!(
        lines.iter().all(|line| line.starts_with("GET ")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn other_scalings_are_refused() {
    let (engine, client) = swarm().await;
    let to = |replicas: Value| json!({ "Mode": { "Replicated": { "Replicas": replicas } } });
    let update = "/services/worker1/update?version=11";
    for body in [
        to(0.into()),
        to(51.into()),
        to((-1).into()),
        to(2.5.into()),
        to("3".into()),
        json!({ "Mode": { "Global": {} } }),
        json!({}),
        json!([]),
    ] {
        client.post(update, &body).await.assert_refused(403);
    }
    for id in ["worker2", "postgres1", "foreign1"] {
        let update = format!("/services/{id}/update?version=11");
        client
            .post(&update, &to(3.into()))
            .await
            .assert_refused(403);
    }
    let missing = client
        .post("/services/nobody/update?version=1", &to(3.into()))
        .await;
    missing.assert_refused(404);
    let lines = engine.lines();
    assert!(
        lines.iter().all(|line| line.starts_with("GET ")),
        "{lines:?}"
    );

    let (engine, client) = compose().await;
    client.post(update, &to(3.into())).await.assert_refused(403);
    assert_eq!(engine.take(), []);
}
