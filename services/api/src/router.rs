//! Which address leads where, and what every request passes on its way.

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::MAX_BODY_BYTES;
use crate::{ApiState, access, assets, docs, error, headers, health, seed, v1};

/// Everything that the API answers to.
pub fn router(state: ApiState) -> Router {
    let (described, document) = described().split_for_parts();
    described
        .merge(docs::routes(&document))
        .fallback(assets::serve)
        // From the inside to the outside: the last one is passed first.
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), access::check))
        .layer(CatchPanicLayer::new())
        .layer(from_fn(error::explain_bare_errors))
        .layer(CompressionLayer::new())
        .layer(from_fn(headers::protect))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_failure(()),
        )
        .with_state(state)
}

/// Every address that the OpenAPI document describes.
pub(crate) fn described() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(docs::head())
        .routes(routes!(seed::schedule::schedule))
        .routes(routes!(seed::status::status))
        .routes(routes!(seed::tasks::list))
        .routes(routes!(seed::workers::list))
        .routes(routes!(seed::stats::stats))
        .routes(routes!(seed::fleet::scale))
        .routes(routes!(seed::fleet::kill))
        .routes(routes!(v1::tasks::list, v1::tasks::submit))
        .routes(routes!(v1::tasks::get))
        .routes(routes!(v1::moves::cancel))
        .routes(routes!(v1::moves::retry))
        .routes(routes!(v1::attempts::list))
        .routes(routes!(v1::output::text))
        .routes(routes!(v1::output_stream::follow))
        .routes(routes!(v1::workers::list))
        .routes(routes!(v1::workers::drain))
        .routes(routes!(v1::workers::kill))
        .routes(routes!(v1::fleet::get, v1::autoscaler::change))
        .routes(routes!(v1::autoscaler::decisions))
        .routes(routes!(v1::forecast::forecast))
        .routes(routes!(v1::fleet::scale))
        .routes(routes!(v1::audit::list))
        .routes(routes!(v1::audit::get))
        .routes(routes!(v1::events::follow))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

/// Method and path only: a query may hold a part of somebody's command.
fn span(request: &Request<Body>) -> tracing::Span {
    tracing::debug_span!(
        "request",
        http.method = %request.method(),
        http.path = request.uri().path(),
        caller = tracing::field::Empty,
    )
}
