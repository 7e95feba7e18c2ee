use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::post;
use futures_util::StreamExt;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use touchstone_error::ErrorKind;
use touchstone_web::{Caller, Problem};

use crate::support::{Mode, Stack, over_both_transports};

over_both_transports!(
    without_generation_the_passages_answer_and_say_so,
    without_generation_the_stream_holds_the_passages,
    bad_questions_are_refused_as_ever,
    without_retrieval_the_failure_is_told,
    an_answer_of_generation_is_not_touched,
    without_both_the_last_answer_to_the_same_question_stands_in,
);

/// Retrieval that finds two passages; tells who asked.
fn retrieval(identity: &touchstone_testing::TestIdentity) -> Router {
    let routes = utoipa_axum::router::OpenApiRouter::new().route(
        "/search",
        post(async |caller: Caller, body: String| {
            let request: Value = serde_json::from_str(&body).unwrap();
            let hit = |number: u32, text: &str| {
                json!({
                    "chunk_id": format!("00000000-0000-0000-0000-00000000000{number}"),
                    "document_id": "00000000-0000-0000-0000-0000000000aa", "version": 1,
                    "title": format!("{}", caller.tenant), "start": 0, "end": text.len(),
                    "text": text, "language": "en", "source": "upload", "score": 1.0, "scores": {},
                })
            };
            let limit = request["limit"].as_u64().unwrap();
            let hits: Vec<_> = (1..=3)
                .map(|n| hit(n, "A passage."))
                .take(limit.try_into().unwrap())
                .collect();
            let found = json!({ "hits": hits, "signals": ["bm25"], "dense_model": null,
                                "confidence": 0.5, "degraded": ["dense"] });
            ([("content-type", "application/json")], found.to_string())
        }),
    );
    touchstone_web::Surface::new(
        "retrieval",
        &touchstone_lifecycle::Lifecycle::new(),
        &identity.metrics,
        identity.verifier.clone(),
        identity.ids.clone(),
    )
    .finish(routes)
}

fn overloaded() -> Router {
    Router::new().fallback(async || {
        Problem::new(
            ErrorKind::Unavailable,
            "generation.busy",
            "the queue is full",
        )
        .into_response()
    })
}

async fn stack(mode: Mode, generation: Option<Router>) -> Stack {
    let identity = touchstone_testing::TestIdentity::new();
    let services = [("retrieval", retrieval(&identity))]
        .into_iter()
        .chain(generation.map(|router| ("generation", router)));
    Stack::start(mode, services).await
}

async fn without_generation_the_passages_answer_and_say_so(mode: Mode) {
    for generation in [None, Some(overloaded())] {
        let stack = stack(mode, generation).await;
        let request = json!({ "question": "Что это?", "limit": 2 });
        for path in ["/ask", "/api/v1/ask"] {
            let answer = stack.client().post(path, &request).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            assert_eq!(answer.headers["degraded"], "generation, dense");
            let body: Value = answer.json();
            assert_eq!(body["degraded"], json!(["generation", "dense"]));
            assert_eq!(body["citations"].as_array().unwrap().len(), 2);
            assert_eq!(body["citations"][1]["quote"], "A passage.");
            assert_eq!(
                body["citations"][0]["title"],
                stack.caller.tenant.to_string()
            );
            let text = body["answer"].as_str().unwrap();
            assert!(
                text.starts_with("Ответ") && text.contains("A passage. [2]"),
                "{text}"
            );
        }
        stack.stop().await;
    }
}

async fn without_generation_the_stream_holds_the_passages(mode: Mode) {
    let stack = stack(mode, None).await;
    let answer = stack
        .client()
        .post("/ask", &json!({ "question": "What?", "stream": true }))
        .await;
    assert_eq!(answer.headers["degraded"], "generation, dense");
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let source = futures_util::stream::iter([Ok::<_, std::io::Error>(answer.body)]);
    let events: Vec<_> = touchstone_client::sse::events(source).collect().await;
    let events: Vec<_> = events.into_iter().map(Result::unwrap).collect();
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    let expected = [
        "retrieval",
        "token",
        "citation",
        "citation",
        "citation",
        "verification",
        "usage",
        "done",
    ];
    assert_eq!(names, expected);
    let done: Value = serde_json::from_str(&events[7].data).unwrap();
    assert_eq!(done["degraded"], json!(["generation", "dense"]));
    stack.stop().await;
}

