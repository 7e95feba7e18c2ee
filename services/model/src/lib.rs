#![doc = include_str!("../README.md")]

mod config;
mod error;
pub mod install;
mod metrics;
mod queue;
mod registry;
mod routes;
pub mod runtime;
mod service;

pub use config::{Config, ModelConfig};
pub use error::{BuildError, Error};
pub use service::{Models, load_folder};

use std::sync::Arc;

use axum::Router;
use touchstone_api::model::ModelStatus;
use touchstone_client::Common;
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_telemetry::Metrics;
use touchstone_types::IdSource;
use touchstone_web::{HealthReport, Surface};

/// Largest request: 256 texts of usual length.
const BODY_LIMIT_BYTES: usize = 16 << 20;

/// Everything the service needs from outside.
#[derive(Clone, Debug)]
pub struct Deps {
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
            verifier: Arc::clone(&common.verifier),
            metrics: common.metrics.clone(),
            ids: common.ids.clone(),
        }
    }
}

/// Builds the service's router. Models that are wanted from the start are loaded in the
/// background; the gate `models` opens when each of them is loaded or has failed.
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let life = life.service("model");
    let metrics = metrics::Metrics::new(&deps.metrics.scope("model"));
    let models = Models::start(&config, metrics, &life).await?;
    let state = models.clone();
    Ok(
        Surface::new("model", &life, &deps.metrics, deps.verifier, deps.ids)
            .body_limit(BODY_LIMIT_BYTES)
            .health(move || std::future::ready(health(&state)))
            .finish(routes::router(models)),
    )
}

fn health(models: &Models) -> HealthReport {
    let known = models.known();
    let loaded: Vec<_> = known
        .iter()
        .filter(|model| model.status == ModelStatus::Loaded)
        .map(|model| model.id.as_str())
        .collect();
    let failed: serde_json::Map<_, _> = known
        .iter()
        .filter_map(|model| Some((model.id.clone(), model.error.clone()?.into())))
        .collect();
    let well = models.active().is_none_or(|id| {
        known
            .iter()
            .any(|model| model.id == id && model.status == ModelStatus::Loaded)
    });
    HealthReport::healthy()
        .with(
            "active",
            models
                .active()
                .map_or_else(|| "none".to_owned(), str::to_owned),
        )
        .with("loaded", loaded)
        .with("failed", failed)
        .with(
            "memory_bytes",
            known.iter().map(|model| model.memory_bytes).sum::<u64>(),
        )
        .degraded_unless(well)
}
