//! The outermost layer of a service: context in, problems and panics out, one log line, metrics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use touchstone_api::headers::{DEADLINE, REQUEST_ID, TRACEPARENT};
use touchstone_error::ErrorKind;
use touchstone_identity::{RequestContext, Verifier};
use touchstone_lifecycle::Pace;
use touchstone_telemetry::{Scope, TraceParent};
use touchstone_types::IdSource;
use uuid::Uuid;

use crate::Problem;

/// Longest request id that is taken over.
const MAX_REQUEST_ID: usize = 128;

pub(crate) type RequestDurations = Family<RequestLabels, Histogram, fn() -> Histogram>;

/// Labels of the request histogram; the route is its pattern, so the set is bounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    route: String,
    method: String,
    status: u16,
}

/// What the boundary needs.
#[derive(Clone)]
pub(crate) struct Boundary {
    pub service: &'static str,
    pub verifier: Arc<Verifier>,
    pub ids: IdSource,
    pub timeout: Duration,
    pub durations: RequestDurations,
}

impl Boundary {
    pub fn durations(scope: &Scope) -> RequestDurations {
        scope.latency_by(
            "request_duration_seconds",
            "Time to the head of the response",
        )
    }
}

pub(crate) async fn boundary(
    State(boundary): State<Boundary>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let context = boundary.context(request.headers(), started);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "unmatched".into());
    request
        .extensions_mut()
        .insert(Arc::clone(&boundary.verifier));
    request.extensions_mut().insert(context.clone());
    let pace = request.extensions().get::<Pace>().cloned();

    let left = context.remaining().unwrap_or(boundary.timeout);
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut response = match tokio::time::timeout(left, handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            Problem::new(ErrorKind::Internal, "web.panic", "the handler panicked").into_response()
        }
        Err(_) => {
            let detail = "the request took longer than its deadline";
            Problem::new(ErrorKind::Timeout, "request.deadline", detail).into_response()
        }
    };
    if pace.is_some_and(|pace| pace.too_slow()) {
        let detail = "the body came too slowly";
        response =
            Problem::new(ErrorKind::RequestTimeout, "request.too_slow", detail).into_response();
    }
    let status = response.status().as_u16();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        log(&boundary, &problem, &context, &route, method.as_str());
        let headers = std::mem::take(response.headers_mut());
        response = problem.render(&context.request_id, Some(&path));
        // Headers that the router added, such as `Allow`.
        for (name, value) in headers
            .iter()
            .filter(|(name, _)| *name != http::header::CONTENT_LENGTH)
        {
            if !response.headers().contains_key(name) {
                response.headers_mut().insert(name.clone(), value.clone());
            }
        }
    }
    let elapsed = started.elapsed();
    tracing::debug!(
        service = boundary.service,
        http.route = route,
        http.status = status,
        duration_ms = elapsed.as_secs_f64() * 1e3,
        request.id = %context.request_id,
        "{method} {route} answered {status}"
    );
    let labels = RequestLabels {
        route,
        method: method.to_string(),
        status,
    };
    boundary
        .durations
        .get_or_create(&labels)
        .observe(elapsed.as_secs_f64());
    stamp(response.headers_mut(), &context);
    response
}

fn log(
    boundary: &Boundary,
    problem: &Problem,
    context: &RequestContext,
    route: &str,
    method: &str,
) {
    let (service, code, id) = (boundary.service, problem.code(), &context.request_id);
    match problem.kind() {
        ErrorKind::Internal => tracing::error!(
            service, code, request.id = %id, error = problem.log(), "{method} {route} failed"
        ),
        kind if kind.status() >= 500 => tracing::warn!(
            service, code, request.id = %id, error = problem.log(), "{method} {route} failed"
        ),
        _ => tracing::debug!(
            service, code, request.id = %id, error = problem.log(), "{method} {route} refused"
        ),
    }
}

impl Boundary {
    fn context(&self, headers: &HeaderMap, now: Instant) -> RequestContext {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let fresh: Uuid = self.ids.next();
        let request_id = text(REQUEST_ID)
            .filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()))
            .map_or_else(|| fresh.to_string().into(), Arc::from);
        let span: Uuid = self.ids.next();
        let span_id = (span.as_u128() as u64).max(1);
        let trace = text(TRACEPARENT)
            .and_then(|text| text.parse::<TraceParent>().ok())
            .map_or(
                TraceParent {
                    trace_id: fresh.as_u128(),
                    span_id,
                    sampled: false,
                },
                |parent| parent.child(span_id),
            );
        let asked = text(DEADLINE)
            .and_then(|text| text.parse().ok())
            .map(Duration::from_millis);
        let left = asked.map_or(self.timeout, |asked| asked.min(self.timeout));
        RequestContext {
            request_id,
            traceparent: Some(trace.to_string().into()),
            deadline: Some(now + left),
        }
    }
}

/// Returns request id and trace context.
fn stamp(headers: &mut HeaderMap, context: &RequestContext) {
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(Ok(trace)) = context.traceparent.as_deref().map(HeaderValue::from_str) {
        headers.insert(TRACEPARENT, trace);
    }
}
