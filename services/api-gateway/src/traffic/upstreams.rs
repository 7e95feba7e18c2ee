//! The way to each service, with the policies around it.
//!
//! From the outside in: deadline, bulkhead with adaptive limit, hedge, retry, balance with a breaker
//! per instance. The mesh has policies of its own for calls among services; the gateway takes its
//! transports and puts these around them, so that no call passes two breakers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use serde::Serialize;
use touchstone_client::{Decisions, Mesh, Transport, TransportError};
use touchstone_resilience::breaker::State;
use touchstone_resilience::layers::{Balanced, Stack, stack};
use touchstone_resilience::upstream::{InstanceSnapshot, Snapshot};
use touchstone_resilience::{Decision, Monotonic, Observer, Upstream};
use tower::Service;

use super::UpstreamsConfig;

type Calls = Stack<Transport>;

/// Every service that was called.
pub(crate) struct Upstreams {
    config: UpstreamsConfig,
    clock: Monotonic,
    relay: Arc<Relay>,
    ways: RwLock<BTreeMap<&'static str, Way>>,
}

#[derive(Clone)]
struct Way {
    balanced: Balanced<Transport>,
    calls: Calls,
}

/// A service as the gateway sees it now.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UpstreamState {
    /// Its policies.
    #[serde(flatten)]
    pub upstream: Snapshot,
    /// Its instances.
    pub instances: Vec<InstanceSnapshot>,
}

/// Counts decisions and passes them on to whoever keeps them.
#[derive(Debug)]
struct Relay {
    decisions: Decisions,
    keeper: Arc<dyn Observer>,
}

impl Observer for Relay {
    fn decided(&self, decision: Decision) {
        self.decisions.count(&decision);
        self.keeper.decided(decision);
    }
}

impl Upstreams {
    /// Services of which nothing is known; `keeper` is told every decision.
    pub fn new(config: UpstreamsConfig, decisions: Decisions, keeper: Arc<dyn Observer>) -> Self {
        let relay = Relay { decisions, keeper };
        Self {
            config,
            clock: Monotonic::start(),
            relay: Arc::new(relay),
            ways: RwLock::default(),
        }
    }

    /// Calls `service`, within all policies.
    pub async fn call(
        &self,
        mesh: &Mesh,
        service: &'static str,
        request: Request,
    ) -> Result<Response, TransportError> {
        let mut calls = self.way(mesh, service)?;
        let response = calls.call(request).await?;
        Ok(response.map(Body::new))
    }

    /// Every service that was called, as it is now.
    pub fn snapshot(&self) -> Vec<UpstreamState> {
        let ways = self.ways.read().unwrap_or_else(PoisonError::into_inner);
        let state = |way: &Way| UpstreamState {
            upstream: way.balanced.upstream().snapshot(),
            instances: way.balanced.snapshot(),
        };
        ways.values().map(state).collect()
    }

    /// Services with an instance that is not asked.
    pub fn unasked(&self) -> Vec<Arc<str>> {
        let closed = |instance: &InstanceSnapshot| instance.breaker.state == State::Closed;
        self.snapshot()
            .into_iter()
            .filter(|state| !state.instances.iter().all(closed))
            .map(|state| state.upstream.name)
            .collect()
    }

    fn way(&self, mesh: &Mesh, service: &'static str) -> Result<Calls, TransportError> {
        let known = self.ways.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = known.get(service) {
            return Ok(way.calls.clone());
        }
        drop(known);
        let mut ways = self.ways.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = ways.get(service) {
            return Ok(way.calls.clone());
        }
        let upstream = Upstream::new(
            service,
            self.config.of(service),
            self.clock,
            Arc::clone(&self.relay) as Arc<dyn Observer>,
        );
        let balanced = mesh.balanced(service, upstream)?;
        let calls = stack(balanced.clone());
        let way = Way {
            balanced,
            calls: calls.clone(),
        };
        ways.insert(service, way);
        Ok(calls)
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.ways.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("Upstreams")
            .field(&ways.keys().collect::<Vec<_>>())
            .finish()
    }
}
