//! Every path of the service.

mod channels;
mod files;
mod media;
mod messages;
mod parse;
mod sync;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Telegram;

/// The service's routes.
pub fn router(telegram: Telegram) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(parse::parse))
        .routes(routes!(channels::list))
        .routes(routes!(channels::join))
        .routes(routes!(channels::leave))
        .routes(routes!(messages::messages))
        .routes(routes!(sync::follow, sync::unfollow))
        .routes(routes!(sync::completeness))
        .routes(routes!(files::list))
        .routes(routes!(files::download))
        .routes(routes!(media::media))
        .with_state(telegram)
}
