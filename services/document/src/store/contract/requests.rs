//! What requests may rely on.

use super::*;

pub async fn an_accepted_document_can_be_read_by_its_tenant_only(bench: Bench) {
    let id = bench.accept("a.txt").await;
    let document = bench
        .store
        .document(bench.tenant, id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((document.filename.as_str(), document.version), ("a.txt", 1));
    assert_eq!(
        (document.status, document.size_bytes),
        (DocumentStatus::Queued, 13)
    );
    assert_eq!(
        document.metadata,
        BTreeMap::from([("k".to_owned(), "v".to_owned())])
    );
    let original = bench
        .store
        .original(bench.tenant, id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(original.body, "text of a.txt");
    assert_eq!(bench.story(id).await, ["v1 queued #1"]);
    bench.index(id).await;

    let other: TenantId = bench.ids.next();
    let store = &bench.store;
    assert!(store.document(other, id).await.unwrap().is_none());
    assert!(store.text(other, id).await.unwrap().is_none());
    assert!(store.texts(other, &[(id, 1)]).await.unwrap().is_empty());
    let piece = Piece {
        number: 0,
        id,
        version: 1,
        start: 0,
        length: 9,
    };
    assert!(store.pieces(other, &[piece]).await.unwrap().is_empty());
    assert!(store.original(other, id).await.unwrap().is_none());
    assert!(
        store
            .chunks(other, id, 1, 0, 10)
            .await
            .unwrap()
            .chunks
            .is_empty()
    );
    assert!(store.timeline(other, id).await.unwrap().is_empty());
    assert!(
        store
            .list(other, &ListFilter::default(), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(!store.delete(other, id, &bench.stamp()).await.unwrap());
    assert!(
        store
            .retry(other, id, &bench.stamp())
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .cancel(other, id, &bench.stamp())
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(store.rebuild(Some(other), bench.now()).await.unwrap(), 0);
    let replace = Accept {
        tenant: other,
        id,
        replaces: true,
        ..bench.upload("b.txt")
    };
    assert_eq!(store.accept(&[replace]).await.unwrap(), [Accepted::Unknown]);
    assert!(store.document(bench.tenant, id).await.unwrap().is_some());
}

pub async fn a_batch_answers_each_and_refuses_without_a_trace(bench: Bench) {
    let (a, b) = (bench.upload("a"), bench.upload("b"));
    let unknown = Accept {
        replaces: true,
        ..bench.upload("c")
    };
    let answers = bench
        .store
        .accept(&[a.clone(), unknown, b.clone()])
        .await
        .unwrap();
    assert_eq!(
        answers,
        [
            Accepted::New {
                id: a.id,
                version: 1
            },
            Accepted::Unknown,
            Accepted::New {
                id: b.id,
                version: 1
            }
        ]
    );
    let all = bench
        .store
        .list(bench.tenant, &ListFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(bench.store.stats().await.unwrap().queued, 2);
}

pub async fn an_idempotency_key_gives_the_first_answer(bench: Bench) {
    let with = |hash: u8, item: Accept| Accept {
        idempotency: Some(("key".to_owned(), [hash; 32])),
        ..item
    };
    let first = with(1, bench.upload("a"));
    let id = first.id;
    let again = with(1, bench.upload("a"));
    let other = with(2, bench.upload("b"));
    let mut elsewhere = with(2, bench.upload("b"));
    elsewhere.tenant = bench.ids.next();
    let their = elsewhere.id;
    // Within a batch, and in a later one.
    let answers = bench
        .store
        .accept(&[first, again.clone(), other.clone()])
        .await
        .unwrap();
    let repeated = Accepted::Repeated { id, version: 1 };
    assert_eq!(
        answers,
        [
            Accepted::New { id, version: 1 },
            repeated,
            Accepted::Mismatch
        ]
    );
    let answers = bench
        .store
        .accept(&[again, other, elsewhere])
        .await
        .unwrap();
    let new = Accepted::New {
        id: their,
        version: 1,
    };
    assert_eq!(answers, [repeated, Accepted::Mismatch, new]);
    assert_eq!(bench.store.stats().await.unwrap().queued, 2);
}

pub async fn lists_page_newest_first_and_filter(bench: Bench) {
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(bench.accept(name).await);
    }
    bench
        .store
        .cancel(bench.tenant, ids[1], &bench.stamp())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let list = async |filter: ListFilter, after, limit| -> Vec<DocumentId> {
        let found = bench
            .store
            .list(bench.tenant, &filter, after, limit)
            .await
            .unwrap();
        found.iter().map(|document| document.id).collect()
    };
    assert_eq!(list(ListFilter::default(), None, 2).await, [ids[2], ids[1]]);
    assert_eq!(list(ListFilter::default(), Some(ids[1]), 2).await, [ids[0]]);
    let queued = ListFilter {
        status: Some(DocumentStatus::Queued),
        ..ListFilter::default()
    };
    assert_eq!(list(queued, None, 9).await, [ids[2], ids[0]]);
    let demo = ListFilter {
        source: Some(Source::Demo),
        ..ListFilter::default()
    };
    assert!(list(demo, None, 9).await.is_empty());
    let first = bench
        .store
        .document(bench.tenant, ids[0])
        .await
        .unwrap()
        .unwrap()
        .created_at;
    let after = ListFilter {
        created_after: Some(first),
        ..ListFilter::default()
    };
    assert_eq!(list(after, None, 9).await.len(), 3);
    let before = ListFilter {
        created_before: Some(first),
        ..ListFilter::default()
    };
    assert!(list(before, None, 9).await.is_empty());
}

pub async fn a_deleted_document_is_hidden_at_once_and_purged_when_its_points_are_gone(
    bench: Bench,
) {
    let id = bench.accept("a").await;
    bench.index(id).await;
    assert!(
        bench
            .store
            .delete(bench.tenant, id, &bench.stamp())
            .await
            .unwrap()
    );
    assert!(
        !bench
            .store
            .delete(bench.tenant, id, &bench.stamp())
            .await
            .unwrap()
    );
    assert!(
        bench
            .store
            .document(bench.tenant, id)
            .await
            .unwrap()
            .is_none()
    );
    assert!(bench.store.text(bench.tenant, id).await.unwrap().is_none());
    assert!(
        bench
            .store
            .texts(bench.tenant, &[(id, 1)])
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        bench
            .store
            .original(bench.tenant, id)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        bench
            .store
            .timeline(bench.tenant, id)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        bench
            .store
            .chunks(bench.tenant, id, 1, 0, 9)
            .await
            .unwrap()
            .chunks
            .is_empty()
    );
    assert_eq!(bench.store.originals(&[(id, 1)]).await.unwrap().len(), 1);
    let (claim, claimed) = bench.claim().await;
    assert_eq!(claimed[0].action, WorkAction::Remove);
    assert!(bench.settle(claim, Outcome::Removed { id }).await);
    assert!(bench.store.originals(&[(id, 1)]).await.unwrap().is_empty());
    assert!(bench.store.stored(id, 1).await.unwrap().is_none());
    assert_eq!(bench.store.stats().await.unwrap(), Stats::default());
}

pub async fn a_rebuild_queues_all_but_the_cancelled(bench: Bench) {
    let (done, stopped) = (bench.accept("a").await, bench.accept("b").await);
    bench
        .store
        .cancel(bench.tenant, stopped, &bench.stamp())
        .await
        .unwrap();
    let (claim, _) = bench.claim().await;
    bench
        .store
        .put_chunks(claim, &[bench.parsed(done, 1)])
        .await
        .unwrap();
    bench.settle(claim, bench.indexed(done)).await;
    bench.settle(claim, Outcome::Removed { id: stopped }).await;
    let mut other = bench.upload("c");
    other.tenant = bench.ids.next();
    bench
        .store
        .accept(std::slice::from_ref(&other))
        .await
        .unwrap();
    assert_eq!(
        bench
            .store
            .rebuild(Some(bench.tenant), bench.now())
            .await
            .unwrap(),
        1
    );
    assert_eq!(bench.store.rebuild(None, bench.now()).await.unwrap(), 2);
    assert_eq!(bench.status(done).await, DocumentStatus::Queued);
    assert_eq!(bench.status(stopped).await, DocumentStatus::Cancelled);
    bench.clock.advance(Duration::from_millis(1));
    let mut claimed = bench.claim().await.1;
    claimed.extend(bench.claim().await.1);
    assert!(claimed.iter().all(|it| it.rebuild) && claimed.len() == 2);
}

pub async fn stats_count_the_queue(bench: Bench) {
    assert_eq!(bench.store.stats().await.unwrap(), Stats::default());
    bench.accept("a").await;
    let oldest = bench.now();
    bench.accept("b").await;
    let stats = bench.store.stats().await.unwrap();
    assert_eq!(
        (stats.queued, stats.oldest, stats.dead_letters),
        (2, Some(oldest), 0)
    );
}

pub async fn old_keys_are_forgotten(bench: Bench) {
    let item = Accept {
        idempotency: Some(("key".to_owned(), [1; 32])),
        ..bench.upload("a")
    };
    bench
        .store
        .accept(std::slice::from_ref(&item))
        .await
        .unwrap();
    let day = Duration::from_hours(24);
    assert_eq!(bench.store.prune(bench.now(), day).await.unwrap(), 0);
    bench.clock.advance(day + Duration::from_secs(1));
    assert_eq!(bench.store.prune(bench.now(), day).await.unwrap(), 1);
}
