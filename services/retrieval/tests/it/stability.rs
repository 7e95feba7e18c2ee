use proptest::prelude::*;
use touchstone_api::retrieval::{SearchMode, SearchRequest, SearchResponse};

use crate::support::{Chunk, Dense, Neighbours, ask};

const WORDS: &[&str] = &[
    "river",
    "delta",
    "flows",
    "north",
    "bread",
    "baked",
    "river's",
    "flow",
    "длина",
    "длинный",
    "течёт",
    "дельта",
    "the",
    "of",
    "6650",
    "Nile",
];

fn sentence(words: &[usize]) -> String {
    words
        .iter()
        .map(|at| WORDS[at % WORDS.len()])
        .collect::<Vec<_>>()
        .join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_first_k_are_a_prefix_of_the_first_k_plus_n(
        corpus in prop::collection::vec((0..4_u128, prop::collection::vec(0..16_usize, 1..12)), 1..130),
        question in prop::collection::vec(0..16_usize, 1..6),
        k in 1..40_usize,
        n in 1..60_usize,
        model in any::<bool>(),
        lexical in any::<bool>(),
        diversity in prop::option::of(0.0_f32..=1.0),
        rerank in prop::option::of(any::<bool>()),
        expand in any::<bool>(),
    ) {
        let chunks: Vec<Chunk> = corpus
            .iter()
            .map(|(document, words)| Chunk { document: *document, text: sentence(words) })
            .collect();
        let dense = if model { Dense::Model("m") } else { Dense::Off };
        let request = |limit| SearchRequest {
            limit: Some(limit),
            mode: if lexical { SearchMode::Lexical } else { SearchMode::Auto },
            diversity,
            rerank,
            expand: Some(expand),
            ..ask(&sentence(&question))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (short, long): (SearchResponse, SearchResponse) = runtime.block_on(async {
            let bed = Neighbours::new(dense, &chunks).start().await;
            (bed.search(&request(k)).await, bed.search(&request(k + n)).await)
        });
        prop_assert!(short.hits.len() <= k);
        prop_assert_eq!(&short.hits[..], &long.hits[..short.hits.len()]);
        prop_assert_eq!(short.hits.len(), long.hits.len().min(k));
        prop_assert!((short.confidence - long.confidence).abs() < 1e-6);
    }
}

#[tokio::test]
async fn the_candidate_depth_never_depends_on_the_limit() {
    let bed = Neighbours::new(Dense::Off, &crate::support::corpus())
        .start()
        .await;
    for limit in [1, 100] {
        bed.search(&SearchRequest {
            limit: Some(limit),
            ..ask("Nile")
        })
        .await;
    }
    let queries = bed.neighbours.queries.lock().unwrap().clone();
    assert_eq!(queries[0], queries[1]);
    assert!(queries[0].complete_scores);
}
