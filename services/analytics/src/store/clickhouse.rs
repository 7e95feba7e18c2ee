//! Records in ClickHouse, over its HTTP interface.

mod trial;

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use clickhouse::{Client, Compression, Row};
use serde::{Deserialize, Serialize};
use touchstone_api::analytics::{Record, StatsItem, StatsLatency};
use touchstone_types::TenantId;
use uuid::Uuid;

use super::{Collected, Store, TOP, day, millis};
use crate::config::ClickHouseConfig;
use crate::domain::{Batch, Span, View};
use crate::error::Error;

/// Which rows: a span, and a tenant unless it is nil.
const WHERE: &str = "at >= fromUnixTimestamp64Micro(?, 'UTC')
    AND at < fromUnixTimestamp64Micro(?, 'UTC')
    AND (? = '00000000-0000-0000-0000-000000000000' OR tenant_id = toUUID(?))";

/// Records in ClickHouse.
///
/// Batches are sent whole, with a token by which the server knows one that comes again within its
/// window; past that a batch that was repeated counts twice, and `uniqExact(event_id)` tells.
#[derive(Clone)]
pub struct ClickHouseStore {
    client: Client,
    database: String,
    timeout: Duration,
    retention_days: u64,
    window: u32,
    /// Whether the tables were seen since the start.
    prepared: std::sync::Arc<AtomicBool>,
}

impl std::fmt::Debug for ClickHouseStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClickHouseStore")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

#[derive(Row, Serialize, Deserialize)]
struct RequestRow {
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    at: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    tenant_id: Uuid,
    service: String,
    route: String,
    method: String,
    status: u16,
    duration_us: u64,
    channel: String,
}

#[derive(Row, Serialize, Deserialize)]
struct QueryRow {
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    at: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    tenant_id: Uuid,
    text: String,
    hits: u32,
    degraded: u8,
    duration_us: u64,
}

#[derive(Row, Serialize, Deserialize)]
struct IngestionRow {
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    at: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    tenant_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    document_id: Uuid,
    version: u32,
    status: String,
}

/// A day by number since 1970 with two sums.
#[derive(Row, Deserialize)]
struct DayRow {
    day: i64,
    first: u64,
    second: u64,
}

#[derive(Row, Deserialize)]
struct TopRow {
    name: String,
    count: u64,
}

#[derive(Row, Deserialize)]
struct TimesRow {
    times: Vec<u64>,
    longest: u64,
}

