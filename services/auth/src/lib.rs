#![doc = include_str!("../README.md")]

mod config;
mod domain;
mod error;
mod hasher;
mod keys;
mod metrics;
mod routes;
mod secrets;
mod service;
mod store;

use std::sync::Arc;

use axum::Router;
use touchstone_api::document::CreateDocumentRequest;
use touchstone_client::{Common, Mesh};
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_telemetry::Metrics;
use touchstone_types::{Clock, IdSource};

pub use config::{Argon2Config, Config, Profile, ThrottleConfig};
pub use domain::{ClientAddress, InvalidEmail, PasswordRule};
pub use error::{BuildError, Error};
pub use hasher::HasherError;
pub use keys::KeyError;
pub use secrets::NoRandomness;
pub use service::{Auth, NewApiKey};
pub use store::EXPLAINED;

/// Name of the service in the mesh, the configuration and the metrics.
pub const SERVICE: &str = "auth";

/// Everything auth needs from outside; it reads no environment and opens no socket.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Who may call. Auth signs by the policy of this verifier, so that both agree.
    pub verifier: Arc<Verifier>,
    /// The way to document, resolved when demo data is asked for.
    pub mesh: Mesh,
    /// What `POST /auth/seed-demo` uploads.
    pub demo: Arc<[CreateDocumentRequest]>,
    /// The stack's metrics.
    pub metrics: Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids. Secrets never come from here, but from the operating system.
    pub ids: IdSource,
}

impl Deps {
    /// Takes what it needs from the composition root; `demo` is the bundled corpus.
    pub fn resolve(common: Common, demo: Arc<[CreateDocumentRequest]>) -> Self {
        let Common {
            mesh,
            verifier,
            metrics,
            clock,
            ids,
            recorder: _,
        } = common;
        Self {
            verifier,
            mesh,
            demo,
            metrics,
            clock,
            ids,
        }
    }
}

/// Opens the store, finds or makes the signing key and builds the routes.
///
/// # Errors
/// [`BuildError`] when the store does not open or there is no key to sign with.
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    Ok(build_with_handle(config, deps, life).await?.0)
}

/// As [`build`], with the service itself, for the composition root: it registers the demo user
/// without a detour over HTTP.
///
/// # Errors
/// As [`build`].
pub async fn build_with_handle(
    config: Config,
    deps: Deps,
    life: &Lifecycle,
) -> Result<(Router, Auth), BuildError> {
    let auth = Auth::open(config, deps).await?;
    life.service(SERVICE)
        .spawn("auth.purge", auth.clone().purge_loop(life.soft_stop()));
    Ok((routes::router(auth.clone(), life), auth))
}
