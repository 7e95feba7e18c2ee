use std::sync::Arc;

use http::HeaderValue;
use touchstone_client::{Mesh, Recorder, RetrievalClient};
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_resilience::Action;
use touchstone_telemetry::Metrics as Registry;
use touchstone_types::{Clock, IdSource};

use crate::layers::Exchange;
use crate::metrics::{Metrics, Rung};
use crate::quota::Quotas;
use crate::routes::{HealthBoard, Specification};
use crate::traffic::{Traffic, Upstreams};
use crate::websocket::Places;
use crate::{BuildError, Config, Deps};

/// The state of the gateway; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    origins: Vec<HeaderValue>,
    deps: Deps,
    metrics: Metrics,
    health: HealthBoard,
    specification: Specification,
    traffic: Traffic,
    policies: Upstreams,
    web_sockets: Places,
    life: Lifecycle,
    quotas: Arc<Quotas>,
}

impl Gateway {
    pub async fn new(config: Config, deps: Deps, life: &Lifecycle) -> Result<Self, BuildError> {
        let origins = config.cors.origins.iter().map(|origin| {
            HeaderValue::from_str(origin).map_err(|_| BuildError::Origin(origin.clone()))
        });
        deps.recorder.show(&deps.metrics.scope(crate::SERVICE));
        let metrics = Metrics::new(&deps.metrics);
        let (operators, clock) = (deps.operators.clone(), Arc::clone(&deps.clock));
        let quotas = Quotas::start(&config.quota, operators, clock, &deps.ids, &metrics, life);
        let quotas = quotas.await?;
        let ledger = Arc::clone(quotas.ledger());
        Ok(Self(Arc::new(Inner {
            quotas,
            origins: origins.collect::<Result<_, _>>()?,
            metrics,
            health: HealthBoard::default(),
            specification: Specification::default(),
            traffic: Traffic::new(&config.cache),
            policies: Upstreams::new(config.upstreams, deps.mesh.decisions().clone(), ledger),
            web_sockets: Places::new(&config.websocket),
            life: life.clone(),
            config,
            deps,
        })))
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub fn origins(&self) -> &[HeaderValue] {
        &self.0.origins
    }

    pub fn quotas(&self) -> &Quotas {
        &self.0.quotas
    }

    /// What is known of the services.
    pub fn upstreams(&self) -> serde_json::Value {
        let upstreams = self.policies().snapshot();
        serde_json::json!({ "services": self.mesh().services(), "upstreams": upstreams })
    }

    pub fn mesh(&self) -> &Mesh {
        &self.0.deps.mesh
    }

    pub fn retrieval(&self) -> &RetrievalClient {
        &self.0.deps.retrieval
    }

    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.0.deps.verifier)
    }

    pub fn ids(&self) -> IdSource {
        self.0.deps.ids.clone()
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.0.deps.clock
    }

    pub fn recorder(&self) -> &Recorder {
        &self.0.deps.recorder
    }

    pub fn registry(&self) -> &Registry {
        &self.0.deps.metrics
    }

    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Counts and writes down that something poorer than what was asked for was given for `service`.
    pub fn degraded(&self, exchange: &Exchange, rung: Rung, request_id: Option<Arc<str>>) {
        self.metrics().degraded(rung);
        let request = request_id.map(|id| (exchange.class, None, id));
        let target = exchange.route.service.into();
        self.quotas()
            .note(Action::Degraded, "degraded", target, rung.as_str(), request);
    }

    pub fn health_board(&self) -> &HealthBoard {
        &self.0.health
    }

    pub fn specification(&self) -> &Specification {
        &self.0.specification
    }

    pub fn traffic(&self) -> &Traffic {
        &self.0.traffic
    }

    pub fn policies(&self) -> &Upstreams {
        &self.0.policies
    }

    pub fn web_sockets(&self) -> &Places {
        &self.0.web_sockets
    }

    pub fn life(&self) -> &Lifecycle {
        &self.0.life
    }
}
