//! Every path on one screen.

mod ask;
mod chat;
mod chunks;
mod conversations;
mod generate;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Generation;

/// The service's own routes.
pub fn router(service: Generation) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(ask::ask))
        .routes(routes!(generate::generate))
        .routes(routes!(generate::providers))
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::get, conversations::delete))
        .routes(routes!(conversations::messages))
        .routes(routes!(chat::completions))
        .routes(routes!(chat::models))
        .with_state(service)
}
