use std::sync::Arc;
use std::time::Duration;

use touchstone_api::vector::{Filter, Payload, Point};
use touchstone_error::{Classify, ErrorKind};
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{ChunkId, Clock, DocumentId, FrozenClock, Source, SparseVector, TenantId};
use uuid::Uuid;

use super::{EmbeddedStore, ScopedFilter, VectorStore};
use crate::domain::{CollectionName, Definition, TenantScope};
use crate::{CpuPool, Metrics};

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(7));

fn scope() -> TenantScope {
    TenantScope::new(TENANT, CollectionName::parse("chunks").unwrap())
}

fn everything() -> ScopedFilter {
    ScopedFilter::new(scope(), Filter::default())
}

fn point(number: u128) -> Point {
    let vector = SparseVector {
        indices: vec![1],
        values: vec![1.0],
    };
    Point {
        id: ChunkId::from_uuid(Uuid::from_u128(number)),
        payload: Payload {
            document_id: DocumentId::from_uuid(Uuid::from_u128(1)),
            version: 1,
            ordinal: 0,
            start: 0,
            end: 0,
            text: "x".repeat(1000),
            title: String::new(),
            heading: None,
            language: "en".to_owned(),
            source: Source::Upload,
            created_at: FrozenClock::default().now(),
            metadata: touchstone_api::document::Metadata::new(),
        },
        dense: None,
        sparse: [("bm25".to_owned(), vector)].into(),
    }
}

pub(super) async fn open(uri: &str, life: &Lifecycle) -> EmbeddedStore {
    let metrics = Metrics::new(&touchstone_telemetry::Metrics::new());
    let pool = CpuPool::new(1, 64).unwrap();
    let clock = Arc::new(FrozenClock::default());
    EmbeddedStore::open(uri, 1 << 20, pool, life, clock, metrics)
        .await
        .unwrap()
}

async fn with_points(store: &EmbeddedStore, count: u128) {
    let wanted = Definition {
        dense: None,
        sparse: vec!["bm25".to_owned()],
    };
    store.ensure(scope().collection(), wanted).await.unwrap();
    store
        .upsert(&scope(), (0..count).map(point).collect())
        .await
        .unwrap();
}

async fn execute(store: &EmbeddedStore, statement: String) {
    let mut tx = store.inner.rows.database().begin().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_index_and_rows_as_they_were() {
    let life = Lifecycle::new();
    let store = open("sqlite::memory:", &life).await;
    with_points(&store, 3).await;
    execute(&store, "PRAGMA max_page_count = 1".to_owned()).await;
    let error = store
        .upsert(&scope(), (0..200).map(point).collect())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::StorageFull, "store.full")
    );
    assert_eq!(store.count(&everything()).await.unwrap(), 3);
    execute(&store, "PRAGMA max_page_count = 1000000".to_owned()).await;
    assert_eq!(
        store
            .upsert(&scope(), (0..200).map(point).collect())
            .await
            .unwrap(),
        200
    );
    assert_eq!(store.count(&everything()).await.unwrap(), 200);
}

#[tokio::test]
async fn a_damaged_row_is_never_served_and_removing_its_collection_heals() {
    let directory = tempfile::tempdir().unwrap();
    let uri = format!("sqlite://{}/vector.db", directory.path().display());
    let life = Lifecycle::new();
    let store = open(&uri, &life).await;
    with_points(&store, 3).await;
    execute(
        &store,
        "UPDATE points SET sparse = x'01007f' WHERE point_key = 2".to_owned(),
    )
    .await;
    assert!(life.shutdown(Duration::from_mins(1)).await.is_clean());

    let life = Lifecycle::new();
    let store = open(&uri, &life).await;
    let error = store.count(&everything()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "vector.load_failed")
    );
    assert_eq!(
        life.waiting_for(),
        ["index: could not be loaded, see the log"]
    );
    assert!(store.remove(scope().collection()).await.unwrap());
    life.ready().await;
    with_points(&store, 2).await;
    assert_eq!(store.count(&everything()).await.unwrap(), 2);
}

#[tokio::test]
async fn rows_are_found_by_their_keys() {
    use super::sqlite::{DELETE, PAYLOADS, VECTORS};
    let life = Lifecycle::new();
    let store = open("sqlite::memory:", &life).await;
    for statement in [DELETE, PAYLOADS, VECTORS] {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain)
            .bind("[1]")
            .bind(1)
            .bind(TENANT.as_uuid().as_bytes().as_slice())
            .fetch_all(store.inner.rows.database().read())
            .await
            .unwrap();
        let by_key = "SEARCH points USING INTEGER PRIMARY KEY (rowid=?)";
        assert!(plan.iter().any(|step| step.3 == by_key), "{plan:?}");
    }
}
