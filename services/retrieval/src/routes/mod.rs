//! Every path on one screen.

mod search;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Retrieval;

/// The service's own routes.
pub fn router(service: Retrieval) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(search::search))
        .with_state(service)
}
