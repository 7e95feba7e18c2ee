//! What every backend of [`Store`] must do; each test runs on each backend.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use touchstone_api::events::{DocumentWork, WorkAction};
use touchstone_types::{
    ByteSpan, Clock, DocumentId, DocumentStatus, EventId, FrozenClock, IdSource, Source, TenantId,
    UserId,
};
use uuid::Uuid;

use super::sqlite::SqliteStore;
use super::*;
use crate::domain::ingestion::Change;

/// A store with everything a test needs around it.
struct Bench {
    store: Arc<dyn Store>,
    clock: Arc<FrozenClock>,
    ids: IdSource,
    tenant: TenantId,
    _dir: Option<tempfile::TempDir>,
}

impl Bench {
    fn new(store: Arc<dyn Store>, dir: Option<tempfile::TempDir>) -> Self {
        let clock = Arc::new(FrozenClock::default());
        let ids = IdSource::seeded(clock.clone(), 1);
        let tenant = ids.next();
        Self {
            store,
            clock,
            ids,
            tenant,
            _dir: dir,
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn stamp(&self) -> Stamp {
        let at = self.now();
        Stamp {
            event: self.ids.next(),
            at,
            visible_at: at,
            traceparent: None,
        }
    }

    fn upload(&self, name: &str) -> Accept {
        // Ids of one millisecond are in no order.
        self.clock.advance(Duration::from_millis(1));
        Accept {
            tenant: self.tenant,
            user: UserId::from_uuid(Uuid::nil()),
            id: self.ids.next(),
            replaces: false,
            filename: name.to_owned(),
            mime: "text/plain".to_owned(),
            format: "text",
            language: None,
            source: Source::Upload,
            metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            body: Bytes::from(format!("text of {name}")),
            sha256: "00".repeat(32),
            idempotency: None,
            stamp: self.stamp(),
        }
    }

    async fn accept(&self, name: &str) -> DocumentId {
        let item = self.upload(name);
        let answer = self
            .store
            .accept(std::slice::from_ref(&item))
            .await
            .unwrap();
        assert_eq!(
            answer,
            [Accepted::New {
                id: item.id,
                version: 1
            }]
        );
        item.id
    }

    async fn claim(&self) -> (Uuid, Vec<Claimed>) {
        let now = self.now();
        let claim = Claim {
            id: self.ids.next(),
            now,
            until: now + Duration::from_mins(1),
            documents: 10,
            bytes: 1000,
        };
        (claim.id, self.store.claim(&claim).await.unwrap())
    }

    fn parsed(&self, id: DocumentId, version: u32) -> Parsed {
        let at = self.now();
        let body = "Один. Two three.".to_owned();
        let span = |start, end| ByteSpan { start, end };
        Parsed {
            id,
            version,
            title: "Title".to_owned(),
            language: "en".to_owned(),
            chunks: vec![
                NewChunk {
                    ordinal: 0,
                    span: span(0, 9),
                    heading: None,
                },
                NewChunk {
                    ordinal: 1,
                    span: span(10, body.len()),
                    heading: Some("H".to_owned()),
                },
            ],
            body,
            passed: vec![
                Passed {
                    change: Change::Parsed,
                    at,
                    detail: None,
                },
                Passed {
                    change: Change::Chunked,
                    at,
                    detail: Some("2 chunks".to_owned()),
                },
            ],
        }
    }

    fn indexed(&self, id: DocumentId) -> Outcome {
        let at = self.now();
        let step = |change| Passed {
            change,
            at,
            detail: None,
        };
        let passed = vec![step(Change::Embedded), step(Change::Indexed)];
        Outcome::Indexed {
            id,
            passed,
            model: Some("m".to_owned()),
            event: self.ids.next(),
        }
    }

    async fn settle(&self, claim: Uuid, outcome: Outcome) -> bool {
        let settled = self
            .store
            .settle(claim, &[outcome], self.now())
            .await
            .unwrap();
        !settled.is_empty()
    }

    async fn status(&self, id: DocumentId) -> DocumentStatus {
        self.store
            .document(self.tenant, id)
            .await
            .unwrap()
            .unwrap()
            .status
    }

    async fn index(&self, id: DocumentId) {
        let (claim, claimed) = self.claim().await;
        let version = claimed.iter().find(|it| it.id == id).unwrap().version;
        self.store
            .put_chunks(claim, &[self.parsed(id, version)])
            .await
            .unwrap();
        assert!(self.settle(claim, self.indexed(id)).await);
    }

    async fn story(&self, id: DocumentId) -> Vec<String> {
        let timeline = self.store.timeline(self.tenant, id).await.unwrap();
        timeline
            .iter()
            .map(|it| format!("v{} {} #{}", it.version, it.status, it.attempt))
            .collect()
    }
}

macro_rules! contract_suite {
    ($($name:ident),+ $(,)?) => {
        mod sqlite_in_memory {
            $(#[tokio::test] async fn $name() {
                let store = super::SqliteStore::open("sqlite::memory:").await.unwrap();
                super::$name(super::Bench::new(std::sync::Arc::new(store), None)).await;
            })+
        }
        mod sqlite_file {
            $(#[tokio::test] async fn $name() {
                let dir = tempfile::tempdir().unwrap();
                let uri = format!("sqlite://{}", dir.path().join("document.db").display());
                let store = super::SqliteStore::open(&uri).await.unwrap();
                super::$name(super::Bench::new(std::sync::Arc::new(store), Some(dir))).await;
            })+
        }
    };
}

