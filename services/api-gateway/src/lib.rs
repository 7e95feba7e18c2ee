#![doc = include_str!("../README.md")]

mod body;
mod compression;
mod config;
mod edge;
mod error;
mod gateway;
mod headers;
mod layers;
mod metrics;
mod record;
mod routes;
mod traffic;
mod websocket;

use std::sync::Arc;

use axum::Router;
use touchstone_client::{Common, Mesh, Recorder, RetrievalClient};
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_telemetry::Metrics;
use touchstone_types::{Clock, IdSource};

pub use config::{Classes, Config, Cors, HeaderLimits, Limits, Streams};
pub use edge::{EdgeConfig, edge};
pub use error::{BuildError, Error};
pub use traffic::{CacheConfig, UpstreamsConfig};
pub use websocket::WebSocketConfig;

/// Name of the service in the mesh, the configuration and the metrics.
pub const SERVICE: &str = "gateway";

/// Everything the gateway needs from outside; it reads no environment and opens no socket.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The way to every service.
    pub mesh: Mesh,
    /// Answers when generation cannot.
    pub retrieval: RetrievalClient,
    /// Who may call.
    pub verifier: Arc<Verifier>,
    /// The stack's metrics.
    pub metrics: Metrics,
    /// New ids.
    pub ids: IdSource,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Takes how requests were answered, for statistics.
    pub recorder: Recorder,
}

impl Deps {
    /// Takes what it needs from the composition root.
    pub fn resolve(common: Common, _: &Config) -> Self {
        let Common {
            mesh,
            verifier,
            metrics,
            ids,
            clock,
            recorder,
        } = common;
        Self {
            retrieval: RetrievalClient::new(mesh.clone(), SERVICE),
            mesh,
            verifier,
            metrics,
            ids,
            clock,
            recorder,
        }
    }
}

/// Builds the gateway; the services that it fronts are resolved when requests come.
///
/// # Errors
/// [`BuildError`] when an origin cannot be sent in a header.
#[expect(
    clippy::unused_async,
    reason = "every service is built by the same signature"
)]
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let gateway = gateway::Gateway::new(config, deps, life)?;
    Ok(routes::router(&gateway, life))
}
