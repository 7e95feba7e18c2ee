use touchstone_api::retrieval::{SearchFilter, SearchRequest};

use crate::support::{Dense, Neighbours, ask, chunk, corpus};

#[tokio::test]
async fn the_chunk_that_answers_comes_first_in_both_languages() {
    let bed = Neighbours::new(Dense::Off, &corpus()).start().await;
    let english = bed.search(&ask("How long is the Nile?")).await;
    assert!(
        english.hits[0].text.starts_with("The Nile flows"),
        "{:#?}",
        english.hits
    );
    let russian = bed.search(&ask("Какова длина Нила?")).await;
    assert!(
        russian.hits[0].text.starts_with("Нил течёт"),
        "{:#?}",
        russian.hits
    );
    assert!(english.confidence > 0.0 && english.confidence <= 1.0);
    for hit in english.hits.iter().chain(&russian.hits) {
        let text = &bed.neighbours.documents[&hit.document_id];
        assert_eq!(text.get(hit.start..hit.end), Some(hit.text.as_str()));
        let stages: Vec<&str> = hit.scores.keys().map(String::as_str).collect();
        assert_eq!(stages, ["bm25", "chars", "fused", "reranked"]);
    }
}

#[tokio::test]
async fn scores_order_the_hits() {
    let bed = Neighbours::new(Dense::Model("m"), &corpus()).start().await;
    for diversity in [None, Some(0.5)] {
        let found = bed
            .search(&SearchRequest {
                diversity,
                ..ask("river delta north")
            })
            .await;
        assert!(found.hits.len() > 2);
        assert!(
            found
                .hits
                .windows(2)
                .all(|pair| pair[0].score >= pair[1].score)
        );
    }
}

#[tokio::test]
async fn a_repeated_chunk_is_dropped_and_explained() {
    let mut chunks = corpus();
    chunks.push(chunk(9, &chunks[0].text.to_uppercase()));
    let bed = Neighbours::new(Dense::Off, &chunks).start().await;
    let found = bed
        .search(&SearchRequest {
            explain: true,
            ..ask("Nile countries long")
        })
        .await;
    let copies = found
        .hits
        .iter()
        .filter(|hit| hit.text.to_lowercase().contains("eleven"))
        .count();
    assert_eq!(copies, 1);
    let explain = found.explain.unwrap();
    let names: Vec<&str> = explain
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["embed", "bm25", "chars", "fuse", "rerank", "diversify"]
    );
    let last = explain.stages.last().unwrap();
    assert_eq!(last.dropped.len(), 1);
    assert!(last.dropped[0].reason.starts_with("near-duplicate of"));
    assert_eq!(last.candidates[0].chunk_id, found.hits[0].chunk_id);
    assert_eq!(
        explain.weights.keys().collect::<Vec<_>>(),
        ["bm25", "chars"]
    );
}

#[tokio::test]
async fn filters_reach_the_vector_service() {
    let bed = Neighbours::new(Dense::Off, &corpus()).start().await;
    let filter = SearchFilter {
        languages: Some(vec!["ru".into()]),
        ..SearchFilter::default()
    };
    let found = bed
        .search(&SearchRequest {
            filter: Some(filter),
            ..ask("6650 north")
        })
        .await;
    assert!(!found.hits.is_empty());
    assert!(found.hits.iter().all(|hit| hit.language == "ru"));
}

#[tokio::test]
async fn nothing_ingested_is_an_empty_answer() {
    let neighbours = Neighbours {
        collection: false,
        ..Neighbours::new(Dense::Off, &corpus())
    };
    let found = neighbours.start().await.search(&ask("Nile")).await;
    assert!(found.hits.is_empty());
    assert!(found.confidence <= 0.0);
}

#[tokio::test]
async fn a_question_without_words_finds_nothing() {
    let bed = Neighbours::new(Dense::Off, &corpus()).start().await;
    assert!(bed.search(&ask("?! …")).await.hits.is_empty());
    assert!(bed.search(&ask(" ")).await.hits.is_empty());
}

#[tokio::test]
async fn the_gate_of_expansion_says_what_it_did() {
    let chunks = [
        chunk(1, "The delta of the river floods farmland every spring."),
        chunk(2, "Farmland near the river delta is rich and old."),
        chunk(3, "The river feeds farmland of its delta."),
        chunk(4, "A river boat passes the town."),
        chunk(5, "River stones are round."),
        chunk(6, "Farmland in the delta needs no rain."),
    ];
    let bed = Neighbours::new(Dense::Off, &chunks).start().await;
    let request = SearchRequest {
        expand: Some(true),
        explain: true,
        ..ask("river")
    };
    let found = bed.search(&request).await;
    let stages = found.explain.unwrap().stages;
    let note = stages
        .iter()
        .find(|stage| stage.name == "expand")
        .and_then(|s| s.note.clone());
    assert_eq!(note.as_deref(), Some("added: delta, farmland"));
    assert!(
        found
            .hits
            .iter()
            .any(|hit| hit.text.contains("needs no rain"))
    );

    let clear = SearchRequest {
        expand: Some(true),
        explain: true,
        ..ask("boat passes the town")
    };
    let stages = bed.search(&clear).await.explain.unwrap().stages;
    let note = stages
        .iter()
        .find(|stage| stage.name == "expand")
        .and_then(|s| s.note.clone());
    assert!(note.unwrap().starts_with("gate shut"));
}
