#![doc = include_str!("../README.md")]

mod address;
mod admin;
mod body;
mod chain;
mod compression;
mod config;
mod edge;
mod error;
mod front;
mod gateway;
mod headers;
mod layers;
mod metrics;
mod quota;
mod record;
mod routes;
mod traffic;
mod trial;
mod websocket;

use std::sync::Arc;

use axum::Router;
use touchstone_client::{Common, Mesh, Recorder, RetrievalClient};
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_telemetry::Metrics;
use touchstone_types::{Clock, IdSource};

pub use address::ProxyHeader;
pub use config::{Classes, Config, Cors, HeaderLimits, Limits, Streams};
pub use edge::{EdgeConfig, edge};
pub use error::{BuildError, Error};
pub use quota::{
    AddressLimit, Algorithm, AwayPolicy, ClassLimit, Limits as QuotaLimits, Operators, Plan,
    QuotaConfig,
};
pub use traffic::{CacheConfig, UpstreamsConfig};
pub use trial::trial;
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
    /// Who runs this installation, besides those that the configuration names.
    pub operators: Operators,
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
            operators: Operators::default(),
        }
    }
}

/// Builds the gateway without the port for operators; the services that it fronts are resolved when
/// requests come.
///
/// # Errors
/// [`BuildError`] when an origin cannot be sent in a header, or quotas cannot be counted as
/// configured.
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let (router, _) = build_both(config, deps, life).await?;
    Ok(router)
}

/// The public router and the one of the port for operators.
///
/// # Errors
/// As [`build`].
pub async fn build_both(
    config: Config,
    deps: Deps,
    life: &Lifecycle,
) -> Result<(Router, Router), BuildError> {
    let gateway = gateway::Gateway::new(config, deps, life).await?;
    Ok((
        routes::router(&gateway, life),
        admin::router(&gateway, life),
    ))
}
