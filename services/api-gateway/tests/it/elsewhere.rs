//! What another gateway, or nobody, told this one: how long it goes on answering with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use http::StatusCode;
use serde_json::{Value, json};
use touchstone_api_gateway::Config;
use touchstone_config::Loader;
use touchstone_error::ErrorKind;
use touchstone_web::Problem;

use crate::support::{Mode, Stack};

/// A service that has the document until it fails.
fn failing(answer: Value) -> (Router, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&fails);
    let router = Router::new().fallback(move || {
        let (fails, answer) = (switch.load(Ordering::Acquire), answer.to_string());
        async move {
            if fails {
                return Problem::new(ErrorKind::Internal, "test.broken", "no").into_response();
            }
            // A service that believes in a long life is not believed.
            let headers = [
                ("content-type", "application/json"),
                ("cache-control", "private, max-age=2"),
            ];
            (headers, answer).into_response()
        }
    });
    (router, fails)
}

#[tokio::test]
async fn what_was_deleted_through_another_gateway_is_not_shown_for_a_minute() {
    let (document, fails) = failing(json!({ "text": "deleted elsewhere" }));
    let services = [("document", document.clone()), ("retrieval", document)];
    let stack = Stack::start(Mode::InProcess, services).await;
    let read = async || stack.client().get("/documents/1").await;
    let search = async || {
        stack
            .client()
            .post("/search", &json!({ "query": "x" }))
            .await
    };
    assert_eq!(read().await.status, StatusCode::OK);
    assert_eq!(search().await.status, StatusCode::OK);
    // Now it is deleted, of which this gateway hears nothing, and everything fails.
    fails.store(true, Ordering::Release);
    stack.identity.clock.advance(Duration::from_secs(50));
    for old in [read().await, search().await] {
        assert_eq!(old.status, StatusCode::OK, "{}", old.text());
        assert!(old.headers.contains_key("degraded"));
    }
    stack.identity.clock.advance(Duration::from_secs(9));
    for gone in [read().await, search().await] {
        assert_eq!(gone.problem(), "500 test.broken");
    }
    stack.stop().await;
}

#[tokio::test]
async fn an_answer_that_cites_what_was_deleted_is_not_given_for_longer_than_a_minute() {
    let (generation, fails) = failing(json!({
        "answer": "Cites it.", "citations": [], "provider": "extractive", "degraded": [],
        "conversation_id": "00000000-0000-0000-0000-0000000000bb",
        "retrieval": { "passages": [], "signals": [], "dense_model": null, "confidence": 1.0 },
        "verification": { "checked": 0, "passed": 0, "struck": 0, "abstained": false },
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    }));
    let stack = Stack::start(Mode::InProcess, [("generation", generation)]).await;
    let ask = async || {
        stack
            .client()
            .post("/ask", &json!({ "question": "x" }))
            .await
    };
    assert_eq!(ask().await.status, StatusCode::OK);
    fails.store(true, Ordering::Release);
    stack.identity.clock.advance(Duration::from_mins(1));
    assert_eq!(ask().await.status, StatusCode::OK);
    stack.identity.clock.advance(Duration::from_secs(1));
    assert_eq!(ask().await.problem(), "500 test.broken");
    stack.stop().await;
}

#[test]
fn no_configuration_keeps_answers_for_longer_than_a_minute() {
    let refused = Loader::new()
        .set("gateway.cache.search", "30s")
        .set("gateway.cache.stale", "31s")
        .set("gateway.cache.questions", "61s")
        .section::<Config>()
        .unwrap_err();
    let told = refused.problems.join("; ");
    assert_eq!(refused.problems.len(), 2, "{told}");
    assert!(
        told.contains("cache.stale") && told.contains("cache.questions"),
        "{told}"
    );
}
