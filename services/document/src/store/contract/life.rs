//! The ways of a document through its states.

use super::*;

pub async fn a_document_goes_its_way_to_indexed(bench: Bench) {
    let id = bench.accept("a.txt").await;
    let (claim, claimed) = bench.claim().await;
    assert_eq!(claimed[0].filename, "a.txt");
    let originals = bench.store.originals(&[(id, 1)]).await.unwrap();
    assert_eq!(originals, [(id, Bytes::from("text of a.txt"))]);
    assert_eq!(bench.store.held(claim).await.unwrap(), [id]);
    let parsed = bench.parsed(id, 1);
    assert_eq!(
        bench
            .store
            .put_chunks(claim, std::slice::from_ref(&parsed))
            .await
            .unwrap(),
        [id]
    );
    assert_eq!(bench.status(id).await, DocumentStatus::Chunked);
    let (text, chunks) = bench.store.stored(id, 1).await.unwrap().unwrap();
    assert_eq!(
        (text.body.as_str(), &chunks),
        (parsed.body.as_str(), &parsed.chunks)
    );
    let piece = |number, start, length| Piece {
        number,
        id,
        version: 1,
        start,
        length,
    };
    let wanted = [
        piece(4, 1, 2),
        piece(5, 10, 99),
        Piece {
            version: 2,
            ..piece(6, 0, 1)
        },
    ];
    let mut pieces = bench.store.pieces(bench.tenant, &wanted).await.unwrap();
    pieces.sort_by_key(|piece| piece.number);
    let pieces: Vec<_> = pieces
        .iter()
        .map(|it| (it.number, &it.body[..], it.ends))
        .collect();
    let bytes = parsed.body.as_bytes();
    assert_eq!(pieces, [(4, &bytes[1..3], false), (5, &bytes[10..], true)]);
    assert!(bench.settle(claim, bench.indexed(id)).await);
    let document = bench
        .store
        .document(bench.tenant, id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (document.status, document.chunk_count),
        (DocumentStatus::Indexed, 2)
    );
    assert_eq!(
        (document.title.as_str(), document.language.as_str()),
        ("Title", "en")
    );
    let listed = bench
        .store
        .chunks(bench.tenant, id, 1, 1, 10)
        .await
        .unwrap();
    assert_eq!(
        (listed.model.as_deref(), &listed.chunks[..]),
        (Some("m"), &parsed.chunks[1..])
    );
    assert_eq!(
        bench.story(id).await,
        [
            "v1 queued #1",
            "v1 parsed #1",
            "v1 chunked #1",
            "v1 embedded #1",
            "v1 indexed #1"
        ]
    );
    bench.clock.advance(Duration::from_hours(1));
    assert!(bench.claim().await.1.is_empty());
    // A worker that comes late changes nothing.
    let late = bench.store.put_chunks(claim, &[parsed]).await.unwrap();
    assert!(late.is_empty() && !bench.settle(claim, bench.indexed(id)).await);
}

