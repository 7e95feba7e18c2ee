//! Every path of the service.

mod compute;
mod models;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Models;

/// The service's routes.
pub fn router(models: Models) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(models::list))
        .routes(routes!(models::get))
        .routes(routes!(models::load))
        .routes(routes!(models::unload))
        .routes(routes!(compute::embed))
        .routes(routes!(compute::rerank))
        .with_state(models)
}
