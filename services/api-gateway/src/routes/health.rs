//! The health of the whole stack, asked of every service.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value};
use touchstone_api::{Health, HealthStatus};
use touchstone_client::Mesh;
use touchstone_web::{AppJson, HealthReport};
use tower::Service;

use crate::SERVICE;
use crate::gateway::Gateway;

/// Largest answer to a probe.
const PROBE_BYTES: usize = 8 * 1024 * 1024;

/// The last report, so that many who ask cause one round of questions, and one slow service holds up
/// one of them.
#[derive(Debug, Default)]
pub(crate) struct HealthBoard {
    last: Mutex<Option<(Instant, HealthReport)>>,
    asking: tokio::sync::Mutex<()>,
}

impl HealthBoard {
    fn younger_than(&self, age: Duration) -> Option<HealthReport> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, report) = last.as_ref()?;
        (at.elapsed() < age).then(|| report.clone())
    }

    fn keep(&self, report: HealthReport) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((Instant::now(), report));
    }
}

/// State of every service.
pub(crate) async fn report(gateway: Gateway) -> HealthReport {
    let (board, config) = (gateway.health_board(), gateway.config());
    if let Some(report) = board.younger_than(config.health_keep) {
        return report;
    }
    let asking = board.asking.try_lock().ok();
    // While somebody asks, what the round before told.
    if asking.is_none()
        && let Some(report) = board.younger_than(config.health_keep + config.probe_timeout)
    {
        return report;
    }
    let _asking = match asking {
        Some(asking) => asking,
        None => board.asking.lock().await,
    };
    if let Some(report) = board.younger_than(config.health_keep) {
        return report;
    }
    let report = ask_everybody(&gateway).await;
    board.keep(report.clone());
    report
}

/// `GET /api/v1/health`: the same answer as at the root.
pub(crate) async fn health(State(gateway): State<Gateway>) -> Response {
    let mut report = report(gateway).await;
    report
        .details
        .insert("version".into(), env!("CARGO_PKG_VERSION").into());
    let status = match report.status {
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
    };
    let service_name = format!("{SERVICE}-service");
    let body = Health {
        service_name,
        status: report.status,
        details: report.details,
    };
    (status, AppJson(body)).into_response()
}

async fn ask_everybody(gateway: &Gateway) -> HealthReport {
    let mut names = gateway.mesh().services();
    names.retain(|name| name != SERVICE);
    let timeout = gateway.config().probe_timeout;
    let states = names
        .iter()
        .map(|name| state_of(gateway.mesh(), name, timeout));
    let states = join_all(states).await;
    let well = states.iter().filter(|state| **state == "healthy").count();
    let alive = states
        .iter()
        .filter(|state| **state != "unreachable")
        .count();
    let services: Map<String, Value> = names
        .into_iter()
        .zip(states.iter().map(|state| Value::from(*state)))
        .collect();
    let mut report = HealthReport::healthy().degraded_unless(well == services.len());
    if alive == 0 && !services.is_empty() {
        report.status = HealthStatus::Unhealthy;
    }
    let unasked: Vec<Value> = gateway
        .policies()
        .unasked()
        .iter()
        .map(|name| Value::from(&**name))
        .collect();
    report
        .with("services", services)
        .with("open_breakers", unasked)
}

async fn state_of(mesh: &Mesh, service: &str, timeout: Duration) -> &'static str {
    let Some((_, body)) = probe(mesh, service, "/health", timeout).await else {
        return "unreachable";
    };
    match serde_json::from_slice::<Health>(&body).map(|health| health.status) {
        Ok(HealthStatus::Healthy) => "healthy",
        Ok(HealthStatus::Degraded) => "degraded",
        Ok(HealthStatus::Unhealthy) | Err(_) => "unhealthy",
    }
}

/// What a service answers to a `GET`; `None` when it does not.
pub(crate) async fn probe(
    mesh: &Mesh,
    service: &str,
    path: &'static str,
    timeout: Duration,
) -> Option<(StatusCode, Arc<Bytes>)> {
    let work = async {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static(path);
        let response = mesh.transport(service).ok()?.call(request).await.ok()?;
        let status = response.status();
        let body = Limited::new(response.into_body(), PROBE_BYTES)
            .collect()
            .await
            .ok()?;
        Some((status, Arc::new(body.to_bytes())))
    };
    tokio::time::timeout(timeout, work).await.ok().flatten()
}
