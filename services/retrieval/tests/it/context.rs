use touchstone_api::retrieval::SearchRequest;

use crate::support::{Dense, Neighbours, ask, chunk, corpus};

fn with_context(query: &str, chars: usize) -> SearchRequest {
    SearchRequest {
        context_chars: Some(chars),
        ..ask(query)
    }
}

#[tokio::test]
async fn passages_are_byte_exact_parents_within_the_budget() {
    let bed = Neighbours::new(Dense::Off, &corpus()).start().await;
    for chars in [200, 400, 5000] {
        let found = bed.search(&with_context("Nile river delta", chars)).await;
        assert!(!found.context.is_empty());
        let total: usize = found.context.iter().map(|p| p.text.chars().count()).sum();
        assert!(total <= chars, "{total} of {chars}");
        for (at, passage) in found.context.iter().enumerate() {
            assert_eq!(passage.marker, at + 1);
            let text = &bed.neighbours.documents[&passage.document_id];
            assert_eq!(
                text.get(passage.start..passage.end),
                Some(passage.text.as_str())
            );
        }
    }
    let found = bed.search(&with_context("Nile river delta", 5000)).await;
    assert!(found.context[0].text.len() > found.hits[0].text.len());
    assert!(found.degraded.is_empty());
}

#[tokio::test]
async fn one_document_fills_at_most_half() {
    let mut chunks: Vec<_> = (0..8)
        .map(|at| {
            chunk(
                1,
                &format!("The river number {at} flows past village {at}{at} slowly."),
            )
        })
        .collect();
    chunks.push(chunk(2, "Another river is mentioned here."));
    let bed = Neighbours::new(Dense::Off, &chunks).start().await;
    let found = bed.search(&with_context("river flows village", 300)).await;
    let first = found.context[0].document_id;
    let own: usize = found
        .context
        .iter()
        .filter(|p| p.document_id == first)
        .map(|p| p.text.chars().count())
        .sum();
    assert!(own <= 150, "{own}");
    assert!(
        found
            .context
            .iter()
            .any(|passage| passage.document_id != first)
    );
}

#[tokio::test]
async fn without_the_document_service_chunks_stand_alone() {
    let neighbours = Neighbours {
        document: false,
        ..Neighbours::new(Dense::Off, &corpus())
    };
    let bed = neighbours.start().await;
    let answer = bed.post(&with_context("How long is the Nile?", 5000)).await;
    assert_eq!(answer.headers["degraded"], "context");
    let found: touchstone_api::retrieval::SearchResponse = answer.json();
    assert_eq!(found.context[0].text, found.hits[0].text);
}

#[tokio::test]
async fn a_document_that_is_gone_leaves_the_context() {
    let mut neighbours = Neighbours::new(Dense::Off, &corpus());
    let mut documents = (*neighbours.documents).clone();
    let gone = neighbours.points[0].1.document_id;
    documents.remove(&gone);
    neighbours.documents = documents.into();
    let found = neighbours
        .start()
        .await
        .search(&with_context("Nile river north", 5000))
        .await;
    assert!(!found.context.is_empty());
    assert!(
        found
            .context
            .iter()
            .all(|passage| passage.document_id != gone)
    );
}
