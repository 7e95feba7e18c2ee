#![doc = include_str!("../README.md")]

mod batcher;
mod cache;
mod catalog;
mod config;
pub mod domain;
mod error;
mod metrics;
mod routes;
mod service;

pub use config::{BatchConfig, CacheConfig, Config, LexicalConfig};
pub use error::Error;
pub use service::{Dense, Embedded, Embedding, State};

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use touchstone_client::{Common, ModelClient};
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_telemetry::Metrics;
use touchstone_types::IdSource;
use touchstone_web::{HealthReport, Surface};

/// Largest request: 256 texts of usual length.
const BODY_LIMIT_BYTES: usize = 16 << 20;

/// Building the service cannot fail.
pub type BuildError = Infallible;

/// Everything the service needs from outside.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The model service.
    pub model: ModelClient,
    /// Who may call.
    pub verifier: Arc<Verifier>,
    /// The stack's metrics.
    pub metrics: Metrics,
    /// New ids.
    pub ids: IdSource,
}

impl Deps {
    /// Takes what the composition root has.
    pub fn resolve(common: &Common, _: &Config) -> Self {
        Self {
            model: ModelClient::new(common.mesh.clone(), "embedding"),
            verifier: Arc::clone(&common.verifier),
            metrics: common.metrics.clone(),
            ids: common.ids.clone(),
        }
    }
}

/// Builds the service's router. Nothing runs in the background.
#[expect(clippy::unused_async, reason = "every service is built alike")]
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let life = life.service("embedding");
    let metrics = metrics::Metrics::new(&deps.metrics.scope("embedding"));
    let embedding = Embedding::new(&config, deps.model, metrics, &life);
    let state = embedding.clone();
    Ok(
        Surface::new("embedding", &life, &deps.metrics, deps.verifier, deps.ids)
            .body_limit(BODY_LIMIT_BYTES)
            .health(move || health(state.clone()))
            .finish(routes::router(embedding)),
    )
}

async fn health(embedding: Embedding) -> HealthReport {
    let report = HealthReport::healthy()
        .with("sparse", embedding.sparse_names())
        .with("cached_vectors", embedding.cached());
    match embedding.state().await {
        State::Off => report.with("dense", "off"),
        State::On(model) => report
            .with("dense", model.id)
            .with("dimension", model.dimension)
            .with("lexical", model.lexical),
        State::Waiting(model) => report
            .with("dense", model.id)
            .with(
                "error",
                model
                    .error
                    .unwrap_or_else(|| "the model is not loaded".to_owned()),
            )
            .degraded_unless(false),
        State::Unknown(error) => report
            .with("dense", "unknown")
            .with("error", error)
            .degraded_unless(false),
    }
}
