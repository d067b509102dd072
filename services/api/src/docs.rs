//! The OpenAPI document, made from the code, and the page to browse it with.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder,
    path::Operation,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::caller::Caller;
use crate::problem::{PROBLEM_JSON, Problem};
use crate::{ApiState, router};

const JSON_PATH: &str = "/api/openapi.json";
const PAGE_PATH: &str = "/api/docs";

/// The OpenAPI document: what `/api/openapi.json` answers and `client/openapi.json` is a copy of.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn openapi() -> anyhow::Result<String> {
    let mut json = finished(router::described().into_openapi()).to_pretty_json()?;
    json.push('\n');
    Ok(json)
}

/// The document before anything is described.
pub(crate) fn head() -> OpenApi {
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("TaskMaster")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "A fleet of workers that runs commands: now, at a given time, again when they fail. \
                     Errors are `application/problem+json` (RFC 9457).",
                )),
        )
        .build()
}

/// The document with the answer that every operation has: a problem.
fn finished(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post, &mut item.put]
            .into_iter()
            .flatten()
        {
            add_problem(operation);
        }
    }
    document
}

fn add_problem(operation: &mut Operation) {
    let schema = Ref::from_schema_name(Problem::name());
    let problem: Response = ResponseBuilder::new()
        .description("What went wrong.")
        .content(
            PROBLEM_JSON,
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .build();
    let responses = &mut operation.responses.responses;
    responses.insert("default".to_owned(), RefOr::T(problem));
}

/// The document and the page.
pub(crate) fn routes(document: &OpenApi) -> Router<ApiState> {
    let json = finished(document.clone()).to_json().unwrap_or_default();
    let serve_json = async move |_caller: Caller| {
        let content_type = HeaderValue::from_static("application/json");
        ([(CONTENT_TYPE, content_type)], json)
    };
    // Its own default is to have documents checked by a server on the internet.
    let page = Config::new([JSON_PATH])
        .validator_url("none")
        .try_it_out_enabled(true);
    Router::new()
        .route(JSON_PATH, get(serve_json))
        .merge(SwaggerUi::new(PAGE_PATH).config(page))
}
