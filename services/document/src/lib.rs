#![doc = include_str!("../README.md")]

mod build;
mod commit;
mod config;
pub mod domain;
mod error;
pub mod formats;
mod ingest;
mod metrics;
mod passages;
mod routes;
pub mod sandbox;
mod service;
pub mod store;

pub use build::{BuildError, build, build_on};
pub use config::Config;
pub use error::Error;
pub use service::Documents;

use std::path::PathBuf;
use std::sync::Arc;

use touchstone_client::{Common, EmbeddingClient, VectorClient};
use touchstone_events::EventBus;
use touchstone_identity::Verifier;
use touchstone_types::{Clock, IdSource};

/// Everything document needs from outside.
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
    /// Makes vectors.
    pub embedding: EmbeddingClient,
    /// Keeps points.
    pub vector: VectorClient,
    /// Carries events; shared by the services of a process.
    pub events: Arc<dyn EventBus>,
    /// The program that reads hostile files ([`sandbox::Settings::program`]).
    pub parser: Option<PathBuf>,
}

impl Deps {
    /// Takes what is needed from what all services share.
    pub fn resolve(common: Common, events: Arc<dyn EventBus>, _config: &Config) -> Self {
        Self {
            embedding: EmbeddingClient::new(common.mesh.clone(), "document"),
            vector: VectorClient::new(common.mesh, "document"),
            verifier: common.verifier,
            metrics: common.metrics,
            clock: common.clock,
            ids: common.ids,
            events,
            parser: None,
        }
    }
}
