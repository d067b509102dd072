//! The dashboard's files, embedded in the executable.

use axum::extract::Request;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::caller::Caller;
use crate::error::{ApiError, nothing_here};

#[derive(RustEmbed)]
#[folder = "../../client/dist"]
struct Dashboard;

/// Files whose names have a hash of their content.
const HASHED: &str = "assets/";

const NOT_BUILT: &str = "<!doctype html><title>TaskMaster</title>\
    <p>This executable was built without the dashboard: run <code>cargo xtask client</code> and build it again. \
    The API is there: <a href=\"/api/docs\">/api/docs</a>.";

/// Answers to every address that is not the API's: with that file, or with the page, which reads the address itself.
pub(crate) async fn serve(_caller: Caller, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
        return ApiError::NotFound(nothing_here()).into_response();
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let allow = [(ALLOW, HeaderValue::from_static("GET,HEAD"))];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    let (path, file) = match Dashboard::get(path) {
        Some(file) => (path, file),
        // An old page that asks for files of its own time must not take the new page for one of them.
        None if path.starts_with(HASHED) => {
            return ApiError::NotFound("there is no such file".to_owned()).into_response();
        }
        None => match Dashboard::get("index.html") {
            Some(page) => ("index.html", page),
            None => return (StatusCode::SERVICE_UNAVAILABLE, Html(NOT_BUILT)).into_response(),
        },
    };
    answer(&request, path, file)
}

fn answer(request: &Request, path: &str, file: EmbeddedFile) -> Response {
    let caching = if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let hash = file.metadata.sha256_hash();
    let tag: String = hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{tag}\"");
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let kind = match kind.type_().as_str() {
        "text" => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    };
    let known = request.headers().get(IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| {
        // Compression makes the browser's copy a weak one.
        known.to_str().is_ok_and(|known| known.contains(&tag))
    });
    let headers = [
        (CACHE_CONTROL, caching.to_owned()),
        (ETAG, format!("W/{tag}")),
        (CONTENT_TYPE, kind),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, file.data).into_response()
}
