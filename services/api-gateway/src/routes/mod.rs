//! Every path of the gateway.

mod ask;
mod console;
mod docs;
pub(crate) mod forward;
mod health;
mod specification;
pub(crate) mod table;

use axum::Router;
use axum::routing::any;
use touchstone_lifecycle::Lifecycle;
use touchstone_web::Surface;
use utoipa_axum::router::OpenApiRouter;

use crate::gateway::Gateway;
use crate::{admin, layers};
use table::{BASE, ROUTES};

pub(crate) use health::HealthBoard;
pub(crate) use specification::Specification;

/// The finished router.
pub(crate) fn router(gateway: &Gateway, life: &Lifecycle) -> Router {
    let mut forwarded = Router::new();
    for route in ROUTES {
        let bases: &[&str] = if route.at_root { &[BASE, ""] } else { &[BASE] };
        for base in bases {
            let path = format!("{base}{}", route.prefix);
            forwarded = forwarded
                .route(&format!("{path}/{{*rest}}"), any(forward::forward))
                .route(&path, any(forward::forward));
        }
    }
    let forwarded = layers::around_forwarded(gateway, forwarded.with_state(gateway.clone()));
    let mut own = Router::new().route("/api/v1/health", axum::routing::get(health::health));
    if gateway.config().docs {
        own = own.merge(docs::router());
    }
    if gateway.config().console {
        own = own.merge(console::router());
    }
    let routes = own.with_state(gateway.clone()).merge(forwarded);

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
    let routes = OpenApiRouter::from(routes).merge(admin::public(gateway));
    // Metrics are served on the port for operators.
    layers::around_everything(gateway, surface.without_metrics().finish(routes))
}
