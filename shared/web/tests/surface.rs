//! What every service inherits from the surface.
#![expect(clippy::panic, reason = "a handler panics on purpose")]

use axum::Router;
use http::{Method, Request};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use touchstone_api::headers::{DEADLINE, REQUEST_ID, TRACEPARENT};
use touchstone_error::ErrorKind;
use touchstone_lifecycle::{Gate, Lifecycle};
use touchstone_testing::{TestClient, TestIdentity};
use touchstone_web::responses::{BodyErrors, CallerErrors};
use touchstone_web::{AppJson, AppPath, AppQuery, Caller, HealthReport, Problem, Surface};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Sample {
    limit: u32,
}

#[utoipa::path(post, path = "/samples", security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Sample), CallerErrors, BodyErrors))]
async fn create(_: Caller, AppJson(sample): AppJson<Sample>) -> AppJson<Sample> {
    AppJson(sample)
}

#[utoipa::path(get, path = "/samples/{id}", params(("id" = u32, Path)), responses((status = 200)))]
async fn get_one(AppPath(id): AppPath<u32>, AppQuery(_): AppQuery<Nothing>) -> AppJson<u32> {
    AppJson(id)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn defect() -> Problem {
    Problem::new(
        ErrorKind::Internal,
        "sample.defect",
        "the password is hunter2",
    )
}

async fn crash() -> Problem {
    panic!("the password is hunter2")
}

async fn slow() {
    std::future::pending::<()>().await;
}

struct Fixture {
    client: TestClient,
    anonymous: TestClient,
    gate: Gate,
}

fn fixture() -> Fixture {
    let identity = TestIdentity::new();
    let life = Lifecycle::new();
    let gate = life.service("sample").gate("index");
    let extra = Router::new()
        .route("/defect", axum::routing::get(defect))
        .route("/crash", axum::routing::get(crash))
        .route("/slow", axum::routing::get(slow));
    let routes = OpenApiRouter::from(extra)
        .routes(routes!(create))
        .routes(routes!(get_one));
    let router = Surface::new(
        "sample",
        &life,
        &identity.metrics,
        identity.verifier.clone(),
        identity.ids.clone(),
    )
    .body_limit(1000)
    .health(|| async {
        HealthReport::healthy()
            .with("dense", "off")
            .degraded_unless(false)
    })
    .finish(routes);
    let token = identity.bearer(&identity.caller());
    Fixture {
        client: TestClient::new(router.clone(), token),
        anonymous: TestClient::anonymous(router),
        gate,
    }
}

#[tokio::test]
async fn bodies_are_refused_with_stable_codes() {
    let Fixture {
        client, anonymous, ..
    } = fixture();
    let json = "application/json";
    for (content_type, body, code) in [
        (json, "{", "400 request.malformed"),
        (json, "", "400 request.malformed"),
        (json, "\u{0}", "400 request.malformed"),
        (json, "[1]", "422 request.invalid"),
        (json, "{\"limit\":-1}", "422 request.invalid"),
        (json, "{\"limit\":1,\"more\":2}", "422 request.invalid"),
        (
            "text/plain",
            "{\"limit\":1}",
            "415 request.unsupported_media_type",
        ),
    ] {
        let answer = client
            .raw(Method::POST, "/samples", content_type, body)
            .await;
        assert_eq!(answer.problem(), code, "{body}");
    }
    let large = client
        .raw(Method::POST, "/samples", json, "x".repeat(1001))
        .await;
    assert_eq!(large.problem(), "413 request.too_large");
    let good = client
        .raw(
            Method::POST,
            "/samples",
            "application/json; charset=utf-8",
            "{\"limit\":1}",
        )
        .await;
    assert_eq!(good.json::<Sample>().limit, 1);
    let nobody = anonymous.post("/samples", &Sample { limit: 1 }).await;
    assert_eq!(nobody.problem(), "401 auth.missing_credential");
    assert_eq!(nobody.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn paths_methods_and_queries_are_refused_with_stable_codes() {
    let Fixture { client, .. } = fixture();
    assert_eq!(
        client.get("/nowhere").await.problem(),
        "404 request.unknown_path"
    );
    assert_eq!(
        client.get("/samples/x").await.problem(),
        "404 request.unknown_id"
    );
    assert_eq!(
        client.get("/samples/1?x=1").await.problem(),
        "422 request.invalid"
    );
    let wrong = client.get("/samples").await;
    assert_eq!(wrong.problem(), "405 request.method_not_allowed");
    assert_eq!(wrong.headers["allow"], "POST");
}

#[tokio::test]
async fn defects_and_panics_tell_the_caller_nothing_but_the_request_id() {
    let Fixture { client, .. } = fixture();
    for (path, code) in [
        ("/defect", "500 sample.defect"),
        ("/crash", "500 web.panic"),
    ] {
        let request = Request::get(path)
            .header(REQUEST_ID, "r-1")
            .body(axum::body::Body::empty());
        let answer = client.send(request.unwrap()).await;
        assert_eq!(answer.problem(), code);
        assert!(!answer.text().contains("hunter2"), "{}", answer.text());
        assert_eq!(answer.headers[REQUEST_ID], "r-1");
        assert_eq!(answer.json::<Value>()["request_id"], "r-1");
        assert_eq!(answer.json::<Value>()["instance"], path);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_at_its_deadline() {
    let Fixture { client, .. } = fixture();
    let request = Request::get("/slow")
        .header(DEADLINE, "50")
        .body(axum::body::Body::empty());
    assert_eq!(
        client.send(request.unwrap()).await.problem(),
        "504 request.deadline"
    );
}

#[tokio::test]
async fn readiness_health_and_metrics_tell_the_state() {
    let Fixture { client, gate, .. } = fixture();
    let waiting = client.get("/ready").await;
    assert_eq!(
        (waiting.status.as_u16(), waiting.text()),
        (503, r#"{"ready":false,"waiting_for":["index"]}"#.into())
    );
    assert_eq!(client.get("/live").await.status.as_u16(), 204);
    gate.open();
    assert_eq!(client.get("/ready").await.status.as_u16(), 200);
    let health: Value = client.get("/health").await.json();
    assert_eq!(health["service_name"], "sample-service");
    assert_eq!(
        (&health["status"], &health["details"]["dense"]),
        (&"degraded".into(), &"off".into())
    );
    let metrics = client.get("/metrics").await.text();
    assert!(
        metrics.contains("touchstone_sample_request_duration_seconds_count{route=\"/ready\""),
        "{metrics}"
    );
}

#[tokio::test]
async fn traces_go_on_and_requests_get_ids() {
    let Fixture { client, .. } = fixture();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::get("/ready")
        .header(TRACEPARENT, trace)
        .body(axum::body::Body::empty());
    let answer = client.send(request.unwrap()).await;
    assert!(
        answer.headers[TRACEPARENT]
            .to_str()
            .unwrap()
            .starts_with(&trace[..35])
    );
    assert_ne!(answer.headers[TRACEPARENT], trace);
    assert!(!answer.headers[REQUEST_ID].is_empty());
}

#[tokio::test]
async fn the_specification_documents_the_errors() {
    let Fixture { client, .. } = fixture();
    let api: Value = client.get("/openapi.json").await.json();
    let responses = &api["paths"]["/samples"]["post"]["responses"];
    for status in ["200", "400", "401", "413", "415", "422", "504"] {
        assert!(responses[status].is_object(), "{status}: {responses}");
    }
    assert!(api["components"]["schemas"]["Problem"].is_object());
    assert_eq!(
        api["components"]["securitySchemes"]["api_key"]["name"],
        "X-API-Key"
    );
    assert!(api["paths"]["/health"].is_object());
}
