//! Every path of auth on one screen.

mod api_keys;
mod demo;
mod extract;
mod jwks;
mod login;
mod me;
mod password;
mod refresh;
mod register;
mod validate;

use axum::Router;
use touchstone_lifecycle::Lifecycle;
use touchstone_web::{HealthReport, Surface};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::SERVICE;
use crate::service::Auth;

pub(crate) fn router(auth: Auth, life: &Lifecycle) -> Router {
    let routes = OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(login::login))
        .routes(routes!(refresh::refresh))
        .routes(routes!(refresh::logout))
        .routes(routes!(validate::validate))
        .routes(routes!(me::me))
        .routes(routes!(password::change_password))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::delete))
        .routes(routes!(demo::seed_demo))
        .routes(routes!(jwks::jwks))
        .with_state(auth.clone());
    let deps = auth.deps();
    let (verifier, ids) = (deps.verifier.clone(), deps.ids.clone());
    let body_limit = usize::try_from(auth.config().body_limit.as_u64()).unwrap_or(usize::MAX);
    Surface::new(SERVICE, life, &deps.metrics, verifier, ids)
        .body_limit(body_limit)
        .health(move || {
            let auth = auth.clone();
            async move {
                let (store, keys) = (auth.is_healthy().await, auth.jwks().keys.len());
                HealthReport::healthy()
                    .with("store_connected", store)
                    .with("public_keys", keys)
                    .degraded_unless(store)
            }
        })
        .finish(routes)
}
