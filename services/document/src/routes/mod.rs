//! Every path on one screen.

mod content;
mod create;
mod dead_letters;
mod documents;
mod passages;
mod reindex;
mod upload;
mod work;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Documents;

/// The service's own routes.
pub fn router(service: Documents) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(create::create, documents::list))
        .routes(routes!(documents::get, create::replace, documents::delete))
        .routes(routes!(content::content))
        .routes(routes!(content::chunks))
        .routes(routes!(documents::timeline))
        .routes(routes!(work::retry))
        .routes(routes!(work::cancel))
        .routes(routes!(passages::passages))
        .routes(routes!(reindex::reindex))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::replay))
        .with_state(service)
}
