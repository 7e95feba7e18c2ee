//! The outermost layer of a service: context in, problems and panics out, one log line, metrics.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue};
use touchstone_api::headers::{DEADLINE, REQUEST_ID, TRACEPARENT};
use touchstone_error::ErrorKind;
use touchstone_identity::{RequestContext, Verifier};
use touchstone_lifecycle::Pace;
use touchstone_telemetry::TraceParent;
use touchstone_types::IdSource;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::Problem;
use crate::durations::RequestDurations;

/// Longest request id that is taken over.
const MAX_REQUEST_ID: usize = 128;
/// The route of a request that has none.
const UNMATCHED: &str = "unmatched";

/// What happens around every request of a service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Boundary(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: &'static str,
    verifier: Arc<Verifier>,
    ids: IdSource,
    timeout: Duration,
    durations: RequestDurations,
}

/// The boundary as a layer around routes.
pub(crate) async fn boundary(
    State(boundary): State<Boundary>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    boundary
        .around(route, request, |request| next.run(request))
        .await
}

impl Boundary {
    pub(crate) fn new(
        service: &'static str,
        verifier: Arc<Verifier>,
        ids: IdSource,
        timeout: Duration,
        durations: RequestDurations,
    ) -> Self {
        Self(Arc::new(Inner {
            service,
            verifier,
            ids,
            timeout,
            durations,
        }))
    }

    /// Hands the request to `handle` with its context and the verifier in the extensions, within its
    /// deadline. Panics and problems become responses, `route` (a pattern) is what log and metrics
    /// call it.
    pub async fn around<F>(
        &self,
        route: &str,
        mut request: Request,
        handle: impl FnOnce(Request) -> F,
    ) -> Response
    where
        F: Future<Output = Response>,
    {
        let boundary = &*self.0;
        let started = Instant::now();
        let context = boundary.context(request.headers(), started);
        let method = request.method().clone();
        // Copies of both are cheap: their text is shared.
        let uri = request.uri().clone();
        let extensions = request.extensions_mut();
        extensions.insert(Arc::clone(&boundary.verifier));
        extensions.insert(context.clone());
        let pace = extensions.get::<Pace>().cloned();

        let left = context.remaining().unwrap_or(boundary.timeout);
        let handled = AssertUnwindSafe(handle(request)).catch_unwind();
        let mut response = match tokio::time::timeout(left, handled).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => Problem::new(ErrorKind::Internal, "web.panic", "the handler panicked")
                .into_response(),
            Err(_) => {
                let detail = "the request took longer than its deadline";
                Problem::new(ErrorKind::Timeout, "request.deadline", detail).into_response()
            }
        };
        if pace.is_some_and(|pace| pace.too_slow()) {
            let detail = "the body came too slowly";
            let slow = Problem::new(ErrorKind::RequestTimeout, "request.too_slow", detail);
            response = slow.into_response();
        }
        let status = response.status();
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            log(boundary.service, &problem, &context, route, method.as_str());
            let headers = std::mem::take(response.headers_mut());
            response = problem.render(&context.request_id, Some(uri.path()));
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
            http.status = status.as_u16(),
            duration_ms = elapsed.as_secs_f64() * 1e3,
            request.id = %context.request_id,
            "{method} {route} answered {status}",
            status = status.as_u16()
        );
        boundary.durations.observe(route, &method, status, elapsed);
        stamp(response.headers_mut(), &context);
        response
    }
}

fn log(
    service: &'static str,
    problem: &Problem,
    context: &RequestContext,
    route: &str,
    method: &str,
) {
    let (code, id) = (problem.code(), &context.request_id);
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

impl Inner {
    fn context(&self, headers: &HeaderMap, now: Instant) -> RequestContext {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (fresh, mut buffer): (Uuid, _) = (self.ids.next(), [0; Hyphenated::LENGTH]);
        let request_id = text(REQUEST_ID)
            .filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()))
            .map_or_else(|| Arc::from(text_of(fresh, &mut buffer)), Arc::from);
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

fn text_of(id: Uuid, buffer: &mut [u8; Hyphenated::LENGTH]) -> &str {
    id.as_hyphenated().encode_lower(buffer)
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
