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
                let ask = |limit, all| oracle.query(tenant(number), &queries, limit, &filter, all);
                let (expected, everything) = (ask(limit, complete), ask(1000, true));
                let mut wanted = search(queries.clone(), limit);
                wanted.complete_scores = complete;
                let scoped = narrowed(number, filter.clone());
                let answer = opened.store.query(&scoped, wanted).await.unwrap();
                for (number, list) in answer.results.iter().enumerate() {
                    same(list, &expected[number], &everything[number]);
                }
            }
            Step::Reopen => same_points(&*opened.store, &oracle).await,
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
        cases: 8,
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
