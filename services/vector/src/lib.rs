#![doc = include_str!("../README.md")]

mod config;
pub mod domain;
mod error;
pub mod index;
mod metrics;
mod pool;
mod routes;
mod service;
pub mod store;

pub use config::{Config, QdrantConfig};
pub use error::Error;
pub use metrics::Metrics;
pub use pool::{CpuPool, Stop};
pub use service::Vector;

use std::sync::Arc;

use axum::Router;
use touchstone_client::Common;
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_lifecycle::trial::Mistake;
use touchstone_types::{Clock, IdSource};
use touchstone_web::Surface;

use crate::store::Backend;

/// Everything vector needs from outside.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Judges callers.
    pub verifier: Arc<Verifier>,
    /// The stack's metrics.
    pub metrics: touchstone_telemetry::Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Request ids.
    pub ids: IdSource,
}

impl Deps {
    /// Takes what is needed from what all services share.
    pub fn resolve(common: Common, _config: &Config) -> Self {
        Self {
            verifier: common.verifier,
            metrics: common.metrics,
            clock: common.clock,
            ids: common.ids,
        }
    }
}

/// The service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The points cannot be opened.
    #[error("cannot open the points of vector")]
    Store(#[source] Error),
    /// The operating system gives no threads.
    #[error("cannot start the threads of vector")]
    Threads(#[source] rayon::ThreadPoolBuildError),
}

/// Opens the store and gives the router. The gate `index` opens when the index in memory stands,
/// or the gate `qdrant` when the server answers.
///
/// # Errors
/// [`BuildError`] says what could not be opened.
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let life = life.service("vector");
    let pool = CpuPool::new(config.threads, config.max_waiting).map_err(BuildError::Threads)?;
    let metrics = Metrics::new(&deps.metrics);
    let backend = Backend::open(&config, pool, &life, deps.clock, metrics)
        .await
        .map_err(BuildError::Store)?;
    let service = Vector::new(backend.store());
    let surface = Surface::new("vector", &life, &deps.metrics, deps.verifier, deps.ids)
        .health(move || {
            let backend = backend.clone();
            async move { backend.health().await }
        })
        .body_limit(usize::try_from(config.max_body.as_u64()).unwrap_or(usize::MAX));
    Ok(surface.finish(routes::router(service)))
}

/// A first look at the Qdrant server that `config` names, if it names one.
///
/// # Errors
/// [`Mistake`], without the key.
pub async fn trial(config: &Config) -> Result<(), Mistake> {
    if store::is_qdrant(&config.store) {
        store::trial(&config.store, &config.qdrant.options()).await
    } else {
        Ok(())
    }
}