async fn bad_questions_are_refused_as_ever(mode: Mode) {
    let stack = stack(mode, None).await;
    let ask = async |content_type: &str, body: &str| {
        stack
            .client()
            .raw(Method::POST, "/ask", content_type, body.to_owned())
            .await
            .problem()
    };
    let json = "application/json";
    assert_eq!(ask(json, "{").await, "400 request.malformed");
    assert_eq!(ask(json, "{}").await, "422 request.invalid");
    assert_eq!(
        ask(json, r#"{"question":" "}"#).await,
        "422 request.invalid"
    );
    assert_eq!(
        ask(json, r#"{"question":"x","limit":99}"#).await,
        "422 request.invalid"
    );
    assert_eq!(
        ask("text/plain", "{}").await,
        "415 request.unsupported_media_type"
    );
    let anonymous = stack
        .anonymous()
        .post("/ask", &json!({ "question": "x" }))
        .await;
    assert_eq!(anonymous.problem(), "401 auth.missing_credential");
    stack.stop().await;
}

async fn without_retrieval_the_failure_is_told(mode: Mode) {
    let stack = Stack::start(mode, [("generation", overloaded())]).await;
    let answer = stack
        .client()
        .post("/ask", &json!({ "question": "What?" }))
        .await;
    assert_eq!(answer.problem(), "503 generation.busy");
    let stack = Stack::start(mode, []).await;
    let answer = stack
        .client()
        .post("/ask", &json!({ "question": "What?" }))
        .await;
    assert_eq!(answer.problem(), "503 gateway.service_unavailable");
    stack.stop().await;
}

async fn an_answer_of_generation_is_not_touched(mode: Mode) {
    let refusing = Router::new().fallback(async |body: String| (StatusCode::IM_A_TEAPOT, body));
    let stack = stack(mode, Some(refusing)).await;
    let answer = stack
        .client()
        .post("/ask", &json!({ "question": "What?" }))
        .await;
    assert_eq!(
        (answer.status, answer.text()),
        (
            StatusCode::IM_A_TEAPOT,
            r#"{"question":"What?"}"#.to_owned()
        )
    );
    assert!(!answer.headers.contains_key("degraded"));
    stack.stop().await;
}

async fn without_both_the_last_answer_to_the_same_question_stands_in(mode: Mode) {
    let fails = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&fails);
    let generation = Router::new().fallback(move || {
        let fails = switch.load(Ordering::Acquire);
        async move {
            if fails {
                return Problem::new(ErrorKind::Internal, "generation.broken", "no").into_response();
            }
            let answer = json!({
                "answer": "Whole.", "citations": [], "provider": "extractive", "degraded": [],
                "conversation_id": "00000000-0000-0000-0000-0000000000bb",
                "retrieval": { "passages": [], "signals": [], "dense_model": null, "confidence": 1.0 },
                "verification": { "checked": 0, "passed": 0, "struck": 0, "abstained": false },
                "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
            });
            ([("content-type", "application/json")], answer.to_string()).into_response()
        }
    });
    let document = Router::new().fallback(async || "written");
    let stack = Stack::start(mode, [("generation", generation), ("document", document)]).await;
    let ask = async |question: Value| stack.client().post("/ask", &question).await;
    let first = ask(json!({ "question": "What?", "limit": 3 })).await;
    assert_eq!(first.json::<Value>()["answer"], "Whole.");
    fails.store(true, Ordering::Release);
    let old = ask(json!({ "limit": 3, "question": "What?" })).await;
    assert_eq!(old.status, StatusCode::OK, "{}", old.text());
    assert_eq!(
        old.headers["degraded"],
        "generation, retrieval, stale-answer"
    );
    let body: Value = old.json();
    assert_eq!(body["answer"], "Whole.");
    assert_eq!(
        body["degraded"],
        json!(["generation", "retrieval", "stale-answer"])
    );
    assert_eq!(
        body["conversation_id"],
        "00000000-0000-0000-0000-000000000000"
    );
    let streamed = ask(json!({ "question": "What?", "limit": 3, "stream": true })).await;
    assert!(
        streamed.text().contains("event: done"),
        "{}",
        streamed.text()
    );
    // Another question, another user, and anything after a write: the failure.
    assert_eq!(
        ask(json!({ "question": "Who?" })).await.problem(),
        "500 generation.broken"
    );
    let other = stack
        .identity
        .caller_of(stack.caller.tenant, touchstone_types::Role::Admin);
    let other =
        touchstone_testing::TestClient::new(stack.router.clone(), stack.identity.bearer(&other));
    let refused = other
        .post("/ask", &json!({ "question": "What?", "limit": 3 }))
        .await;
    assert!(refused.status.is_server_error(), "{}", refused.text());
    stack.client().post("/documents", &json!({})).await;
    let refused = ask(json!({ "question": "What?", "limit": 3 })).await;
    assert!(refused.status.is_server_error(), "{}", refused.text());
    stack.stop().await;
}
