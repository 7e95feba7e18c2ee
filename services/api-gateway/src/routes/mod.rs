//! Every path of the gateway.

mod ask;
mod console;
mod docs;
pub(crate) mod forward;
mod health;
mod specification;
pub(crate) mod table;

use axum::Router;
use touchstone_lifecycle::Lifecycle;
use touchstone_web::Surface;
use utoipa_axum::router::OpenApiRouter;

use crate::admin;
use crate::front::Front;
use crate::gateway::Gateway;

pub(crate) use health::HealthBoard;
pub(crate) use specification::Specification;

/// The finished router.
pub(crate) fn router(gateway: &Gateway, life: &Lifecycle) -> Router {
    let mut own = Router::new().route("/api/v1/health", axum::routing::get(health::health));
    if gateway.config().docs {
        own = own.merge(docs::router());
    }
    if gateway.config().console {
        own = own.merge(console::router());
    }
    let own = own.with_state(gateway.clone());

    let (for_health, for_specification) = (gateway.clone(), gateway.clone());
    let surface = Surface::new(
        "gateway",
        life,
        gateway.registry(),
        gateway.verifier(),
        gateway.ids(),
    )
    .timeout(gateway.config().classes.longest())
    .health(move || health::report(for_health.clone()))
    .specification(move |own| specification::answer(for_specification.clone(), own));
    // Metrics are served on the port for operators.
    let surface = surface.without_metrics();
    let boundary = surface.boundary();
    let own = surface.finish(OpenApiRouter::from(own).merge(admin::public(gateway)));
    Router::new().fallback_service(Front::new(gateway, boundary, own))
}