impl ClickHouseStore {
    /// A store on a server; nothing is sent yet.
    pub fn new(url: &str, config: &ClickHouseConfig, retention: Duration) -> Self {
        let client = Client::default()
            .with_url(url)
            .with_user(&config.user)
            .with_password(config.password.expose())
            .with_database(&config.database)
            // Batches are small beside what compressing them costs here.
            .with_compression(Compression::None);
        Self {
            client,
            database: config.database.clone(),
            timeout: config.timeout,
            retention_days: (retention.as_secs() / 86_400).max(1),
            window: config.deduplication_window,
            prepared: std::sync::Arc::default(),
        }
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, clickhouse::error::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Error::Timeout),
        }
    }

    /// Makes the database and the tables unless they are there.
    async fn prepare(&self) -> Result<(), Error> {
        if self.prepared.load(Ordering::Relaxed) {
            return Ok(());
        }
        let create = format!("CREATE DATABASE IF NOT EXISTS {}", self.database);
        // The database cannot be named before it is there.
        let outside = self.client.clone().with_database("default");
        self.in_time(outside.query(&create).execute()).await?;
        for (table, columns) in TABLES {
            let (days, window) = (self.retention_days, self.window);
            let create = format!(
                "CREATE TABLE IF NOT EXISTS {table} ({columns}) ENGINE = MergeTree
                 PARTITION BY toYYYYMM(at) ORDER BY (tenant_id, at)
                 TTL toDateTime(at) + toIntervalDay({days})
                 SETTINGS non_replicated_deduplication_window = {window}"
            );
            self.in_time(self.client.query(&create).execute()).await?;
            // The retention of a table that stands follows the configuration.
            let alter =
                format!("ALTER TABLE {table} MODIFY TTL toDateTime(at) + toIntervalDay({days})");
            self.in_time(self.client.query(&alter).execute()).await?;
        }
        self.prepared.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn send<R>(&self, table: &str, token: &str, rows: &[R]) -> Result<(), Error>
    where
        R: for<'a> Row<Value<'a> = R> + Serialize + 'static,
    {
        if rows.is_empty() {
            return Ok(());
        }
        let client = self
            .client
            .clone()
            .with_setting("insert_deduplicate", "1")
            .with_setting("insert_deduplication_token", format!("{token}-{table}"))
            // Should the server's profile collect inserts, it answers when they are written.
            .with_setting("wait_for_async_insert", "1");
        self.in_time(async {
            let mut insert = client.insert::<R>(table).await?;
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        })
        .await
    }

    async fn days(
        &self,
        columns: &str,
        table: &str,
        view: View,
        span: Span,
    ) -> Result<Vec<(NaiveDate, u64, u64)>, Error> {
        let statement = format!(
            "SELECT toInt64(toUnixTimestamp(toStartOfDay(at, 'UTC')) / 86400) AS day, {columns}
             FROM {table} WHERE {WHERE} GROUP BY day"
        );
        let query = bound(self.client.query(&statement), view, span);
        let rows: Vec<DayRow> = self.in_time(query.fetch_all()).await?;
        rows.into_iter()
            .map(|row| Ok((day(row.day)?, row.first, row.second)))
            .collect()
    }

    async fn top(
        &self,
        column: &str,
        table: &str,
        view: View,
        span: Span,
    ) -> Result<Vec<StatsItem>, Error> {
        let statement = format!(
            "SELECT {column} AS name, count() AS count FROM {table}
             WHERE {WHERE} AND name <> '' GROUP BY name ORDER BY count DESC, name LIMIT {TOP}"
        );
        let query = bound(self.client.query(&statement), view, span);
        let rows: Vec<TopRow> = self.in_time(query.fetch_all()).await?;
        Ok(rows
            .into_iter()
            .map(|row| StatsItem {
                name: row.name,
                count: row.count,
            })
            .collect())
    }

    async fn latency(&self, view: View, span: Span) -> Result<StatsLatency, Error> {
        let statement = format!(
            "SELECT quantilesExact(0.5, 0.9, 0.95, 0.99)(duration_us) AS times,
                max(duration_us) AS longest
             FROM requests WHERE {WHERE} HAVING count() > 0"
        );
        let query = bound(self.client.query(&statement), view, span);
        let found: Option<TimesRow> = self.in_time(query.fetch_optional()).await?;
        let Some(TimesRow { times, longest }) = found else {
            return Ok(StatsLatency::default());
        };
        let [p50, p90, p95, p99] = times[..] else {
            return Err(Error::Corrupt("another number of percentiles"));
        };
        Ok(StatsLatency {
            p50_ms: millis(p50),
            p90_ms: millis(p90),
            p95_ms: millis(p95),
            p99_ms: millis(p99),
            max_ms: millis(longest),
        })
    }
}

/// Tables and their columns; the names are those of SQLite's.
const TABLES: [(&str, &str); 3] = [
    (
        "requests",
        "event_id UUID, at DateTime64(6, 'UTC'), tenant_id UUID, service LowCardinality(String),
         route LowCardinality(String), method LowCardinality(String), status UInt16,
         duration_us UInt64, channel String",
    ),
    (
        "queries",
        "event_id UUID, at DateTime64(6, 'UTC'), tenant_id UUID, text String, hits UInt32,
         degraded UInt8, duration_us UInt64",
    ),
    (
        "ingestions",
        "event_id UUID, at DateTime64(6, 'UTC'), tenant_id UUID, document_id UUID,
         version UInt32, status LowCardinality(String)",
    ),
];

