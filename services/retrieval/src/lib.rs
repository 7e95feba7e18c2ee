#![doc = include_str!("../README.md")]

mod config;
pub mod domain;
mod error;
mod metrics;
mod routes;
mod service;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use touchstone_client::{Common, DocumentClient, EmbeddingClient, Recorder, VectorClient};
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{Clock, IdSource};
use touchstone_web::{HealthReport, Surface};

pub use config::{
    Config, ContextConfig, DiversityConfig, ExpansionConfig, FeatureWeightsConfig, FusionConfig,
    FusionMethod, RerankConfig, SignalWeights,
};
pub use error::Error;
pub use metrics::Metrics;
pub use service::Retrieval;

/// Name of the service in the mesh, the configuration and the metrics.
pub const SERVICE: &str = "retrieval";

/// Everything retrieval needs from outside.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Makes the question's vectors.
    pub embedding: EmbeddingClient,
    /// Finds candidates.
    pub vector: VectorClient,
    /// Grows chunks to their parents.
    pub document: DocumentClient,
    /// Judges callers.
    pub verifier: Arc<Verifier>,
    /// The stack's metrics.
    pub metrics: touchstone_telemetry::Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Request ids.
    pub ids: IdSource,
    /// Takes what was asked, for statistics.
    pub recorder: Recorder,
}

impl Deps {
    /// Takes what is needed from what all services share.
    pub fn resolve(common: Common, _config: &Config) -> Self {
        let Common {
            mesh,
            verifier,
            metrics,
            clock,
            ids,
            recorder,
        } = common;
        Self {
            embedding: EmbeddingClient::new(mesh.clone(), SERVICE),
            vector: VectorClient::new(mesh.clone(), SERVICE),
            document: DocumentClient::new(mesh, SERVICE),
            verifier,
            metrics,
            clock,
            ids,
            recorder,
        }
    }
}

/// Retrieval owns nothing that could fail to open.
pub type BuildError = Infallible;

/// Builds the routes.
///
/// # Errors
/// Never; the type is the one that every service has.
#[expect(
    clippy::unused_async,
    reason = "every service is built by the same async call"
)]
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let life = life.service(SERVICE);
    let (verifier, ids) = (Arc::clone(&deps.verifier), deps.ids.clone());
    let telemetry = deps.metrics.clone();
    let service = Retrieval::new(config, deps);
    let health = {
        let service = service.clone();
        move || {
            let service = service.clone();
            async move {
                let model = service.dense_model();
                HealthReport::healthy().with("dense", model.unwrap_or_else(|| "off".to_owned()))
            }
        }
    };
    let surface = Surface::new(SERVICE, &life, &telemetry, verifier, ids).health(health);
    Ok(surface.finish(routes::router(service)))
}
