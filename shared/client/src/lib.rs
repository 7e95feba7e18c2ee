#![doc = include_str!("../README.md")]

mod address;
mod decisions;
mod error;
mod mesh;
mod pool;
mod protection;
mod service;
pub mod sse;
mod transport;
mod upgrade;

mod analytics;
mod auth;
mod document;
mod embedding;
mod generation;
mod model;
mod recorder;
mod retrieval;
mod vector;

pub use address::{Address, AddressError};
pub use analytics::AnalyticsClient;
pub use auth::{AuthClient, AuthKeys};
pub use decisions::Decisions;
pub use document::DocumentClient;
pub use embedding::EmbeddingClient;
pub use error::ClientError;
pub use generation::{GenerationClient, decode_ask_event};
pub use mesh::{Mesh, ServiceState};
pub use model::ModelClient;
pub use pool::Endpoint;
pub use protection::Protection;
pub use recorder::{Recorder, Recording};
pub use retrieval::RetrievalClient;
pub use service::ServiceClient;
pub use transport::{Transport, TransportError};
pub use upgrade::Upgrades;
pub use vector::VectorClient;

use std::sync::Arc;

use touchstone_identity::Verifier;
use touchstone_telemetry::Metrics;
use touchstone_types::{Clock, IdSource};

/// What every service gets from the composition root.
#[derive(Clone, Debug)]
pub struct Common {
    /// Where the neighbours are.
    pub mesh: Mesh,
    /// Who may call.
    pub verifier: Arc<Verifier>,
    /// The stack's metrics.
    pub metrics: Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: IdSource,
    /// Takes what happened, for statistics.
    pub recorder: Recorder,
}
