//! Faults that can be asked for: off without a key, and nothing of them is then in anybody's way.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use serde::{Deserialize, Serialize};
use touchstone_client::Mesh;
use touchstone_config::{Problems, Secret, credentials};
use touchstone_events::{EventBus, FaultyBus};
use touchstone_faults::{Plane, Relay};
use touchstone_telemetry::Metrics;
use touchstone_types::{Clock, IdSource, SystemClock};
use tower::Service as _;

use crate::{Service, Settings};

/// Faults that can be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultsConfig {
    /// Whoever shows it may ask for faults; empty: nobody may.
    pub admin_key: Secret,
}

impl FaultsConfig {
    pub(crate) fn check(&self, strict: bool, problems: &mut Problems) {
        let key = self.admin_key.expose();
        if key.is_empty() {
            return;
        }
        if strict {
            let refused = "is refused in the production profile (FAULT_ADMIN_KEY)";
            problems.add("faults.admin_key", refused);
        }
        if key.len() < 32 || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let rule = "must have at least 32 bytes, letters, digits and signs (FAULT_ADMIN_KEY)";
            problems.add("faults.admin_key", rule);
        } else if let Some(why) = credentials::weak_key(key) {
            problems.add("faults.admin_key", format!("{why} (FAULT_ADMIN_KEY)"));
        }
    }
}

/// The faults of this process, if any can be asked for, and the clock that suffers from them.
#[derive(Clone, Debug)]
pub(crate) struct Faults(Option<Plane>);

impl Faults {
    pub fn of(settings: &Settings, metrics: &Metrics) -> Self {
        let stack = &settings.stack;
        let clock = Arc::new(SystemClock);
        let key = &stack.faults.admin_key;
        Self(Plane::new(
            key,
            stack.seed,
            IdSource::system(),
            clock,
            metrics,
        ))
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        match self.0 {
            Some(_) => Plane::clock(Arc::new(SystemClock)),
            None => Arc::new(SystemClock),
        }
    }

    /// Calls of this mesh can have faults.
    pub fn strike(&self, mesh: &Mesh) {
        if let Some(plane) = &self.0 {
            mesh.suffer(plane.clone());
        }
    }

    /// The bus as `service` has it.
    pub fn bus(&self, service: Service, bus: &Arc<dyn EventBus>) -> Arc<dyn EventBus> {
        match &self.0 {
            Some(plane) => {
                let faults = plane.events(service.name());
                Arc::new(FaultyBus::new(Arc::clone(bus), faults))
            }
            None => Arc::clone(bus),
        }
    }

    /// Builds a service.
    pub async fn building<F: Future>(&self, service: Service, build: F) -> F::Output {
        match &self.0 {
            Some(plane) => plane.building(service.name(), build).await,
            None => build.await,
        }
    }

    /// The router with the faults of `service`; the gateway's reaches those of all others.
    pub fn around(&self, service: Service, router: Router, mesh: &Mesh) -> Router {
        let Some(plane) = &self.0 else {
            return router;
        };
        let relay = (service == Service::Gateway).then(|| relay(mesh.clone()));
        plane.around(service.name(), router, relay)
    }
}

/// To every instance of a service.
fn relay(mesh: Mesh) -> Relay {
    Arc::new(move |service: String, request: Request<()>, body: Bytes| {
        let mesh = mesh.clone();
        Box::pin(async move {
            let mut answers = Vec::new();
            for (name, mut way) in mesh.instances(&service)? {
                let request = request.clone().map(|()| Body::from(body.clone()));
                let answer = way.call(request).await;
                answers.push((
                    name,
                    answer.map_err(|error| touchstone_error::chain(&error).to_string()),
                ));
            }
            Some(answers)
        })
    })
}
