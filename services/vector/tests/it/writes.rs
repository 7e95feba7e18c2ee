//! Writes under concurrency, cancellation and restarts.

use std::time::Duration;

use touchstone_api::vector::Filter;
use touchstone_vector::store::VectorStore;

use crate::fixtures::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_whole_batches_only() {
    let opened = sqlite_memory().await.unwrap();
    opened.store.ensure(&chunks(), definition()).await.unwrap();
    let writer = async {
        for round in 0..40_u128 {
            let points = (0..10)
                .map(|n| point(round * 10 + n, &[(1, 1.0)]))
                .collect();
            opened.store.upsert(&part(1), points).await.unwrap();
        }
    };
    let reader = async {
        loop {
            let wanted = search(vec![by_bm25(&[(1, 1.0)])], 1000);
            let hits = opened
                .store
                .query(&all(1), wanted)
                .await
                .unwrap()
                .results
                .remove(0);
            assert_eq!(hits.len() % 10, 0);
            if hits.len() == 400 {
                break;
            }
        }
    };
    tokio::join!(writer, reader);
}

#[tokio::test]
async fn concurrent_writers_of_the_same_ids_leave_one_point_each() {
    let opened = sqlite_memory().await.unwrap();
    opened.store.ensure(&chunks(), definition()).await.unwrap();
    let write = |round: u32| {
        let points = (0..10).map(|n| point(n, &[(round, 1.0)])).collect();
        let store = opened.store.clone();
        async move { store.upsert(&part(1), points).await.unwrap() }
    };
    futures_util::future::join_all((0..20).map(write)).await;
    assert_eq!(opened.store.count(&all(1)).await.unwrap(), 10);
    let mut found = 0;
    for round in 0..20 {
        let wanted = search(vec![by_bm25(&[(round, 1.0)])], 100);
        found += opened.store.query(&all(1), wanted).await.unwrap().results[0].len();
    }
    assert_eq!(
        found, 10,
        "every point has the terms of its last write only"
    );
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_part_index_and_rows() {
    let directory = tempfile::tempdir().unwrap();
    let uri = uri(directory.path());
    let opened = open(&uri).await;
    opened.store.ensure(&chunks(), definition()).await.unwrap();
    for round in 0..100_u128 {
        let points = (0..5).map(|n| point(round * 5 + n, &[(1, 1.0)])).collect();
        let scope = part(1);
        let mut write = opened.store.upsert(&scope, points);
        // Each round leaves at a later point of the write, or stays to its end.
        for _ in 0..round * 100 {
            if futures_util::poll!(&mut write).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    assert!(
        opened
            .life
            .shutdown(Duration::from_mins(1))
            .await
            .is_clean()
    );
    let kept = ids(&*opened.store).await;
    let reopened = open(&uri).await;
    assert_eq!(ids(&*reopened.store).await, kept);
    assert_eq!(kept.len() % 5, 0);
}

#[tokio::test]
async fn a_restart_gives_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let uri = uri(directory.path());
    let opened = open(&uri).await;
    opened.store.ensure(&chunks(), definition()).await.unwrap();
    for round in 0..30_u128 {
        let make = |n: u128| {
            let weight = |term: u32| ((n as u32 * 7 + term * 13) % 97) as f32 / 31.0;
            let terms = (0..40).filter(|term| !(n as u32 + term).is_multiple_of(3));
            let mut point = point(n, &terms.map(|t| (t, weight(t))).collect::<Vec<_>>());
            point.dense = Some(vec![weight(1) + 0.1, weight(2), weight(3)]);
            point
        };
        let points = (0..20).map(|n| make((round * 17 + n * 5) % 400)).collect();
        opened.store.upsert(&part(1), points).await.unwrap();
        if round % 7 == 6 {
            opened
                .store
                .delete(&narrowed(1, of_documents(&[round, round + 1])))
                .await
                .unwrap();
        }
    }
    let wanted = || {
        let query: Vec<_> = (0..40)
            .map(|term| (term, 1.0 / (term + 1) as f32))
            .collect();
        let dense = touchstone_api::vector::QueryVector::Dense(vec![0.3, 0.2, 0.1]);
        let mut wanted = search(vec![by_bm25(&query), dense], 50);
        wanted.complete_scores = true;
        wanted.with_payload = true;
        wanted
    };
    let before = opened.store.query(&all(1), wanted()).await.unwrap();
    assert!(
        opened
            .life
            .shutdown(Duration::from_mins(1))
            .await
            .is_clean()
    );
    drop(opened);
    let reopened = open(&uri).await;
    let after = reopened.store.query(&all(1), wanted()).await.unwrap();
    let bytes = |answer| serde_json::to_vec(answer).unwrap();
    assert_eq!(bytes(&before), bytes(&after));
}

async fn ids(store: &dyn VectorStore) -> Vec<touchstone_types::ChunkId> {
    let page = touchstone_vector::store::Page {
        after: None,
        limit: 1000,
        with_vectors: false,
    };
    let points = store
        .scroll(&narrowed(1, Filter::default()), page)
        .await
        .unwrap()
        .points;
    points.into_iter().map(|point| point.id).collect()
}
