//! The service with a Qdrant that never answers; needs no server.

use http::Method;
use serde_json::{Value, json};
use touchstone_types::Role;

use crate::fixtures::*;

/// A port that nobody listens on: bound and closed again.
fn dead_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn without_qdrant() -> App {
    let uri = format!("qdrant://127.0.0.1:{}", dead_port());
    App::start_unready(|config| config.store = uri).await
}

#[tokio::test]
async fn the_service_starts_without_its_server_and_is_not_ready() {
    let app = without_qdrant().await;
    let ready = app.user(1, Role::Member).get("/ready").await;
    assert_eq!(ready.status, 503);
    let body: Value = ready.json();
    assert!(body.to_string().contains("qdrant"), "{body}");
    let health = app.user(1, Role::Member).get("/health").await;
    let body: Value = health.json();
    assert_eq!(body["status"], "degraded", "{body}");
}

#[tokio::test]
async fn every_call_says_that_the_server_is_away_and_when_to_come_back() {
    let app = without_qdrant().await;
    let user = app.user(1, Role::Member);
    let point = serde_json::to_value(point(1, &[(1, 1.0)])).unwrap();
    let query = json!({
        "queries": [{"sparse": {"name": "bm25", "vector": {"indices": [1], "values": [1.0]}}}],
        "limit": 1
    });
    for (path, body) in [
        ("points", json!({"points": [point]})),
        ("query", query),
        ("count", json!({})),
        ("scroll", json!({})),
        (
            "points/delete",
            json!({"filter": {"document_ids": [document(1)]}}),
        ),
    ] {
        let answer = user
            .post(&format!("/collections/chunks/{path}"), &body)
            .await;
        let told: Value = answer.json();
        assert_eq!(answer.status, 503, "{path}: {told}");
        assert_eq!(told["code"], "vector.qdrant_unavailable", "{path}");
        assert_eq!(answer.headers["retry-after"], "1", "{path}");
        assert!(!told.to_string().contains("127.0.0.1"), "{told}");
    }
    let made = app
        .service()
        .json(
            Method::PUT,
            "/collections/chunks",
            &json!({"sparse": ["bm25"]}),
        )
        .await;
    assert_eq!(made.status, 503);
}
