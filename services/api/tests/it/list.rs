//! `GET /api/v1/tasks` and `GET /api/tasks`: filters and pages.

use serde_json::{Value, json};

use crate::api::TestApi;
use crate::stand_in::StandIn;

fn commands(page: &Value) -> Vec<&str> {
    let tasks = page["tasks"].as_array().unwrap().iter();
    tasks
        .map(|task| task["command"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn filters_leave_the_rest_out() {
    let api = TestApi::start().await;
    for command in ["make 50%", "make 500", "Make_it", "back\\slash"] {
        api.submit(json!({"command": command})).await;
    }
    let one = StandIn::register(api.pool(), "worker-1").await;
    let two = StandIn::register(api.pool(), "worker-2").await;
    let first = one.start().await;
    one.complete(first).await;
    two.start().await;
    for (query, expected) in [
        ("", vec!["back\\slash", "Make_it", "make 500", "make 50%"]),
        ("status=completed", vec!["make 50%"]),
        ("status=running,completed", vec!["make 500", "make 50%"]),
        ("status=scheduled&q=make", vec!["Make_it"]),
        ("status=failed", vec![]),
        ("worker=worker-1", vec!["make 50%"]),
        ("worker=worker-2", vec!["make 500"]),
        ("worker=worker-3", vec![]),
        ("q=50%25", vec!["make 50%"]),
        ("q=E_i", vec!["Make_it"]),
        ("q=k\\s", vec!["back\\slash"]),
        (
            "q=&status=&worker=&cursor=&limit=",
            vec!["back\\slash", "Make_it", "make 500", "make 50%"],
        ),
    ] {
        for path in ["/api/v1/tasks", "/api/tasks"] {
            let page = api.get(&format!("{path}?{query}")).await.json(200);
            assert_eq!(commands(&page), expected, "{path}?{query}");
            assert_eq!(page["next_cursor"], Value::Null);
        }
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let api = TestApi::start().await;
    let tasks: Vec<_> = (0..7)
        .map(|n| json!({"command": format!("c{n}")}))
        .collect();
    api.post("/api/v1/tasks", tasks).await.json(201);
    for path in ["/api/v1/tasks", "/api/tasks"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        let mut sizes = Vec::new();
        loop {
            let page = api
                .get(&format!("{path}?limit=3&cursor={cursor}"))
                .await
                .json(200);
            sizes.push(commands(&page).len());
            seen.extend(commands(&page).into_iter().map(str::to_owned));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
            // What comes later does not move the pages that follow.
            api.submit(json!({"command": "later"})).await;
        }
        seen.retain(|command| command != "later");
        assert_eq!(seen, ["c6", "c5", "c4", "c3", "c2", "c1", "c0"]);
        assert!(sizes.iter().all(|size| (1..=3).contains(size)), "{sizes:?}");
    }
}

#[tokio::test]
async fn a_page_has_a_hundred_unless_told() {
    let api = TestApi::start().await;
    let tasks: Vec<_> = (0..101)
        .map(|n| json!({"command": format!("c{n}")}))
        .collect();
    api.post("/api/v1/tasks", tasks).await.json(201);
    let page = api.get("/api/tasks").await.json(200);
    assert_eq!(commands(&page).len(), 100);
    assert!(page["next_cursor"].is_string());
    let page = api.get("/api/tasks?limit=101").await.json(200);
    assert_eq!(page["next_cursor"], Value::Null);
}
