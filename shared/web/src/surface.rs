use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use touchstone_api::{Health, HealthStatus, Readiness};
use touchstone_error::ErrorKind;
use touchstone_identity::Verifier;
use touchstone_lifecycle::Lifecycle;
use touchstone_telemetry::{METRICS_CONTENT_TYPE, Metrics, Scope};
use touchstone_types::IdSource;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::boundary::{Boundary, boundary};
use crate::durations::RequestDurations;
use crate::openapi;
use crate::{AppJson, Problem};

/// Largest body unless a service says otherwise.
const BODY_LIMIT_BYTES: usize = 2 * 1024 * 1024;
/// Longest request unless the caller's deadline is shorter.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What a service says of its own state.
#[derive(Clone, Debug)]
pub struct HealthReport {
    /// State.
    pub status: HealthStatus,
    /// Facts by name; `version` is added.
    pub details: Map<String, Value>,
}

impl HealthReport {
    /// All is well.
    pub fn healthy() -> Self {
        Self {
            status: HealthStatus::Healthy,
            details: Map::new(),
        }
    }

    /// Adds a fact.
    pub fn with(mut self, name: &str, fact: impl Into<Value>) -> Self {
        self.details.insert(name.into(), fact.into());
        self
    }

    /// Lowers the state to `Degraded` unless `well`.
    pub fn degraded_unless(mut self, well: bool) -> Self {
        if !well && self.status == HealthStatus::Healthy {
            self.status = HealthStatus::Degraded;
        }
        self
    }
}

type HealthCheck =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = HealthReport> + Send>> + Send + Sync>;

type Specification =
    Arc<dyn Fn(Arc<str>) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

/// The HTTP surface of a service around its own routes.
pub struct Surface {
    service: &'static str,
    life: Lifecycle,
    scope: Scope,
    durations: RequestDurations,
    verifier: Arc<Verifier>,
    ids: IdSource,
    health: HealthCheck,
    specify: Option<Specification>,
    body_limit: usize,
    timeout: Duration,
    metrics: bool,
}

#[derive(Clone)]
struct Standard {
    service: &'static str,
    life: Lifecycle,
    scope: Scope,
    health: HealthCheck,
    specify: Option<Specification>,
    specification: Arc<str>,
}

impl Surface {
    /// A surface for `service`.
    pub fn new(
        service: &'static str,
        life: &Lifecycle,
        metrics: &Metrics,
        verifier: Arc<Verifier>,
        ids: IdSource,
    ) -> Self {
        let scope = metrics.scope(service);
        Self {
            service,
            life: life.service(service),
            durations: RequestDurations::new(&scope),
            scope,
            verifier,
            ids,
            health: Arc::new(|| Box::pin(async { HealthReport::healthy() })),
            specify: None,
            body_limit: BODY_LIMIT_BYTES,
            timeout: REQUEST_TIMEOUT,
            metrics: true,
        }
    }

    /// Asks `check` for `GET /health`.
    pub fn health<F, R>(mut self, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = HealthReport> + Send + 'static,
    {
        self.health = Arc::new(move || Box::pin(check()));
        self
    }

    /// Answers `GET /openapi.json` by `specify`, which gets the service's own specification.
    pub fn specification<F, R>(mut self, specify: F) -> Self
    where
        F: Fn(Arc<str>) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        self.specify = Some(Arc::new(move |own| Box::pin(specify(own))));
        self
    }

    /// Largest body in bytes.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Longest time to the head of a response.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Does not serve `/metrics`: they are for another port.
    pub fn without_metrics(mut self) -> Self {
        self.metrics = false;
        self
    }

    /// What [`Surface::finish`] puts around the routes, for routes that are none of axum's. Ask for it
    /// when everything else is said.
    pub fn boundary(&self) -> Boundary {
        Boundary::new(
            self.service,
            Arc::clone(&self.verifier),
            self.ids.clone(),
            self.timeout,
            self.durations.clone(),
        )
    }

    /// The finished router: the service's routes, `/health`, `/ready`, `/live`, `/metrics`,
    /// `/openapi.json`, problems for unknown paths and methods, and the boundary around it all.
    pub fn finish(self, routes: OpenApiRouter) -> Router {
        self.finish_with(routes, |api| api)
    }

    /// As [`Surface::finish`], with a last word on the specification.
    pub fn finish_with(
        self,
        routes: OpenApiRouter,
        edit: impl FnOnce(OpenApi) -> OpenApi,
    ) -> Router {
        let around = self.boundary();
        let mut standard = OpenApiRouter::<Standard>::new()
            .routes(routes!(health))
            .routes(routes!(ready))
            .routes(routes!(live));
        if self.metrics {
            standard = standard.routes(routes!(metrics));
        }
        let (own, own_api) = routes.split_for_parts();
        let (standard, standard_api) = standard.split_for_parts();
        let mut api = own_api;
        api.merge(standard_api);
        let api = edit(openapi::complete(api, self.service));
        let specification = serde_json::to_string(&api).unwrap_or_default();
        let state = Standard {
            service: self.service,
            life: self.life,
            scope: self.scope,
            health: self.health,
            specify: self.specify,
            specification: specification.into(),
        };
        standard
            .route("/openapi.json", axum::routing::get(openapi_json))
            .with_state(state)
            .merge(own)
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(DefaultBodyLimit::max(self.body_limit))
            .layer(from_fn_with_state(around, boundary))
    }
}

/// State of the service and what it depends on.
#[utoipa::path(get, path = "/health", tag = "operations",
    responses((status = 200, body = Health), (status = 503, description = "Unhealthy", body = Health)))]
async fn health(State(standard): State<Standard>) -> Response {
    let mut report = (standard.health)().await;
    report
        .details
        .insert("version".into(), env!("CARGO_PKG_VERSION").into());
    let status = match report.status {
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
    };
    let body = Health {
        service_name: format!("{}-service", standard.service),
        status: report.status,
        details: report.details,
    };
    (status, AppJson(body)).into_response()
}

/// Whether the service takes requests.
#[utoipa::path(get, path = "/ready", tag = "operations",
    responses((status = 200, body = Readiness), (status = 503, description = "Not yet", body = Readiness)))]
async fn ready(State(standard): State<Standard>) -> Response {
    let waiting_for = standard.life.waiting_for();
    let ready = waiting_for.is_empty() && !standard.life.soft_stop().is_cancelled();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, AppJson(Readiness { ready, waiting_for })).into_response()
}

/// Whether the process answers at all: nothing that it depends on counts, and neither does stopping.
#[utoipa::path(get, path = "/live", tag = "operations",
    responses((status = 204, description = "It does")))]
async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Metrics of the service as OpenMetrics text.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(standard): State<Standard>) -> Response {
    (
        [(CONTENT_TYPE, METRICS_CONTENT_TYPE)],
        standard.scope.encode(),
    )
        .into_response()
}

async fn openapi_json(State(standard): State<Standard>) -> Response {
    if let Some(specify) = &standard.specify {
        return specify(Arc::clone(&standard.specification)).await;
    }
    (
        [(CONTENT_TYPE, "application/json")],
        standard.specification.to_string(),
    )
        .into_response()
}

async fn not_found() -> Problem {
    Problem::new(
        ErrorKind::NotFound,
        "request.unknown_path",
        "there is nothing at this path",
    )
}

async fn method_not_allowed() -> Problem {
    let detail = "this path does not know the method; `Allow` names those that it knows";
    Problem::new(
        ErrorKind::MethodNotAllowed,
        "request.method_not_allowed",
        detail,
    )
}