pub async fn a_failure_becomes_a_dead_letter_and_can_be_retried(bench: Bench) {
    let id = bench.accept("a").await;
    let (claim, _) = bench.claim().await;
    let failure = Failure {
        code: "document.damaged".to_owned(),
        message: "torn".to_owned(),
    };
    let event = bench.ids.next();
    let failed = Outcome::Failed {
        id,
        failure: failure.clone(),
        points: true,
        event,
    };
    assert!(bench.settle(claim, failed).await);
    let document = bench
        .store
        .document(bench.tenant, id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(document.status, DocumentStatus::Failed);
    assert_eq!(document.failure.unwrap().code, "document.damaged");
    let dead = bench
        .store
        .dead_letters(bench.tenant, None, 10)
        .await
        .unwrap();
    assert_eq!(
        (dead.len(), dead[0].id, &dead[0].failure),
        (1, id, &failure)
    );
    assert!(
        bench
            .store
            .dead_letters(bench.tenant, Some(id), 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        bench
            .store
            .dead_letters(bench.ids.next(), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    // Its points are still to be removed.
    let (claim, claimed) = bench.claim().await;
    assert_eq!(claimed[0].action, WorkAction::Remove);
    // Retried meanwhile: the removal in work is let go, and the ingestion clears first.
    let stamp = bench.stamp();
    assert_eq!(
        bench.store.retry(bench.tenant, id, &stamp).await.unwrap(),
        Some(Ok(1))
    );
    assert!(!bench.settle(claim, Outcome::Removed { id }).await);
    let (claim, claimed) = bench.claim().await;
    assert_eq!(
        (claimed[0].action, claimed[0].rebuild),
        (WorkAction::Ingest, true)
    );
    assert!(
        bench
            .store
            .dead_letters(bench.tenant, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    bench
        .store
        .put_chunks(claim, &[bench.parsed(id, 1)])
        .await
        .unwrap();
    assert!(bench.settle(claim, bench.indexed(id)).await);
    let refused = bench
        .store
        .retry(bench.tenant, id, &bench.stamp())
        .await
        .unwrap();
    assert_eq!(
        refused.unwrap().unwrap_err().status,
        DocumentStatus::Indexed
    );
}

pub async fn cancel_while_at_work_makes_the_worker_let_go(bench: Bench) {
    let id = bench.accept("a").await;
    let (claim, _) = bench.claim().await;
    let cancelled = bench
        .store
        .cancel(bench.tenant, id, &bench.stamp())
        .await
        .unwrap();
    assert_eq!(cancelled, Some(Ok(1)));
    // Nobody removes points while the worker may still write some.
    assert!(bench.claim().await.1.is_empty());
    assert!(bench.store.held(claim).await.unwrap().is_empty());
    assert!(
        bench
            .store
            .put_chunks(claim, &[bench.parsed(id, 1)])
            .await
            .unwrap()
            .is_empty()
    );
    let (claim, claimed) = bench.claim().await;
    assert_eq!(
        (claimed[0].action, claimed[0].losses),
        (WorkAction::Remove, 0)
    );
    assert!(bench.settle(claim, Outcome::Removed { id }).await);
    assert_eq!(bench.status(id).await, DocumentStatus::Cancelled);
    assert_eq!(bench.store.stats().await.unwrap().queued, 0);
    let refused = bench
        .store
        .cancel(bench.tenant, id, &bench.stamp())
        .await
        .unwrap();
    assert_eq!(
        refused.unwrap().unwrap_err().status,
        DocumentStatus::Cancelled
    );
    assert_eq!(
        bench
            .store
            .retry(bench.tenant, id, &bench.stamp())
            .await
            .unwrap(),
        Some(Ok(1))
    );
    assert_eq!(bench.status(id).await, DocumentStatus::Queued);
}

pub async fn a_new_version_while_at_work_wins(bench: Bench) {
    let id = bench.accept("a").await;
    let (claim, _) = bench.claim().await;
    bench
        .store
        .put_chunks(claim, &[bench.parsed(id, 1)])
        .await
        .unwrap();
    let next = Accept {
        id,
        replaces: true,
        ..bench.upload("b.txt")
    };
    let answer = bench.store.accept(&[next]).await.unwrap();
    assert_eq!(answer, [Accepted::New { id, version: 2 }]);
    let document = bench
        .store
        .document(bench.tenant, id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (document.status, document.version),
        (DocumentStatus::Queued, 2)
    );
    assert_eq!(
        (document.filename.as_str(), document.chunk_count),
        ("b.txt", 0)
    );
    assert!(bench.store.text(bench.tenant, id).await.unwrap().is_none());
    assert!(!bench.settle(claim, bench.indexed(id)).await);
    let (_, claimed) = bench.claim().await;
    assert_eq!(
        (claimed[0].version, claimed[0].action),
        (2, WorkAction::Ingest)
    );
}

pub async fn an_indexed_new_version_drops_the_old_one(bench: Bench) {
    let id = bench.accept("a").await;
    bench.index(id).await;
    let next = Accept {
        id,
        replaces: true,
        ..bench.upload("b.txt")
    };
    bench.store.accept(&[next]).await.unwrap();
    // Until the new version is indexed, passages of the old one can still be read.
    let both = [(id, 1), (id, 2)];
    assert_eq!(
        bench.store.texts(bench.tenant, &both).await.unwrap().len(),
        1
    );
    bench.index(id).await;
    let texts = bench.store.texts(bench.tenant, &both).await.unwrap();
    assert_eq!(
        texts.iter().map(|text| text.version).collect::<Vec<_>>(),
        [2]
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
    assert!(bench.store.originals(&[(id, 1)]).await.unwrap().is_empty());
    assert_eq!(bench.story(id).await.len(), 10);
}
