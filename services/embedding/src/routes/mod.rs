//! Every path of the service.

mod embeddings;
mod openai;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Embedding;

/// The service's routes.
pub fn router(embedding: Embedding) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(embeddings::embed))
        .routes(routes!(openai::embed))
        .with_state(embedding)
}
