//! One suite over both transports: headers, frames, cancellation, deadlines and problems are the
//! same in process and over HTTP.
#![expect(clippy::panic, reason = "a handler panics on purpose")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt;
use http::Method;
use tokio::sync::mpsc;
use touchstone_client::{ClientError, Mesh, ServiceClient, sse};
use touchstone_error::{Classify, ErrorKind};
use touchstone_identity::{
    AccessPolicy, ApiKeyVerdict, Caller, KeySource, KeySourceError, PublicKey, ServiceKey, Verifier,
};
use touchstone_lifecycle::{Lifecycle, Listener};
use touchstone_telemetry::Metrics;
use touchstone_types::{IdSource, SystemClock};
use touchstone_web::sse::Frame;
use touchstone_web::{AppJson, Problem, Surface};
use utoipa_axum::router::OpenApiRouter;

struct NoKeys;

#[async_trait]
impl KeySource for NoKeys {
    async fn public_keys(&self) -> Result<Vec<PublicKey>, KeySourceError> {
        Ok(Vec::new())
    }
    async fn api_key(&self, _: &str) -> Result<Option<ApiKeyVerdict>, KeySourceError> {
        Ok(None)
    }
}

/// Tells when a handler or a stream is dropped.
struct Departure(mpsc::UnboundedSender<&'static str>, &'static str);

