//! Every path on one screen.

mod collections;
mod points;
mod query;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Vector;

/// The service's own routes.
pub fn router(service: Vector) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(collections::list))
        .routes(routes!(
            collections::create,
            collections::get,
            collections::remove
        ))
        .routes(routes!(points::upsert))
        .routes(routes!(points::delete))
        .routes(routes!(query::query))
        .routes(routes!(query::scroll))
        .routes(routes!(query::count))
        .with_state(service)
}
