//! Random histories on Qdrant against the oracle: the same scores to 1e-5.

use std::collections::BTreeMap;

use proptest::prelude::*;
use touchstone_api::vector::ScoredPoint;
use touchstone_types::ChunkId;

use crate::fixtures::*;
use crate::model::{Step, same_points, steps};
use crate::oracle::Oracle;

/// What the contract allows two backends to differ by.
const TOLERANCE: f32 = 1e-5;

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(1.0)
}

/// Scores by id, without those that are zero but for noise.
fn scores(list: &[ScoredPoint]) -> BTreeMap<ChunkId, f32> {
    list.iter()
        .filter(|hit| hit.score.abs() > TOLERANCE)
        .map(|hit| (hit.id, hit.score))
        .collect()
}

/// The same scores in the same order; points may swap places only where scores are near.
fn same(found: &[ScoredPoint], expected: &[ScoredPoint], everything: &[ScoredPoint]) {
    let plain = |list: &[ScoredPoint]| {
        let mut scores: Vec<f32> = scores(list).into_values().collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        scores
    };
    let (a, b) = (plain(found), plain(expected));
    assert_eq!(a.len(), b.len(), "{found:?} {expected:?}");
    assert!(a.iter().zip(&b).all(|(a, b)| near(*a, *b)), "{a:?} {b:?}");
    let truth = scores(everything);
    for (id, score) in scores(found) {
        let expected = truth.get(&id).copied().unwrap_or_default();
        assert!(near(score, expected), "{id}: {score} {expected}");
    }
}

/// Tells whether there was a server.
async fn run(steps: Vec<Step>) -> bool {
    let Some(opened) = qdrant().await else {
        return false;
    };
    opened.store.ensure(&chunks(), definition()).await.unwrap();
    let mut oracle = Oracle::default();
    for step in steps.into_iter().chain([Step::Reopen]) {
        match step {
            Step::Upsert(number, points) => {
                oracle.upsert(tenant(number), &points);
                opened.store.upsert(&part(number), points).await.unwrap();
            }
            Step::Delete(number, filter) => {
                let scoped = narrowed(number, filter.clone());
                let gone = opened.store.delete(&scoped).await.unwrap();
                assert_eq!(gone, oracle.delete(tenant(number), &filter));
            }
            Step::Query(number, queries, limit, filter, complete) => {
                let ask = |limit| oracle.query(tenant(number), &queries, limit, &filter, complete);
                let (expected, everything) = (ask(limit), ask(1000));
                let mut wanted = search(queries.clone(), limit);
                wanted.complete_scores = complete && limit >= 1000;
                let scoped = narrowed(number, filter.clone());
                let answer = opened.store.query(&scoped, wanted).await.unwrap();
                for (number, list) in answer.results.iter().enumerate() {
                    let first = &expected[number][..limit.min(expected[number].len())];
                    same(list, first, &everything[number]);
                }
            }
            Step::Reopen => same_points(&*opened.store, &oracle).await,
        }
    }
    // Everything, with every score.
    for number in 0..crate::model::TENANTS {
        let queries = vec![
            by_bm25(&[(1, 1.0), (3, 0.5), (7, 2.0)]),
            by_chars(&[(2, 1.0)]),
        ];
        let filter = touchstone_api::vector::Filter::default();
        let expected = oracle.query(tenant(number), &queries, 3, &filter, true);
        let everything = oracle.query(tenant(number), &queries, 1000, &filter, true);
        let mut wanted = search(queries, 3);
        wanted.complete_scores = true;
        let answer = opened.store.query(&all(number), wanted).await.unwrap();
        for (list, (expected, everything)) in
            answer.results.iter().zip(expected.iter().zip(&everything))
        {
            assert_eq!(list.len(), expected.len());
            same(
                &list[..list.len().min(3)],
                &expected[..expected.len().min(3)],
                everything,
            );
        }
    }
    opened.tidy_up().await;
    true
}

#[test]
fn every_history_on_qdrant_scores_like_the_oracle() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if !runtime.block_on(run(Vec::new())) {
        return;
    }
    let config = ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&steps(), |steps| {
            runtime.block_on(run(steps));
            Ok(())
        })
        .unwrap();
}
