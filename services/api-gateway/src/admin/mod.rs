//! What operators see and change: on a port of its own, but for the limits, which have their place
//! on the public one.

mod config;
mod ledger;
mod queries;

pub(crate) use ledger::Ledger;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use touchstone_lifecycle::Lifecycle;
use touchstone_telemetry::METRICS_CONTENT_TYPE;
use touchstone_web::{Problem, Surface};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::gateway::Gateway;
use crate::quota::admit_address;
use crate::{SERVICE, layers};

/// Name of the port in logs.
pub(crate) const NAME: &str = "admin";

/// The router of the port for operators.
pub(crate) fn router(gateway: &Gateway, life: &Lifecycle) -> Router {
    let routes = OpenApiRouter::new()
        .routes(routes!(queries::decisions))
        .routes(routes!(queries::upstreams))
        .routes(routes!(queries::quotas))
        .routes(routes!(queries::changes))
        .route("/metrics", get(metrics))
        .with_state(gateway.clone());
    let registry = gateway.registry();
    let surface = Surface::new(NAME, life, registry, gateway.verifier(), gateway.ids());
    layers::around_everything(gateway, surface.without_metrics().finish(routes))
}

/// The routes of operators on the public port.
pub(crate) fn public(gateway: &Gateway) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(config::read, config::change))
        .layer(from_fn_with_state(gateway.clone(), limit))
        .with_state(gateway.clone())
}

/// The limiter by address in front of routes that are not forwarded.
async fn limit(
    State(gateway): State<Gateway>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    admit_address(&gateway, &mut request)?;
    Ok(next.run(request).await)
}

/// Metrics of the gateway as OpenMetrics text, for whoever reaches the port.
async fn metrics(State(gateway): State<Gateway>) -> Response {
    let text = gateway.registry().scope(SERVICE).encode();
    ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], text).into_response()
}
