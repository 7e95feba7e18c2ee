//! The openai runtime against a server of our own.

use serde_json::{Value, json};
use wiremock::matchers::{bearer_token, body_partial_json, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::api::{App, app, config};

fn answer(vectors: &[&[f32]]) -> ResponseTemplate {
    // Out of order on purpose.
    let data: Vec<_> = vectors
        .iter()
        .enumerate()
        .rev()
        .map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": vector}))
        .collect();
    ResponseTemplate::new(200).set_body_json(
        json!({"object": "list", "data": data, "model": "remote", "usage": {"prompt_tokens": 3, "total_tokens": 3}}),
    )
}

async fn with_model(server: &MockServer, extra: &str) -> App {
    let directory = tempfile::tempdir().unwrap();
    let list = format!(
        r#"[{{id = "remote", runtime = "openai", url = "{}/v1", key = "sekret", active = true {extra}}}]"#,
        server.uri()
    );
    app(config(directory.path(), &[("models", &list)])).await
}

const INPUT: &str = r#"{"input":["one","two"],"kind":"query"}"#;

fn input() -> Value {
    serde_json::from_str(INPUT).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_for_the_dimension_and_normalises_in_order() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/embeddings"))
        .and(bearer_token("sekret"))
        .and(body_partial_json(json!({"input": ["dimension"]})))
        .respond_with(answer(&[&[1.0, 0.0]]))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(body_partial_json(
            json!({"input": ["q: one", "q: two"], "model": "big"}),
        ))
        .respond_with(answer(&[&[3.0, 4.0], &[0.0, 2.0]]))
        .mount(&server)
        .await;
    let extra = r#", model = "big", prefixes = {query = "q: "}"#;
    let App { admin, .. } = with_model(&server, extra).await;
    let model: Value = admin.get("/models/remote").await.json();
    assert_eq!(
        (&model["status"], &model["dimension"]),
        (&json!("loaded"), &json!(2)),
        "{model}"
    );
    let embedded: Value = admin.post("/models/remote/embed", &input()).await.json();
    assert_eq!(embedded["vectors"], json!([[0.6, 0.8], [0.0, 1.0]]));
    assert_eq!(embedded["tokens"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_server_are_told_apart() {
    let server = MockServer::start().await;
    let App { admin, .. } = with_model(&server, r#", dimension = 2, timeout = "200ms""#).await;
    let embed = || admin.post("/models/remote/embed", &*Box::leak(Box::new(input())));
    let cases = [
        (
            answer(&[&[1.0, 0.0, 0.0], &[1.0, 0.0, 0.0]]),
            "503 model.upstream_bad_answer",
        ),
        (answer(&[&[1.0, 0.0]]), "503 model.upstream_bad_answer"),
        (
            ResponseTemplate::new(200).set_body_string("<html>"),
            "503 model.upstream_bad_answer",
        ),
        (ResponseTemplate::new(401), "503 model.upstream_refused"),
        (
            ResponseTemplate::new(302).insert_header("location", "/"),
            "503 model.upstream_refused",
        ),
        (
            ResponseTemplate::new(200).set_delay(std::time::Duration::from_mins(1)),
            "503 model.upstream_unreachable",
        ),
        (
            answer(&[&[0.0, 0.0], &[1.0, 0.0]]),
            "500 model.compute_failed",
        ),
    ];
    for (response, expected) in cases {
        server.reset().await;
        Mock::given(method("POST"))
            .respond_with(response)
            .mount(&server)
            .await;
        assert_eq!(embed().await.problem(), expected);
    }
    server.reset().await;
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "7");
    Mock::given(method("POST"))
        .respond_with(busy)
        .mount(&server)
        .await;
    let refused = embed().await;
    assert_eq!(refused.problem(), "503 model.upstream_refused");
    assert_eq!(refused.headers["retry-after"], "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_at_start_fails_the_model_and_not_the_service() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(500))
        .mount(&server)
        .await;
    let App { admin, life, .. } = with_model(&server, "").await;
    let model: Value = admin.get("/models/remote").await.json();
    assert_eq!(model["status"], "failed");
    let text = model.to_string();
    assert!(
        text.contains("status 500") && !text.contains("sekret"),
        "{text}"
    );
    let load = admin.post("/models/remote/load", &json!(null)).await;
    assert_eq!(load.problem(), "503 model.upstream_unavailable");
    server.reset().await;
    Mock::given(method("POST"))
        .respond_with(answer(&[&[1.0, 0.0]]))
        .mount(&server)
        .await;
    let load: Value = admin.post("/models/remote/load", &json!(null)).await.json();
    assert_eq!(load["status"], "loaded");
    assert!(
        life.shutdown(std::time::Duration::from_mins(1))
            .await
            .is_clean()
    );
}
