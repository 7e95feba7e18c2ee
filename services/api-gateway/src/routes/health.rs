//! The health of the whole stack, asked of every service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use touchstone_api::{Health, HealthStatus};
use touchstone_client::Mesh;
use touchstone_web::{AppJson, HealthReport};
use tower::Service;

use crate::SERVICE;
use crate::gateway::Gateway;

/// Largest answer to a probe.
const PROBE_BYTES: usize = 8 * 1024 * 1024;

/// The last report, so that many who ask cause one round of questions.
#[derive(Debug, Default)]
pub(crate) struct HealthBoard(Mutex<Option<(Instant, HealthReport)>>);

/// State of every service.
pub(crate) async fn report(gateway: Gateway) -> HealthReport {
    let mut last = gateway.health_board().0.lock().await;
    if let Some((at, report)) = &*last
        && at.elapsed() < gateway.config().health_keep
    {
        return report.clone();
    }
    let report = ask_everybody(&gateway).await;
    *last = Some((Instant::now(), report.clone()));
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
