//! A Qdrant that dies, is slow, or loses what it held.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qdrant_client::Qdrant;
use touchstone_api::vector::Point;
use touchstone_error::{Classify, ErrorKind};
use touchstone_test_services::Exclusive;
use touchstone_testing::faults::{Fault, TcpProxy};
use touchstone_types::ChunkId;
use touchstone_vector::store::{Page, VectorStore};

use crate::fixtures::*;

fn batch(round: u128) -> Vec<Point> {
    (0..50)
        .map(|n| point(round * 50 + n, &[(1, 1.0), (n as u32 + 2, 0.5)]))
        .collect()
}

async fn ids(store: &dyn VectorStore) -> BTreeSet<ChunkId> {
    let (mut ids, mut after) = (BTreeSet::new(), None);
    loop {
        let page = Page {
            after,
            limit: 1000,
            with_vectors: false,
        };
        let answer = store.scroll(&all(1), page).await.unwrap();
        ids.extend(answer.points.iter().map(|point| point.id));
        after = answer.next;
        if after.is_none() {
            return ids;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_during_upserts_keeps_what_was_answered_and_takes_the_rest_again() {
    let Some(server) = Exclusive::qdrant().await else {
        return;
    };
    let opened = open_qdrant(server.url(), qdrant_options());
    opened.life.ready().await;
    opened.store.ensure(&chunks(), definition()).await.unwrap();
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let store = Arc::clone(&opened.store);
    let writer = async move {
        let mut failed = Vec::new();
        for round in 0..40 {
            match store.upsert(&part(1), batch(round)).await {
                Ok(50) => told.send(round).unwrap(),
                Ok(other) => panic!("{other} points written"),
                Err(error) => {
                    let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout];
                    assert!(kinds.contains(&error.kind()), "{error:?}");
                    failed.push(round);
                }
            }
        }
        failed
    };
    let killer = async {
        let mut answered = Vec::new();
        while answered.len() < 3 {
            answered.push(tells.recv().await.unwrap());
        }
        server.kill().await;
        answered
    };
    let (failed, mut answered) = tokio::join!(writer, killer);
    while let Ok(round) = tells.try_recv() {
        answered.push(round);
    }
    assert!(!failed.is_empty(), "the fault met no write");
    server.restart().await;

    // The first call may meet the broken connection; the store connects anew by itself.
    let kept = ids(&*opened.store).await;
    let promised = answered.iter().flat_map(|round| batch(*round));
    for point in promised {
        assert!(kept.contains(&point.id), "an answered point is gone");
    }
    // Whoever got no answer writes again: ids are derived, so nothing stands twice.
    for round in failed {
        opened.store.upsert(&part(1), batch(round)).await.unwrap();
    }
    let everything: BTreeSet<_> = (0..40).flat_map(batch).map(|point| point.id).collect();
    assert_eq!(ids(&*opened.store).await, everything);
    assert_eq!(opened.store.count(&all(1)).await.unwrap(), 2000);
}

#[tokio::test]
async fn a_frozen_server_costs_no_more_than_the_deadline() {
    let Some(server) = Exclusive::qdrant().await else {
        return;
    };
    let mut options = qdrant_options();
    options.read_timeout = Duration::from_millis(500);
    let opened = open_qdrant(server.url(), options);
    opened.life.ready().await;
    opened.store.ensure(&chunks(), definition()).await.unwrap();
    opened.store.upsert(&part(1), batch(0)).await.unwrap();

    server.freeze().await;
    let started = Instant::now();
    let error = opened.store.count(&all(1)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Timeout, "vector.qdrant_timeout")
    );
    // The deadline and a quarter of a second, and what a busy machine adds.
    assert!(started.elapsed() < Duration::from_secs(5));
    server.thaw().await;
    assert_eq!(opened.store.count(&all(1)).await.unwrap(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_or_broken_line_is_told_in_time_and_heals_by_itself() {
    let Some(server) = Exclusive::qdrant().await else {
        return;
    };
    let mut options = qdrant_options();
    // Made on the short way, with patience: indexes take their time.
    let direct = open_qdrant(server.url(), options.clone());
    direct.store.ensure(&chunks(), definition()).await.unwrap();
    direct.store.upsert(&part(1), batch(0)).await.unwrap();

    let proxy = TcpProxy::start(server.address()).await;
    options.read_timeout = Duration::from_secs(2);
    options.write_timeout = Duration::from_secs(2);
    let opened = open_qdrant(&proxy.url("http"), options);
    opened.life.ready().await;
    assert_eq!(opened.store.count(&all(1)).await.unwrap(), 50);

    let kinds = [ErrorKind::Timeout, ErrorKind::Unavailable];
    for fault in [
        Fault::Latency {
            delay: Duration::from_secs(5),
        },
        Fault::Blackhole,
        Fault::Refuse,
    ] {
        let hits = proxy.hits();
        proxy.set(fault).await;
        let started = Instant::now();
        let read = opened.store.count(&all(1)).await.unwrap_err();
        let write = opened.store.upsert(&part(1), batch(1)).await.unwrap_err();
        assert!(kinds.contains(&read.kind()), "{fault:?}: {read:?}");
        assert!(kinds.contains(&write.kind()), "{fault:?}: {write:?}");
        // Two deadlines, and what a busy machine adds.
        assert!(started.elapsed() < Duration::from_secs(10), "{fault:?}");
        assert!(proxy.hits() > hits, "{fault:?} touched no connection");
        proxy.set(Fault::None).await;
        let healed = async { while opened.store.upsert(&part(1), batch(1)).await.is_err() {} };
        tokio::time::timeout(Duration::from_mins(1), healed)
            .await
            .unwrap();
        assert_eq!(opened.store.count(&all(1)).await.unwrap(), 100, "{fault:?}");
    }
}

#[tokio::test]
async fn a_lost_collection_is_told_with_advice_and_a_rebuild_gives_the_same_ids() {
    let Some(server) = touchstone_test_services::qdrant().await else {
        return;
    };
    let options = qdrant_options();
    let native = format!("{}{}", options.prefix, chunks());
    let opened = open_qdrant(server.url(), options);
    opened.life.ready().await;
    let store = &*opened.store;
    store.ensure(&chunks(), definition()).await.unwrap();
    store.upsert(&part(1), batch(0)).await.unwrap();
    let before = ids(store).await;

    let raw = Qdrant::from_url(server.url())
        .skip_compatibility_check()
        .build()
        .unwrap();
    raw.delete_collection(&native).await.unwrap();
    let wanted = search(vec![by_bm25(&[(1, 1.0)])], 10);
    for error in [
        store.query(&all(1), wanted).await.unwrap_err(),
        store.count(&all(1)).await.unwrap_err(),
        store.upsert(&part(1), batch(1)).await.unwrap_err(),
        store.delete(&all(1)).await.unwrap_err(),
        store.definition(&chunks()).await.unwrap_err(),
    ] {
        let told = (error.kind(), error.code());
        assert_eq!(told, (ErrorKind::Unavailable, "vector.collection_lost"));
        assert!(error.detail().contains("touchstone reindex"));
    }

    // What `touchstone reindex` does: remove, make anew, write everything again.
    assert!(!store.remove(&chunks()).await.unwrap());
    store.ensure(&chunks(), definition()).await.unwrap();
    assert_eq!(store.count(&all(1)).await.unwrap(), 0);
    store.upsert(&part(1), batch(0)).await.unwrap();
    assert_eq!(ids(store).await, before);
    opened.tidy_up().await;
}

#[tokio::test]
async fn a_collection_of_somebody_else_is_left_alone() {
    let Some(server) = touchstone_test_services::qdrant().await else {
        return;
    };
    let options = qdrant_options();
    let native = format!("{}{}", options.prefix, chunks());
    let opened = open_qdrant(server.url(), options);
    opened.life.ready().await;
    let raw = Qdrant::from_url(server.url())
        .skip_compatibility_check()
        .build()
        .unwrap();
    let request = qdrant_client::qdrant::CreateCollectionBuilder::new(&native);
    raw.create_collection(request).await.unwrap();
    let error = opened
        .store
        .ensure(&chunks(), definition())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "vector.foreign_collection");
    assert!(raw.collection_exists(&native).await.unwrap());
    raw.delete_collection(&native).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_is_taken_of_what_stands() {
    let Some(server) = touchstone_test_services::qdrant().await else {
        return;
    };
    let options = qdrant_options();
    let native = format!("{}{}", options.prefix, chunks());
    let life = touchstone_lifecycle::Lifecycle::new();
    let metrics = touchstone_vector::Metrics::new(&touchstone_telemetry::Metrics::new());
    let store =
        touchstone_vector::store::QdrantStore::open(server.url(), options, &life, metrics).unwrap();
    assert_eq!(
        store.snapshot(&chunks()).await.unwrap_err().code(),
        "vector.unknown_collection"
    );
    store.ensure(&chunks(), definition()).await.unwrap();
    store.upsert(&part(1), batch(0)).await.unwrap();
    let name = store.snapshot(&chunks()).await.unwrap();
    let raw = Qdrant::from_url(server.url())
        .skip_compatibility_check()
        .build()
        .unwrap();
    let listed = raw.list_snapshots(&native).await.unwrap();
    assert!(
        listed
            .snapshot_descriptions
            .iter()
            .any(|found| found.name == name)
    );
    store.remove(&chunks()).await.unwrap();
}
