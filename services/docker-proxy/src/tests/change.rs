//! Starting, stopping and removing: ours by its full id, and nobody else's.

use super::{FOREIGN, compose, id};

/// Each change, of the container `{}`, and what of it reaches the engine.
const CHANGES: [(&str, &str); 7] = [
    ("POST /containers/{}/start", "POST /containers/{}/start"),
    ("POST /containers/{}/stop", "POST /containers/{}/stop"),
    (
        "POST /v1.41/containers/{}/stop?t=45",
        "POST /containers/{}/stop?t=45",
    ),
    (
        "POST /containers/{}/kill?signal=SIGTERM",
        "POST /containers/{}/kill?signal=SIGTERM",
    ),
    (
        "DELETE /containers/{}?v=true&force=false&link=false",
        "DELETE /containers/{}?v=1",
    ),
    (
        "DELETE /v1.41/containers/{}?v=1",
        "DELETE /containers/{}?v=1",
    ),
    ("DELETE /containers/{}?v=1", "DELETE /containers/{}?v=1"),
];

#[tokio::test]
async fn ours_is_changed_by_its_full_id() {
    for (line, seen) in CHANGES {
        for name in [&id("a1"), &id("a1")[..12], "tm_worker_1"] {
            let (engine, client) = compose().await;
            let answer = client.ask(&line.replace("{}", name)).await;
            assert_eq!(answer.status, 204, "{line}: {answer:?}");
            assert_eq!(engine.lines(), [seen.replace("{}", &id("a1"))]);
        }
    }
}

#[tokio::test]
async fn nobody_elses_is_changed() {
    let (engine, client) = compose().await;
    let wait = ("POST /containers/{}/wait", "");
    for (line, _) in CHANGES.into_iter().chain([wait]) {
        for start in FOREIGN {
            let line = line.replace("{}", &id(start));
            client.ask(&line).await.assert_refused(403);
        }
        for name in ["tm_postgres_1", "other_worker_1", "tm2_worker_1"] {
            client
                .ask(&line.replace("{}", name))
                .await
                .assert_refused(403);
        }
        client
            .ask(&line.replace("{}", "nobody"))
            .await
            .assert_refused(404);
    }
    assert_eq!(engine.lines(), [""; 0]);
}

#[tokio::test]
async fn a_rename_between_the_look_and_the_deed_changes_nothing() {
    for (line, seen) in CHANGES {
        let (engine, client) = compose().await;
        engine.world().swap = Some(("tm_worker_1".to_owned(), "other_db_1".to_owned()));
        let answer = client.ask(&line.replace("{}", "tm_worker_1")).await;
        assert_eq!(answer.status, 204);
        assert_eq!(engine.lines(), [seen.replace("{}", &id("a1"))]);
        assert!(engine.world().swap.is_none());
    }
}
