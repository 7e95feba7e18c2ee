#![doc = include_str!("../README.md")]

mod config;
pub mod domain;
mod error;
mod metrics;
pub mod provider;
mod routes;
mod service;
pub mod store;

pub use config::{
    Config, ErrorsConfig, ExtractiveConfig, FaultsConfig, GateConfig, LimitsConfig, OpenAiConfig,
    PromptConfig, Release, SimulatedConfig,
};
pub use error::Error;
pub use metrics::Metrics;
pub use service::Generation;

use std::sync::Arc;

use axum::Router;
use touchstone_client::{Common, RetrievalClient};
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{Clock, IdSource};
use touchstone_web::{HealthReport, Surface};

use crate::provider::Registry;
use crate::service::Inner;

/// Everything generation needs from outside.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Judges callers.
    pub verifier: Arc<Verifier>,
    /// The stack's metrics.
    pub metrics: touchstone_telemetry::Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: IdSource,
    /// Finds passages.
    pub retrieval: RetrievalClient,
}

impl Deps {
    /// Takes what is needed from what all services share.
    pub fn resolve(common: Common, _config: &Config) -> Self {
        Self {
            verifier: common.verifier,
            metrics: common.metrics,
            clock: common.clock,
            ids: common.ids,
            retrieval: RetrievalClient::new(common.mesh, "generation"),
        }
    }
}

/// The service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The conversations cannot be opened.
    #[error("cannot open the conversations of generation")]
    Store(#[source] touchstone_store::Error),
    /// The HTTP client cannot be made.
    #[error("cannot make the client of the language model")]
    Client(#[source] reqwest::Error),
}

/// Opens the store and gives the router.
///
/// # Errors
/// [`BuildError`] says what could not be opened.
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let life = life.service("generation");
    let metrics = Metrics::new(&deps.metrics.scope("generation"));
    let registry = Registry::new(&config, &metrics).map_err(BuildError::Client)?;
    let store = store::open(&config.store, &config.postgres)
        .await
        .map_err(BuildError::Store)?;
    let body_limit = usize::try_from(config.max_body.as_u64()).unwrap_or(usize::MAX);
    let timeout = config.request_timeout;
    let service = Generation::new(Inner {
        config,
        registry,
        store,
        retrieval: deps.retrieval,
        clock: deps.clock,
        ids: deps.ids.clone(),
        metrics,
        life: life.clone(),
    });
    let observed = service.clone();
    let surface = Surface::new("generation", &life, &deps.metrics, deps.verifier, deps.ids)
        .health(move || health(observed.clone()))
        .body_limit(body_limit)
        .timeout(timeout);
    Ok(surface.finish(routes::router(service)))
}

async fn health(service: Generation) -> HealthReport {
    let parts = service.parts();
    let store = parts.store.ping().await.is_ok();
    let names: Vec<String> = service
        .providers()
        .items
        .into_iter()
        .map(|p| p.name)
        .collect();
    HealthReport::healthy()
        .with("provider", parts.registry.active())
        .with("providers", names)
        .with("store_connected", store)
        .degraded_unless(store)
}
