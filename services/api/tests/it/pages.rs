//! The dashboard's files and the documentation's.

use axum::body::Body;
use axum::http::Request;

use crate::api::TestApi;

#[tokio::test]
async fn the_dashboard_answers_to_every_address_of_its_own() {
    let api = TestApi::alone();
    let page = api.get("/").await;
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{}",
        page.status
    );
    for path in [
        "/schedule",
        "/tasks/0190f5c2-6b1e-7d3c-9a70-3f2f6f1f8a55",
        "/apiary",
    ] {
        let answer = api.get(path).await;
        assert_eq!(
            (answer.status, &answer.body),
            (page.status, &page.body),
            "{path}"
        );
    }
    // A build without the dashboard says how to get it.
    assert!(page.status == 200 || page.text().contains("cargo xtask client"));
    api.get("/assets/gone-1234.js").await.problem(404);
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let api = TestApi::alone();
    let page = api.get("/").await;
    if page.status == 503 {
        return;
    }
    assert_eq!(page.header("cache-control"), "no-cache");
    let request = Request::get("/")
        .header("host", "localhost")
        .header("if-none-match", page.header("etag"));
    let again = api.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let script = page
        .text()
        .split('"')
        .find(|text| text.starts_with("/assets/"));
    let script = api.get(script.unwrap()).await;
    assert!(script.header("cache-control").contains("immutable"));
}

#[tokio::test]
async fn the_documentation_needs_no_other_server() {
    let api = TestApi::alone();
    assert_eq!(api.get("/api/docs").await.header("location"), "/api/docs/");
    let page = api.get("/api/docs/").await;
    assert_eq!(page.status, 200);
    assert!(!page.text().contains("https://"), "{}", page.text());
    let files = page
        .text()
        .split('"')
        .filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    let files: Vec<_> = files.collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let file = file.trim_start_matches("./");
        let file = api.get(&format!("/api/docs/{file}")).await;
        assert_eq!(file.status, 200);
    }
    let start = api.get("/api/docs/swagger-initializer.js").await;
    assert!(
        start.text().contains("\"/api/openapi.json\""),
        "{}",
        start.text()
    );
}

#[tokio::test]
async fn text_is_compressed_for_those_who_ask() {
    let api = TestApi::alone();
    let request = Request::get("/api/openapi.json")
        .header("host", "localhost")
        .header("accept-encoding", "gzip");
    let answer = api.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
}
