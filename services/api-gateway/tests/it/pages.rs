use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Mode, Stack, over_both_transports};

over_both_transports!(
    one_specification_holds_every_service,
    a_service_that_does_not_answer_is_named_and_asked_again,
    health_is_that_of_every_service,
    one_service_that_hangs_holds_up_one_who_asks_for_health,
);

fn service(specification: Value, status: &'static str) -> Router {
    let health = json!({ "service_name": "x", "status": status, "details": {} });
    Router::new()
        .route(
            "/openapi.json",
            get(async move || specification.to_string()),
        )
        .route("/health", get(async move || health.to_string()))
}

fn paths(path: &str) -> Value {
    json!({ "openapi": "3.1.0", "info": {}, "paths": { path: { "get": {
        "operationId": "list", "responses": { "200": { "description": "ok" } } } } } })
}

async fn one_specification_holds_every_service(mode: Mode) {
    let stack = Stack::start(
        mode,
        [
            ("document", service(paths("/documents"), "healthy")),
            ("vector", service(paths("/collections"), "healthy")),
            ("gateway", Router::new()),
        ],
    )
    .await;
    let answer = stack.anonymous().get("/openapi.json").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let merged: Value = answer.json();
    let paths: Vec<_> = merged["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(
        paths,
        [
            "/api/v1/collections",
            "/api/v1/config",
            "/api/v1/documents",
            "/health",
            "/live",
            "/ready"
        ]
    );
    assert_eq!(
        merged["paths"]["/api/v1/documents"]["get"]["operationId"],
        "document_list"
    );
    assert!(merged["components"]["schemas"]["Problem"].is_object());
    assert!(merged["components"]["securitySchemes"]["bearer"].is_object());
    assert!(merged.get("x-missing-services").is_none());
    stack.stop().await;
}

async fn a_service_that_does_not_answer_is_named_and_asked_again(mode: Mode) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let late = Router::new().route(
        "/openapi.json",
        get(async move || match count.fetch_add(1, Ordering::SeqCst) {
            0 => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            _ => (StatusCode::OK, paths("/search").to_string()),
        }),
    );
    let stack = Stack::start(mode, [("retrieval", late)]).await;
    let first: Value = stack.anonymous().get("/openapi.json").await.json();
    assert_eq!(first["x-missing-services"], json!(["retrieval"]));
    let patience = async {
        loop {
            let again: Value = stack.anonymous().get("/openapi.json").await.json();
            if again["paths"].get("/api/v1/search").is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, patience)
        .await
        .expect("never asked again");
    // From now on the document is kept.
    let before = asked.load(Ordering::SeqCst);
    stack.anonymous().get("/openapi.json").await;
    assert_eq!(asked.load(Ordering::SeqCst), before);
    stack.stop().await;
}

async fn health_is_that_of_every_service(mode: Mode) {
    let well = || service(json!({}), "healthy");
    let stack = Stack::start(mode, [("document", well()), ("vector", well())]).await;
    for path in ["/health", "/api/v1/health"] {
        let health: Value = stack.anonymous().get(path).await.json();
        assert_eq!(
            (&health["service_name"], &health["status"]),
            (&json!("gateway-service"), &json!("healthy"))
        );
        assert_eq!(
            health["details"]["services"],
            json!({ "document": "healthy", "vector": "healthy" })
        );
        assert!(health["details"]["version"].is_string());
    }
    stack.stop().await;

    let services = [
        ("document", service(json!({}), "degraded")),
        ("vector", Router::new()),
    ];
    let stack = Stack::start(mode, services).await;
    stack
        .identity
        .mesh
        .connect("model", "http://127.0.0.1:1".parse().unwrap());
    let answer = stack.anonymous().get("/health").await;
    assert_eq!(answer.status, StatusCode::OK);
    let health: Value = answer.json();
    assert_eq!(health["status"], "degraded");
    let expected = json!({ "document": "degraded", "vector": "unhealthy", "model": "unreachable" });
    assert_eq!(health["details"]["services"], expected);
    stack.stop().await;

    let stack = Stack::start(mode, []).await;
    stack
        .identity
        .mesh
        .connect("model", "http://127.0.0.1:1".parse().unwrap());
    let answer = stack.anonymous().get("/health").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    stack.stop().await;
}

#[tokio::test]
async fn the_pages_load_nothing_from_elsewhere() {
    let stack = Stack::start(Mode::InProcess, []).await;
    for page in ["/", "/docs/"] {
        let answer = stack.anonymous().get(page).await;
        assert_eq!(
            answer.headers["content-type"]
                .to_str()
                .unwrap()
                .split(';')
                .next(),
            Some("text/html")
        );
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("http"),
            "{policy}"
        );
        let html = answer.text();
        let links = html.split(['"', '\'']).filter(|text| text.contains("//"));
        assert_eq!(links.collect::<Vec<_>>(), Vec::<&str>::new(), "{page}");
        let own = html
            .split('"')
            .filter(|text| matches!(text.rsplit_once('.'), Some((_, "js" | "css"))));
        let mut files = 0;
        for file in own {
            let path = format!(
                "{page}{}",
                file.trim_start_matches("./").trim_start_matches('/')
            );
            assert_eq!(
                stack.anonymous().get(&path).await.status,
                StatusCode::OK,
                "{path}"
            );
            files += 1;
        }
        assert!(files >= 2, "{page}: {html}");
    }
    let start = stack
        .anonymous()
        .get("/docs/swagger-initializer.js")
        .await
        .text();
    assert!(
        start.contains("\"/openapi.json\"") && start.contains("\"validatorUrl\": \"none\""),
        "{start}"
    );
    assert!(stack.anonymous().get("/docs").await.headers["location"] == "/docs/");
    let missing = stack.anonymous().get("/docs/none.js").await;
    assert_eq!(missing.problem(), "404 request.unknown_path");
    stack.stop().await;
}

#[tokio::test]
async fn pages_can_be_switched_off() {
    let stack = Stack::with(Mode::InProcess, [], |config| {
        config.console = false;
        config.docs = false;
    })
    .await;
    for page in ["/", "/docs", "/docs/"] {
        let answer = stack.anonymous().get(page).await;
        assert_eq!(answer.problem(), "404 request.unknown_path", "{page}");
    }
    stack.stop().await;
}

async fn one_service_that_hangs_holds_up_one_who_asks_for_health(mode: Mode) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let hanging = Router::new().route(
        "/health",
        get(async move || {
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                std::future::pending::<()>().await;
            }
            json!({ "service_name": "x", "status": "healthy", "details": {} }).to_string()
        }),
    );
    let stack = Stack::with(mode, [("vector", hanging)], |config| {
        config.health_keep = Duration::ZERO;
        config.probe_timeout = Duration::from_hours(1);
    })
    .await;
    let client = stack.anonymous();
    let first: Value = client.get("/health").await.json();
    assert_eq!(first["status"], "healthy");
    let held_up = client.get("/health");
    let others = async {
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..3 {
            let again: Value = client.get("/health").await.json();
            assert_eq!(again["status"], "healthy");
        }
    };
    tokio::select! {
        _ = held_up => panic!("the service answered"),
        done = tokio::time::timeout(crate::support::PATIENCE, others) => done.unwrap(),
    }
    stack.stop().await;
}