contract_suite!(
    an_accepted_document_can_be_read_by_its_tenant_only,
    a_batch_answers_each_and_refuses_without_a_trace,
    an_idempotency_key_gives_the_first_answer,
    lists_page_newest_first_and_filter,
    work_is_claimed_once_in_groups_of_a_tenant,
    work_is_hidden_until_its_event_or_its_time,
    a_document_goes_its_way_to_indexed,
    a_lease_that_ran_out_is_taken_over_alone_and_counted,
    recovery_frees_every_lease,
    a_wait_is_no_attempt_and_told_once,
    a_failure_becomes_a_dead_letter_and_can_be_retried,
    cancel_while_at_work_makes_the_worker_let_go,
    a_new_version_while_at_work_wins,
    an_indexed_new_version_drops_the_old_one,
    a_deleted_document_is_hidden_at_once_and_purged_when_its_points_are_gone,
    a_rebuild_queues_all_but_the_cancelled,
    stats_count_the_queue,
    old_keys_are_forgotten,
);

async fn an_accepted_document_can_be_read_by_its_tenant_only(bench: Bench) {
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

async fn a_batch_answers_each_and_refuses_without_a_trace(bench: Bench) {
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

async fn an_idempotency_key_gives_the_first_answer(bench: Bench) {
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

async fn lists_page_newest_first_and_filter(bench: Bench) {
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

async fn work_is_claimed_once_in_groups_of_a_tenant(bench: Bench) {
    let a = bench.accept("a").await;
    let b = bench.accept("b").await;
    let mut other = bench.upload("c");
    other.tenant = bench.ids.next();
    bench
        .store
        .accept(std::slice::from_ref(&other))
        .await
        .unwrap();
    bench.clock.advance(Duration::from_millis(1));
    let (_, first) = bench.claim().await;
    let mut claimed: Vec<_> = first.iter().map(|it| it.id).collect();
    claimed.sort();
    assert_eq!(claimed, [a, b]);
    assert_eq!(
        (first[0].attempt(), first[0].status),
        (1, DocumentStatus::Queued)
    );
    let (_, second) = bench.claim().await;
    assert_eq!(
        second.iter().map(|it| it.id).collect::<Vec<_>>(),
        [other.id]
    );
    assert!(bench.claim().await.1.is_empty());
    assert!(!bench.store.has_work(bench.now()).await.unwrap());
}

async fn work_is_hidden_until_its_event_or_its_time(bench: Bench) {
    let later = bench.now() + Duration::from_secs(5);
    let mut item = bench.upload("a");
    item.stamp.visible_at = later;
    bench
        .store
        .accept(std::slice::from_ref(&item))
        .await
        .unwrap();
    assert!(bench.claim().await.1.is_empty());
    let work = DocumentWork {
        tenant_id: bench.tenant,
        document_id: item.id,
        version: 1,
        action: WorkAction::Ingest,
    };
    let event: EventId = bench.ids.next();
    let stale = (bench.ids.next(), DocumentWork { version: 9, ..work });
    let announced = bench
        .store
        .announce(&[stale, (event, work)], bench.now())
        .await
        .unwrap();
    assert_eq!(announced, 1);
    let (claim, claimed) = bench.claim().await;
    assert_eq!(claimed.len(), 1);
    let failure = Failure {
        code: "c".to_owned(),
        message: "m".to_owned(),
    };
    let delay = Duration::from_secs(9);
    bench
        .settle(
            claim,
            Outcome::Again {
                id: item.id,
                failure,
                delay,
            },
        )
        .await;
    // The same event has its effect once; another one does not hurry a failed attempt.
    let again = [(event, work), (bench.ids.next(), work)];
    assert_eq!(bench.store.announce(&again, bench.now()).await.unwrap(), 0);
    assert!(bench.claim().await.1.is_empty());
    bench.clock.advance(delay);
    assert_eq!(bench.claim().await.1[0].attempts, 1);
}

async fn a_document_goes_its_way_to_indexed(bench: Bench) {
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

async fn a_lease_that_ran_out_is_taken_over_alone_and_counted(bench: Bench) {
    let a = bench.accept("a").await;
    bench.accept("b").await;
    let (old, both) = bench.claim().await;
    assert_eq!(both.len(), 2);
    bench.clock.advance(Duration::from_secs(61));
    let (new, one) = bench.claim().await;
    assert_eq!((one.len(), one[0].losses, one[0].attempt()), (1, 1, 2));
    // The old worker wakes up: what was taken over is not its own any more.
    let held = bench.store.held(old).await.unwrap();
    assert!(!held.contains(&one[0].id));
    if one[0].id == a {
        assert!(
            bench
                .store
                .put_chunks(old, &[bench.parsed(a, 1)])
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            bench
                .store
                .put_chunks(new, &[bench.parsed(a, 1)])
                .await
                .unwrap(),
            [a]
        );
    }
    let until = bench.now() + Duration::from_mins(10);
    let renewed = bench.store.renew(new, until, bench.now()).await.unwrap();
    assert_eq!(renewed, [one[0].id]);
    bench.clock.advance(Duration::from_secs(61));
    let (_, other) = bench.claim().await;
    assert_ne!(other[0].id, one[0].id);
    assert!(bench.claim().await.1.is_empty());
}

async fn recovery_frees_every_lease(bench: Bench) {
    let id = bench.accept("a").await;
    bench.claim().await;
    assert!(bench.claim().await.1.is_empty());
    assert_eq!(bench.store.recover(bench.now()).await.unwrap(), 1);
    let (_, claimed) = bench.claim().await;
    assert_eq!((claimed[0].id, claimed[0].losses), (id, 1));
}

async fn a_wait_is_no_attempt_and_told_once(bench: Bench) {
    let id = bench.accept("a").await;
    for round in 0..3 {
        let (claim, claimed) = bench.claim().await;
        assert_eq!((claimed[0].attempts, claimed[0].waits), (0, round));
        let failure = Failure {
            code: "away".to_owned(),
            message: "gone".to_owned(),
        };
        let delay = Duration::from_secs(5);
        let wait = Outcome::Waiting {
            id,
            passed: Vec::new(),
            failure,
            delay,
        };
        assert!(bench.settle(claim, wait).await);
        assert!(bench.claim().await.1.is_empty());
        bench.clock.advance(delay);
    }
    assert_eq!(bench.status(id).await, DocumentStatus::Queued);
    let timeline = bench.store.timeline(bench.tenant, id).await.unwrap();
    assert_eq!(timeline.len(), 2);
    assert_eq!(timeline[1].detail.as_deref(), Some("waits: gone"));
}

async fn a_failure_becomes_a_dead_letter_and_can_be_retried(bench: Bench) {
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

async fn cancel_while_at_work_makes_the_worker_let_go(bench: Bench) {
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

async fn a_new_version_while_at_work_wins(bench: Bench) {
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

async fn an_indexed_new_version_drops_the_old_one(bench: Bench) {
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

async fn a_deleted_document_is_hidden_at_once_and_purged_when_its_points_are_gone(bench: Bench) {
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

async fn a_rebuild_queues_all_but_the_cancelled(bench: Bench) {
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

async fn stats_count_the_queue(bench: Bench) {
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

async fn old_keys_are_forgotten(bench: Bench) {
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
