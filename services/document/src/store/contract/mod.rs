//! What every backend of [`Store`] must do; each test runs on each backend.

mod faults;
mod life;
mod parallel;
mod requests;
mod work;

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

use self::life::*;
use self::parallel::*;
use self::requests::*;
use self::work::*;
use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::*;
use crate::domain::ingestion::Change;

/// A store with everything a test needs around it.
struct Bench {
    store: Arc<dyn Store>,
    clock: Arc<FrozenClock>,
    ids: IdSource,
    tenant: TenantId,
    /// Whether other processes may work on the store too.
    shared: bool,
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
            shared: false,
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
        mod postgres {
            $(#[tokio::test] async fn $name() {
                let Some(url) = touchstone_test_services::postgres_database().await else {
                    return;
                };
                let options = touchstone_store::postgres::Options::default();
                let store = super::PostgresStore::open(&url, &options).await.unwrap();
                let bench = super::Bench::new(std::sync::Arc::new(store), None);
                super::$name(super::Bench { shared: true, ..bench }).await;
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
    recovery_frees_the_leases_of_the_dead,
    a_wait_is_no_attempt_and_told_once,
    a_failure_becomes_a_dead_letter_and_can_be_retried,
    cancel_while_at_work_makes_the_worker_let_go,
    a_new_version_while_at_work_wins,
    an_indexed_new_version_drops_the_old_one,
    a_deleted_document_is_hidden_at_once_and_purged_when_its_points_are_gone,
    a_rebuild_queues_all_but_the_cancelled,
    stats_count_the_queue,
    old_keys_are_forgotten,
    a_key_used_at_once_makes_one_document,
    new_versions_at_once_are_numbered_in_a_row,
    workers_that_claim_at_once_share_the_work,
    requests_and_workers_at_once_agree_on_the_end,
    an_accept_whose_answer_got_lost_can_be_repeated,
);

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    use touchstone_store::postgres::explain::{Tables, explain};
    let Some(url) = touchstone_test_services::postgres_database().await else {
        return;
    };
    let report = explain(
        &url,
        &crate::store::postgres::EXPLAINED,
        Tables::Scratch(40_000),
    )
    .await
    .unwrap();
    let misses: Vec<_> = report.misses().collect();
    assert!(misses.is_empty(), "{misses:#?}");
}