fn bound(query: clickhouse::query::Query, view: View, span: Span) -> clickhouse::query::Query {
    let tenant = nil_or(view.tenant()).to_string();
    query
        .bind(span.since.timestamp_micros())
        .bind(span.until.timestamp_micros())
        .bind(tenant.clone())
        .bind(tenant)
}

fn nil_or(tenant: Option<TenantId>) -> Uuid {
    tenant.map(|tenant| *tenant.as_uuid()).unwrap_or_default()
}

#[async_trait]
impl Store for ClickHouseStore {
    async fn insert(&self, batch: &Batch) -> Result<(), Error> {
        self.prepare().await?;
        let (mut requests, mut queries, mut ingestions) = (Vec::new(), Vec::new(), Vec::new());
        for row in batch.rows() {
            let event_id = row.event_id;
            match &row.record {
                Record::Request(it) => requests.push(RequestRow {
                    event_id,
                    at: it.at.timestamp_micros(),
                    tenant_id: nil_or(it.tenant_id),
                    service: it.service.clone(),
                    route: it.route.clone(),
                    method: it.method.clone(),
                    status: it.status,
                    duration_us: it.duration_us,
                    channel: it.channel.clone().unwrap_or_default(),
                }),
                Record::Query(it) => queries.push(QueryRow {
                    event_id,
                    at: it.at.timestamp_micros(),
                    tenant_id: *it.tenant_id.as_uuid(),
                    text: it.text.clone().unwrap_or_default(),
                    hits: it.hits,
                    degraded: it.degraded.into(),
                    duration_us: it.duration_us,
                }),
                Record::Ingestion(it) => ingestions.push(IngestionRow {
                    event_id,
                    at: it.at.timestamp_micros(),
                    tenant_id: *it.tenant_id.as_uuid(),
                    document_id: *it.document_id.as_uuid(),
                    version: it.version,
                    status: it.status.as_str().to_owned(),
                }),
            }
        }
        let token = batch.token();
        self.send("requests", &token, &requests).await?;
        self.send("queries", &token, &queries).await?;
        self.send("ingestions", &token, &ingestions).await
    }

    async fn collect(&self, view: View, span: Span) -> Result<Collected, Error> {
        self.prepare().await?;
        let mut collected = Collected::default();
        let requests = "count() AS first, countIf(status >= 500) AS second";
        for (date, all, errors) in self.days(requests, "requests", view, span).await? {
            let sums = collected.days.entry(date).or_default();
            (sums.requests, sums.errors) = (all, errors);
        }
        let queries = "count() AS first, countIf(hits = 0) AS second";
        for (date, all, without) in self.days(queries, "queries", view, span).await? {
            let sums = collected.days.entry(date).or_default();
            (sums.queries, sums.queries_without_hits) = (all, without);
        }
        let ingestions =
            "countIf(status = 'indexed') AS first, countIf(status = 'failed') AS second";
        for (date, indexed, failed) in self.days(ingestions, "ingestions", view, span).await? {
            let sums = collected.days.entry(date).or_default();
            (sums.documents_indexed, sums.documents_failed) = (indexed, failed);
        }
        collected.top_channels = self.top("channel", "requests", view, span).await?;
        if view.tells_queries() {
            collected.top_queries = self.top("text", "queries", view, span).await?;
        }
        collected.latency = self.latency(view, span).await?;
        Ok(collected)
    }

    /// The tables' TTL does it.
    async fn forget_before(&self, _: DateTime<Utc>) -> Result<(), Error> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), Error> {
        let one: u8 = self
            .in_time(
                self.client
                    .clone()
                    .with_database("default")
                    .query("SELECT 1")
                    .fetch_one(),
            )
            .await?;
        if one == 1 {
            Ok(())
        } else {
            Err(Error::Corrupt("one is not one"))
        }
    }

    fn name(&self) -> &'static str {
        "clickhouse"
    }
}
