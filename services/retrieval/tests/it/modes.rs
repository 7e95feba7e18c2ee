use touchstone_api::retrieval::{SearchMode, SearchRequest};

use crate::support::{Dense, Neighbours, ask, corpus};

fn in_mode(mode: SearchMode) -> SearchRequest {
    SearchRequest {
        mode,
        ..ask("How long is the Nile river?")
    }
}

#[tokio::test]
async fn dense_modes_are_refused_when_dense_is_off() {
    let bed = Neighbours::new(Dense::Off, &corpus()).start().await;
    for mode in [SearchMode::Dense, SearchMode::Hybrid] {
        assert_eq!(
            bed.post(&in_mode(mode)).await.problem(),
            "409 retrieval.dense_off"
        );
    }
    let found = bed.search(&in_mode(SearchMode::Auto)).await;
    assert_eq!(found.signals, ["bm25", "chars"]);
    assert_eq!(found.dense_model, None);
    assert!(found.degraded.is_empty());
}

#[tokio::test]
async fn auto_uses_the_model_that_is_there() {
    let bed = Neighbours::new(Dense::Model("minilm"), &corpus())
        .start()
        .await;
    for mode in [SearchMode::Auto, SearchMode::Hybrid] {
        let found = bed.search(&in_mode(mode)).await;
        assert_eq!(found.signals, ["bm25", "chars", "dense"]);
        assert_eq!(found.dense_model.as_deref(), Some("minilm"));
        assert!(found.hits[0].scores.contains_key("dense"));
    }
    let lexical = bed.search(&in_mode(SearchMode::Lexical)).await;
    assert_eq!(lexical.dense_model, None);
    let dense = bed.search(&in_mode(SearchMode::Dense)).await;
    assert_eq!(dense.signals, ["dense"]);
    assert!(!dense.hits[0].scores.contains_key("reranked"));
    let health: serde_json::Value = bed.client.get("/health").await.json();
    assert_eq!(health["details"]["dense"], "minilm");
}

#[tokio::test]
async fn a_model_that_fails_is_done_without_and_named() {
    let bed = Neighbours::new(Dense::Failing, &corpus()).start().await;
    for mode in [SearchMode::Auto, SearchMode::Hybrid] {
        let answer = bed.post(&in_mode(mode)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["degraded"], "dense");
        let found: touchstone_api::retrieval::SearchResponse = answer.json();
        assert_eq!(found.degraded, ["dense"]);
        assert!(!found.hits.is_empty());
    }
    let refused = bed.post(&in_mode(SearchMode::Dense)).await;
    assert_eq!(refused.problem(), "503 retrieval.embedding_failed");
}

#[tokio::test]
async fn a_hash_embedder_changes_no_order() {
    let lexical = Neighbours::new(Dense::Off, &corpus()).start().await;
    let hashed = Neighbours::new(Dense::Model("hash-256"), &corpus())
        .start()
        .await;
    let order = |found: touchstone_api::retrieval::SearchResponse| {
        found
            .hits
            .into_iter()
            .map(|hit| (hit.chunk_id, hit.score.to_bits()))
            .collect::<Vec<_>>()
    };
    let (plain, with_hash) = (
        order(lexical.search(&in_mode(SearchMode::Lexical)).await),
        hashed.search(&in_mode(SearchMode::Auto)).await,
    );
    let weights: Vec<_> = order(with_hash)
        .into_iter()
        .take(plain.len())
        .map(|hit| hit.0)
        .collect();
    assert_eq!(
        weights,
        plain.into_iter().map(|hit| hit.0).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_neighbour_that_is_away_is_named() {
    let bed = Neighbours::new(Dense::Off, &corpus()).start().await;
    bed.identity.mesh.clear();
    let answer = bed.post(&in_mode(SearchMode::Lexical)).await;
    assert_eq!(answer.problem(), "503 retrieval.embedding_failed");
    // So that whoever called does not take it for a failure of this service.
    assert_eq!(answer.headers["x-failed-below"], "embedding");
}
