//! Every path on one screen.

mod stats;

use std::time::Duration;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Analytics;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct State {
    /// The service.
    pub analytics: Analytics,
    /// How long an answer may be repeated.
    pub fresh: Duration,
}

/// The service's own routes.
pub fn router(state: State) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(stats::stats))
        .with_state(state)
}
