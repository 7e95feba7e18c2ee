#![doc = include_str!("../README.md")]

mod config;
pub mod domain;
mod error;
mod intake;
mod metrics;
mod retention;
mod routes;
mod service;
mod spool;
pub mod store;
mod trial;

pub use config::{ClickHouseConfig, Collector, Config, SpoolConfig};
pub use error::Error;
pub use metrics::Metrics;
pub use service::Analytics;
pub use spool::Spool;
pub use trial::trial;

use std::sync::Arc;

use axum::Router;
use touchstone_client::Common;
use touchstone_events::EventBus;
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{Clock, IdSource};
use touchstone_web::Surface;

use crate::intake::Intake;

/// Name of the service in the mesh, the configuration and the metrics.
pub const SERVICE: &str = "analytics";

/// Everything analytics needs from outside.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Brings what is recorded.
    pub bus: Arc<dyn EventBus>,
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
    pub fn resolve(common: Common, bus: Arc<dyn EventBus>, _config: &Config) -> Self {
        Self {
            bus,
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
    /// The records cannot be opened.
    #[error("cannot open the records of analytics")]
    Store(#[source] Error),
    /// The bus takes no subscription.
    #[error("cannot subscribe to what is recorded")]
    Events(#[source] touchstone_events::Error),
}

/// Opens the store, begins to take records and gives the router.
///
/// # Errors
/// [`BuildError`] says what could not be opened. A server that is away is no error.
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let life = life.service(SERVICE);
    let mut store = None;
    if config.collector == Collector::Store {
        let opened = store::open(&config).await.map_err(BuildError::Store)?;
        let spool = Spool::new(config.spool, Metrics::new(&deps.metrics));
        let writer = Arc::clone(&spool).write(Arc::clone(&opened), life.soft_stop());
        life.spawn("analytics.write", writer);
        Intake::start(&spool, &*deps.bus, &life)
            .await
            .map_err(BuildError::Events)?;
        let (kept, clock, stop) = (Arc::clone(&opened), deps.clock.clone(), life.soft_stop());
        let keep = config.retention;
        life.spawn("analytics.forget", async move {
            let forgetting = retention::forget(kept, clock, keep);
            stop.run_until_cancelled(forgetting).await;
        });
        store = Some(opened);
    }
    let analytics = Analytics::new(&config, store, deps.clock);
    let observed = analytics.clone();
    let surface =
        Surface::new(SERVICE, &life, &deps.metrics, deps.verifier, deps.ids).health(move || {
            let analytics = observed.clone();
            async move { analytics.health().await }
        });
    let fresh = config.cache;
    Ok(surface.finish(routes::router(routes::State { analytics, fresh })))
}