impl Drop for Departure {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

type Departures = mpsc::UnboundedSender<&'static str>;

async fn who(caller: touchstone_web::Caller) -> AppJson<serde_json::Value> {
    let left = caller.context.remaining().unwrap().as_millis() as u64;
    AppJson(serde_json::json!({
        "tenant": caller.tenant, "service": caller.is_service(),
        "request_id": &*caller.context.request_id, "left_ms": left,
        "trace": caller.context.traceparent.as_deref().map(|trace| trace[..35].to_owned()),
    }))
}

async fn stream(State(departures): State<Departures>) -> Response {
    let departure = Departure(departures, "stream");
    let frames = futures_util::stream::unfold((0, departure), |(n, departure)| async move {
        if n == 3 {
            std::future::pending::<()>().await;
        }
        let frame = Frame {
            event: Some("token".into()),
            data: format!("line {n}\nрядом"),
        };
        Some((frame, (n + 1, departure)))
    });
    touchstone_web::sse::respond(frames)
}

async fn slow(State(departures): State<Departures>) {
    let _departure = Departure(departures, "slow");
    std::future::pending::<()>().await;
}

async fn broken() -> Problem {
    panic!("on purpose")
}

async fn refusing() -> Problem {
    Problem::new(ErrorKind::Conflict, "sample.refused", "not now")
}

struct Fixture {
    client: ServiceClient,
    caller: Caller,
    departures: mpsc::UnboundedReceiver<&'static str>,
    life: Lifecycle,
}

async fn fixture(over_http: bool) -> Fixture {
    let clock = Arc::new(SystemClock);
    let key = ServiceKey::new(&[7; 32]).unwrap();
    let verifier = Verifier::new(
        AccessPolicy::default(),
        clock.clone(),
        key.clone(),
        None,
        Arc::new(NoKeys),
    );
    let (sender, departures) = mpsc::unbounded_channel();
    let life = Lifecycle::new();
    let routes = Router::new()
        .route("/who", axum::routing::get(who))
        .route("/stream", axum::routing::get(stream))
        .route("/slow", axum::routing::get(slow))
        .route("/broken", axum::routing::get(broken))
        .route("/refusing", axum::routing::get(refusing))
        .with_state(sender);
    let ids = IdSource::seeded(clock.clone(), 1);
    let router = Surface::new(
        "sample",
        &life,
        &Metrics::new(),
        Arc::new(verifier),
        ids.clone(),
    )
    .finish(OpenApiRouter::from(routes));
    let mesh = Mesh::new(key, clock);
    if over_http {
        let listener = Listener::bind("sample", ([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        mesh.connect(
            "sample",
            format!("http://{}", listener.address()).parse().unwrap(),
        );
        life.serve(listener, router);
    } else {
        mesh.mount("sample", router);
    }
    let caller = Caller::service("test", ids.next());
    Fixture {
        client: ServiceClient::new(mesh, "test", "sample"),
        caller,
        departures,
        life,
    }
}

async fn get(fixture: &Fixture, path: &str) -> Result<serde_json::Value, ClientError> {
    fixture
        .client
        .call(&fixture.caller, Method::GET, path, None::<&()>)
        .await
}

async fn identity_and_context_travel(over_http: bool) {
    let mut fixture = fixture(over_http).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    fixture.caller.context.request_id = "request-1".into();
    fixture.caller.context.traceparent = Some(trace.into());
    fixture.caller = fixture.caller.within(Duration::from_secs(9));
    let seen = get(&fixture, "/who").await.unwrap();
    assert_eq!(seen["tenant"], fixture.caller.tenant.to_string());
    assert_eq!(seen["service"], true);
    assert_eq!(seen["request_id"], "request-1");
    assert_eq!(seen["trace"], trace[..35]);
    assert!(
        (1..=9000).contains(&seen["left_ms"].as_u64().unwrap()),
        "{seen}"
    );
}

async fn frames_arrive_one_by_one_and_departure_cancels(over_http: bool) {
    let mut fixture = fixture(over_http).await;
    let response = fixture
        .client
        .open(&fixture.caller, Method::GET, "/stream", None::<&()>)
        .await;
    let response = response.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let mut events = Box::pin(sse::events(response.into_body().into_data_stream()));
    for n in 0..3 {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(
            (event.event, event.data),
            ("token".into(), format!("line {n}\nрядом"))
        );
    }
    assert!(
        fixture.departures.try_recv().is_err(),
        "the stream is still open"
    );
    drop(events);
    assert_eq!(fixture.departures.recv().await, Some("stream"));
}

async fn departure_before_the_first_byte_cancels(over_http: bool) {
    let mut fixture = fixture(over_http).await;
    let call = get(&fixture, "/slow");
    assert!(
        tokio::time::timeout(Duration::from_millis(100), call)
            .await
            .is_err()
    );
    assert_eq!(fixture.departures.recv().await, Some("slow"));
}

async fn deadlines_end_calls(over_http: bool) {
    let mut fixture = fixture(over_http).await;
    fixture.caller = fixture.caller.within(Duration::from_millis(100));
    let error = get(&fixture, "/slow").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(fixture.departures.recv().await, Some("slow"));
}

async fn problems_are_the_same(over_http: bool) {
    let fixture = fixture(over_http).await;
    let told = |error: ClientError| (error.kind(), error.code().to_owned());
    for (path, kind, code) in [
        ("/refusing", ErrorKind::Conflict, "sample.refused"),
        ("/broken", ErrorKind::Internal, "web.panic"),
        ("/nowhere", ErrorKind::NotFound, "request.unknown_path"),
    ] {
        assert_eq!(
            told(get(&fixture, path).await.unwrap_err()),
            (kind, code.to_owned())
        );
    }
    let post = fixture
        .client
        .call::<_, ()>(&fixture.caller, Method::POST, "/who", Some(&()));
    assert_eq!(post.await.unwrap_err().kind(), ErrorKind::MethodNotAllowed);
}

async fn a_stopped_stack_leaves_nothing_behind(over_http: bool) {
    let fixture = fixture(over_http).await;
    get(&fixture, "/who").await.unwrap();
    let report = fixture.life.shutdown(Duration::from_secs(30)).await;
    assert!(report.is_clean(), "{report:?}");
    if over_http {
        assert_eq!(
            get(&fixture, "/who").await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );
    }
}

macro_rules! suite {
    ($($case:ident),+ $(,)?) => {
        mod in_process { $(#[tokio::test] async fn $case() { super::$case(false).await; })+ }
        mod over_http { $(#[tokio::test] async fn $case() { super::$case(true).await; })+ }
    };
}

suite! {
    identity_and_context_travel,
    frames_arrive_one_by_one_and_departure_cancels,
    departure_before_the_first_byte_cancels,
    deadlines_end_calls,
    problems_are_the_same,
    a_stopped_stack_leaves_nothing_behind,
}
