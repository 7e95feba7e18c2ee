//! `POST /embeddings`.

use serde_json::{Value, json};
use touchstone_api::embedding::EmbeddingResponse;
use touchstone_api::model::ModelTask;
use touchstone_testing::TestClient;

use crate::fake::{App, Fake, app, app_with, model};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_there_are_sparse_vectors_and_dense_is_off() {
    let fake = Fake::new(vec![]);
    let App { client, .. } = app(Some(&fake)).await;
    let texts = [
        "Кошки спят на диване, а собаки гуляют во дворе.",
        "The quick brown fox",
        "",
    ];
    let answer = client
        .post("/embeddings", &json!({"input": texts, "kind": "passage"}))
        .await;
    assert!(answer.headers.get("degraded").is_none());
    let body: EmbeddingResponse = answer.json();
    assert_eq!((body.model, body.dimension), (None, None));
    assert_eq!(body.items[0].language, "ru");
    for item in &body.items[..2] {
        assert!(item.dense.is_none());
        assert!(!item.sparse["bm25"].is_empty());
        assert_eq!(item.sparse["bm25"].validate(), Ok(()));
        assert!(!item.sparse.contains_key("chars"));
    }
    assert!(body.items[2].sparse["bm25"].is_empty());
    assert_eq!(body.usage.tokens, 13);
    let health: Value = client.get("/health").await.json();
    assert_eq!(
        (&health["details"]["dense"], &health["status"]),
        (&json!("off"), &json!("healthy"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_text_gives_the_same_vectors_alone_and_among_many() {
    let App { client, .. } = app(Some(&Fake::new(vec![]))).await;
    let many: Vec<_> = (0..200)
        .map(|n| format!("Passage number {n} about rivers. ").repeat(9))
        .collect();
    for kind in ["query", "passage"] {
        let all: EmbeddingResponse = client
            .post("/embeddings", &json!({"input": many, "kind": kind}))
            .await
            .json();
        assert_eq!(all.items.len(), 200);
        let input = json!({"input": [many[77]], "kind": kind});
        let one: EmbeddingResponse = client.post("/embeddings", &input).await.json();
        assert_eq!(one.items[0], all.items[77]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_active_model_adds_dense_vectors_and_the_cache_keeps_them() {
    let fake = Fake::new(vec![model("mini", ModelTask::Embed, true)]);
    let App { client, .. } = app(Some(&fake)).await;
    let input = json!({"input": ["a", "bbb"], "kind": "query"});
    let body: EmbeddingResponse = client.post("/embeddings", &input).await.json();
    assert_eq!(
        (body.model.as_deref(), body.dimension),
        (Some("mini"), Some(2))
    );
    assert_eq!(body.items[1].dense.as_deref(), Some([3.0, 1.0].as_slice()));
    assert_eq!(fake.texts_of_calls(), [2]);

    let more = json!({"input": ["bbb", "cc", "a"], "kind": "query"});
    let body: EmbeddingResponse = client.post("/embeddings", &more).await.json();
    let lengths: Vec<_> = body
        .items
        .iter()
        .map(|item| item.dense.as_ref().unwrap()[0])
        .collect();
    assert_eq!(lengths, [3.0, 2.0, 1.0]);
    assert_eq!(fake.texts_of_calls(), [2, 1], "two of the three were known");

    let passage = json!({"input": ["a"], "kind": "passage"});
    client.post("/embeddings", &passage).await;
    assert_eq!(fake.texts_of_calls(), [2, 1, 1], "a passage is no query");

    let sparse = json!({"input": ["new"], "kind": "query", "sparse_only": true});
    let body: EmbeddingResponse = client.post("/embeddings", &sparse).await.json();
    assert!(body.model.is_none() && body.items[0].dense.is_none());
    assert_eq!(fake.texts_of_calls().len(), 3);
    let health: Value = client.get("/health").await.json();
    assert_eq!(health["details"]["dense"], "mini");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_model_answers_and_a_wrong_name_is_told() {
    let models = vec![
        model("mini", ModelTask::Embed, false),
        model("cross", ModelTask::Rerank, false),
    ];
    let App { client, .. } = app(Some(&Fake::new(models))).await;
    let with = |name: &str| json!({"input": ["a"], "kind": "query", "model": name});
    let body: EmbeddingResponse = client.post("/embeddings", &with("mini")).await.json();
    assert_eq!(body.model.as_deref(), Some("mini"));
    let unknown = client.post("/embeddings", &with("absent")).await;
    assert_eq!(unknown.problem(), "404 embedding.unknown_model");
    let cross = client.post("/embeddings", &with("cross")).await;
    assert_eq!(cross.problem(), "409 embedding.not_an_embedder");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_model_service_queries_are_degraded_and_passages_refused() {
    let App { client, .. } = app(None).await;
    let query = json!({"input": ["кошки"], "kind": "query"});
    let answer = client.post("/embeddings", &query).await;
    assert_eq!(answer.headers["degraded"], "dense");
    let body: EmbeddingResponse = answer.json();
    assert!(body.model.is_none() && !body.items[0].sparse["bm25"].is_empty());

    let passage = json!({"input": ["кошки"], "kind": "passage"});
    let refused = client.post("/embeddings", &passage).await;
    assert_eq!(refused.problem(), "503 embedding.dense_unavailable");
    assert!(refused.headers.contains_key("retry-after"));
    let sparse = json!({"input": ["кошки"], "kind": "passage", "sparse_only": true});
    assert_eq!(client.post("/embeddings", &sparse).await.status, 200);
    let named = json!({"input": ["кошки"], "kind": "query", "model": "mini"});
    let refused = client.post("/embeddings", &named).await;
    assert_eq!(refused.problem(), "503 embedding.model_unavailable");
    assert_eq!(refused.headers["x-failed-below"], "model");
    let health: Value = client.get("/health").await.json();
    assert_eq!(
        (&health["status"], &health["details"]["dense"]),
        (&json!("degraded"), &json!("unknown"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_model_degrades_queries() {
    let fake = Fake::new(vec![model("mini", ModelTask::Embed, true)]);
    let App { client, .. } = app(Some(&fake)).await;
    let answer = client
        .post("/embeddings", &json!({"input": ["down"], "kind": "query"}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["degraded"]),
        (200, &"dense".parse().unwrap())
    );
    let named = json!({"input": ["down"], "kind": "query", "model": "mini"});
    assert_eq!(
        client.post("/embeddings", &named).await.problem(),
        "503 model.overloaded"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told_apart() {
    let App { client, router, .. } = app(Some(&Fake::new(vec![]))).await;
    let too_long = "x".repeat(256 * 1024 + 1);
    for body in [
        json!({"input": [], "kind": "query"}),
        json!({"input": vec!["x"; 257], "kind": "query"}),
        json!({"input": [too_long], "kind": "query"}),
        json!({"input": "x", "kind": "query"}),
        json!({"input": ["x"], "kind": "question"}),
        json!({"input": ["x"]}),
        json!({"input": ["x"], "kind": "query", "extra": true}),
    ] {
        assert_eq!(
            client.post("/embeddings", &body).await.problem(),
            "422 request.invalid"
        );
    }
    let broken = client
        .raw(http::Method::POST, "/embeddings", "application/json", "{")
        .await;
    assert_eq!(broken.problem(), "400 request.malformed");
    let nul = json!({"input": ["a\u{0}b", "\u{feff}", "🙂"], "kind": "passage", "language": "xx"});
    assert_eq!(client.post("/embeddings", &nul).await.status, 200);
    let anonymous = TestClient::anonymous(router);
    assert_eq!(anonymous.post("/embeddings", &nul).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn character_grams_are_indexed_when_asked_for() {
    let config = touchstone_config::Loader::new().set("embedding.lexical.char_grams", "16");
    let App { client, .. } = app_with(None, config.section().unwrap()).await;
    let input = json!({"input": ["the quick brown fox"], "kind": "passage", "sparse_only": true});
    let body: EmbeddingResponse = client.post("/embeddings", &input).await.json();
    assert!((1..=16).contains(&body.items[0].sparse["chars"].len()));
}
