//! Transports, the mesh and a typed client per service.
//!
//! A [`Transport`] is HTTP or a router in this process; both are a `tower::Service` of the same
//! request and response, so that the same authentication, deadlines, JSON and error mapping run in
//! both modes. A [`Mesh`] knows where each service is and resolves names when a call is made.

mod error;
mod mesh;
mod service;
pub mod sse;
mod transport;

mod auth;
mod document;
mod embedding;
mod generation;
mod model;
mod retrieval;
mod vector;

pub use auth::{AuthClient, AuthKeys};
pub use document::DocumentClient;
pub use embedding::EmbeddingClient;
pub use error::ClientError;
pub use generation::{GenerationClient, decode_ask_event};
pub use mesh::Mesh;
pub use model::ModelClient;
pub use retrieval::RetrievalClient;
pub use service::ServiceClient;
pub use transport::{Transport, TransportError};
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
}
