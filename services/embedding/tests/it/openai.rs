//! `POST /v1/embeddings`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use touchstone_api::model::ModelTask;

use crate::fake::{App, Fake, app, model};

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_both_notations_and_under_both_names() {
    let fake = Fake::new(vec![model("mini", ModelTask::Embed, true)]);
    let App { client, .. } = app(Some(&fake)).await;
    let one = json!({"input": "abc", "model": "mini", "user": "somebody"});
    let body: Value = client.post("/v1/embeddings", &one).await.json();
    assert_eq!(
        body,
        json!({"object": "list", "model": "mini",
            "data": [{"object": "embedding", "index": 0, "embedding": [3.0, 1.0]}],
            "usage": {"prompt_tokens": 1, "total_tokens": 1}})
    );
    let many = json!({"input": ["a", "bb"], "model": "touchstone", "encoding_format": "base64", "dimensions": 2});
    let body: Value = client.post("/v1/embeddings", &many).await.json();
    let bytes = STANDARD
        .decode(body["data"][1]["embedding"].as_str().unwrap())
        .unwrap();
    assert_eq!(bytes, [2.0_f32, 1.0].map(f32::to_le_bytes).concat());
    assert_eq!(body["model"], "mini");
}

#[tokio::test(flavor = "multi_thread")]
async fn says_how_to_turn_dense_on_when_it_is_off() {
    let App { client, .. } = app(Some(&Fake::new(vec![]))).await;
    let off = client
        .post(
            "/v1/embeddings",
            &json!({"input": "a", "model": "touchstone"}),
        )
        .await;
    assert_eq!(off.problem(), "409 embedding.dense_off");
    assert!(off.text().contains("touchstone models pull"));
    let unknown = json!({"input": "a", "model": "text-embedding-3-small"});
    let unknown = client.post("/v1/embeddings", &unknown).await;
    assert_eq!(unknown.problem(), "404 embedding.unknown_model");
    assert!(unknown.text().contains("model.active"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_problems() {
    let fake = Fake::new(vec![model("mini", ModelTask::Embed, true)]);
    let App { client, .. } = app(Some(&fake)).await;
    let cases = [
        (
            json!({"input": "a", "model": "absent"}),
            "404 embedding.unknown_model",
        ),
        (
            json!({"input": "a", "model": "mini", "dimensions": 7}),
            "409 embedding.dimensions",
        ),
        (json!({"input": [], "model": "mini"}), "422 request.invalid"),
        (
            json!({"input": [1, 2], "model": "mini"}),
            "422 request.invalid",
        ),
        (json!({"input": "a"}), "422 request.invalid"),
        (
            json!({"input": "a", "model": "mini", "encoding_format": "hex"}),
            "422 request.invalid",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(
            client.post("/v1/embeddings", &body).await.problem(),
            expected,
            "{body}"
        );
    }
}
