use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use touchstone_analytics::domain::{Batch, Row, Span};
use touchstone_analytics::store::{ClickHouseStore, SqliteStore, Store};
use touchstone_analytics::{ClickHouseConfig, Config};
use touchstone_api::analytics::{IngestionRecord, QueryRecord, Record, RequestRecord, StatsPeriod};
use touchstone_types::{Clock, DocumentId, DocumentStatus, FrozenClock, IdSource, TenantId};
use uuid::Uuid;

/// A little before now, so that spans that end now hold it.
pub fn at() -> DateTime<Utc> {
    now() - Duration::from_mins(5)
}

pub fn now() -> DateTime<Utc> {
    FrozenClock::default().now()
}

pub fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(0x7e00 + number))
}

pub fn request(owner: Option<TenantId>, status: u16, duration_us: u64) -> Record {
    Record::Request(RequestRecord {
        at: at(),
        tenant_id: owner,
        service: "retrieval".to_owned(),
        route: "/search".to_owned(),
        method: "POST".to_owned(),
        status,
        duration_us,
        channel: None,
    })
}

pub fn about_channel(owner: TenantId, channel: &str) -> Record {
    match request(Some(owner), 200, 1000) {
        Record::Request(mut record) => {
            record.channel = Some(channel.to_owned());
            Record::Request(record)
        }
        other => other,
    }
}

pub fn query(owner: TenantId, text: Option<&str>, hits: u32) -> Record {
    Record::Query(QueryRecord {
        at: at(),
        tenant_id: owner,
        text: text.map(str::to_owned),
        hits,
        degraded: false,
        duration_us: 700,
    })
}

pub fn ingestion(owner: TenantId, status: DocumentStatus) -> Record {
    Record::Ingestion(IngestionRecord {
        at: at(),
        tenant_id: owner,
        document_id: DocumentId::from_uuid(Uuid::from_u128(9)),
        version: 1,
        status,
    })
}

/// The batch of an event.
pub fn batch(event: u128, records: Vec<Record>) -> Batch {
    Batch::new(Row::of_event(Uuid::from_u128(event << 32), records).collect()).unwrap()
}

pub fn day() -> Span {
    Span::back(StatsPeriod::Day, now())
}

pub fn month() -> Span {
    Span::back(StatsPeriod::Month, now())
}

/// A store with what it needs to live.
pub struct Opened {
    pub store: Arc<dyn Store>,
    _directory: Option<tempfile::TempDir>,
}

pub async fn sqlite_memory() -> Option<Opened> {
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    Some(Opened {
        store: Arc::new(store),
        _directory: None,
    })
}

pub async fn sqlite_file() -> Option<Opened> {
    let directory = tempfile::tempdir().unwrap();
    let uri = format!("sqlite://{}/analytics.db", directory.path().display());
    let store = SqliteStore::open(&uri).await.unwrap();
    Some(Opened {
        store: Arc::new(store),
        _directory: Some(directory),
    })
}

pub fn clickhouse_config() -> ClickHouseConfig {
    let config: Config = touchstone_config::defaults();
    let id = IdSource::system().next::<Uuid>().simple().to_string();
    ClickHouseConfig {
        database: format!("t_{id}"),
        timeout: Duration::from_mins(1),
        ..config.clickhouse
    }
}

/// A database of its own on a ClickHouse server.
pub async fn clickhouse() -> Option<Opened> {
    let server = touchstone_test_services::clickhouse().await?;
    // The frozen clock stands in the past: nothing may be too old for the tables.
    let retention = Duration::from_hours(24 * 365 * 10);
    let store = ClickHouseStore::new(server.url(), &clickhouse_config(), retention);
    Some(Opened {
        store: Arc::new(store),
        _directory: None,
    })
}
