//! Records in a SQLite file: the tables of ClickHouse, on a laptop.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::Row as _;
use sqlx::migrate::Migrator;
use touchstone_api::analytics::{Record, StatsItem, StatsLatency};
use touchstone_store::sqlite::{Database, commit};
use touchstone_store::{encode_id, micros};
use touchstone_types::TenantId;
use uuid::Uuid;

use super::{Collected, SHARES, Store, TOP, day, millis};
use crate::domain::{Batch, Span, View};
use crate::error::Error;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

// One statement takes a whole batch as JSON: many times cheaper than a statement for each row.

const INSERT_REQUESTS: &str = "
INSERT OR IGNORE INTO requests
    (event_id, at, tenant_id, service, route, method, status, duration_us, channel)
SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4, value ->> 5,
    value ->> 6, value ->> 7, value ->> 8
FROM json_each(?1)";

const INSERT_QUERIES: &str = "
INSERT OR IGNORE INTO queries (event_id, at, tenant_id, text, hits, degraded, duration_us)
SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4, value ->> 5,
    value ->> 6
FROM json_each(?1)";

const INSERT_INGESTIONS: &str = "
INSERT OR IGNORE INTO ingestions (event_id, at, tenant_id, document_id, version, status)
SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), unhex(value ->> 3), value ->> 4,
    value ->> 5
FROM json_each(?1)";

/// A statement about one tenant, which an index leads to, and about all of them.
struct Both {
    one: &'static str,
    all: &'static str,
}

impl Both {
    const fn of(&self, view: View) -> &'static str {
        match view.tenant() {
            Some(_) => self.one,
            None => self.all,
        }
    }
}

macro_rules! both {
    ($from:literal, $then:literal) => {
        Both {
            one: concat!(
                $from,
                " WHERE tenant_id = ?3 AND at >= ?1 AND at < ?2 ",
                $then
            ),
            all: concat!($from, " WHERE ?3 IS NULL AND at >= ?1 AND at < ?2 ", $then),
        }
    };
}

/// Days by number since 1970, with two sums each.
const REQUEST_DAYS: Both = both!(
    "SELECT at / 86400000000, COUNT(*), SUM(status >= 500) FROM requests",
    "GROUP BY 1"
);
const QUERY_DAYS: Both = both!(
    "SELECT at / 86400000000, COUNT(*), SUM(hits = 0) FROM queries",
    "GROUP BY 1"
);
const INGESTION_DAYS: Both = both!(
    "SELECT at / 86400000000, SUM(status = 'indexed'), SUM(status = 'failed') FROM ingestions",
    "GROUP BY 1"
);

const TOP_CHANNELS: Both = both!(
    "SELECT channel, COUNT(*) FROM requests",
    "AND channel <> '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?4"
);
const TOP_QUERIES: Both = both!(
    "SELECT text, COUNT(*) FROM queries",
    "AND text <> '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?4"
);

/// The times at four ranks, and the longest: one walk, one sort.
const TIMES: Both = both!(
    "SELECT duration_us FROM (SELECT duration_us,
        ROW_NUMBER() OVER (ORDER BY duration_us) AS place FROM requests",
    ") WHERE place IN (SELECT value FROM json_each(?4)) ORDER BY duration_us"
);

/// Records in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore(Database);

impl SqliteStore {
    /// Opens the file, making it if need be.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(uri: &str) -> Result<Self, Error> {
        Ok(Self(Database::open(uri, &MIGRATIONS).await?))
    }

    async fn days(
        &self,
        statement: &Both,
        view: View,
        span: Span,
        mut add: impl FnMut(chrono::NaiveDate, u64, u64),
    ) -> Result<(), Error> {
        let rows = sqlx::query(statement.of(view))
            .bind(micros(span.since))
            .bind(micros(span.until))
            .bind(owner(view))
            .fetch_all(self.0.read())
            .await?;
        for row in rows {
            let number = |at| row.try_get::<i64, _>(at).map(i64::unsigned_abs);
            add(day(row.try_get(0)?)?, number(1)?, number(2)?);
        }
        Ok(())
    }

    async fn top(&self, statement: &Both, view: View, span: Span) -> Result<Vec<StatsItem>, Error> {
        let rows = sqlx::query(statement.of(view))
            .bind(micros(span.since))
            .bind(micros(span.until))
            .bind(owner(view))
            .bind(TOP)
            .fetch_all(self.0.read())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(StatsItem {
                    name: row.try_get(0)?,
                    count: row.try_get::<i64, _>(1)?.unsigned_abs(),
                })
            })
            .collect()
    }

    async fn latency(&self, requests: u64, view: View, span: Span) -> Result<StatsLatency, Error> {
        if requests == 0 {
            return Ok(StatsLatency::default());
        }
        let mut places: Vec<u64> = SHARES
            .iter()
            .map(|share| ((share * requests as f64).floor() as u64 + 1).min(requests))
            .collect();
        places.push(requests);
        let times: Vec<i64> = sqlx::query_scalar(TIMES.of(view))
            .bind(micros(span.since))
            .bind(micros(span.until))
            .bind(owner(view))
            .bind(json!(places).to_string())
            .fetch_all(self.0.read())
            .await?;
        // Places may fall together; the times come once each, in order.
        let mut distinct = places.clone();
        distinct.dedup();
        let at = |place: usize| {
            let number = distinct.iter().position(|known| *known == places[place]);
            let time = number.and_then(|number| times.get(number));
            millis(time.copied().unwrap_or_default().unsigned_abs())
        };
        Ok(StatsLatency {
            p50_ms: at(0),
            p90_ms: at(1),
            p95_ms: at(2),
            p99_ms: at(3),
            max_ms: at(4),
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn insert(&self, batch: &Batch) -> Result<(), Error> {
        let (mut requests, mut queries, mut ingestions) = (Vec::new(), Vec::new(), Vec::new());
        for row in batch.rows() {
            let id = hex(row.event_id);
            match &row.record {
                Record::Request(it) => requests.push(json!([
                    id,
                    micros(it.at),
                    tenant(it.tenant_id),
                    it.service,
                    it.route,
                    it.method,
                    it.status,
                    it.duration_us,
                    it.channel.as_deref().unwrap_or_default(),
                ])),
                Record::Query(it) => queries.push(json!([
                    id,
                    micros(it.at),
                    tenant(Some(it.tenant_id)),
                    it.text.as_deref().unwrap_or_default(),
                    it.hits,
                    u8::from(it.degraded),
                    it.duration_us,
                ])),
                Record::Ingestion(it) => ingestions.push(json!([
                    id,
                    micros(it.at),
                    tenant(Some(it.tenant_id)),
                    hex(*it.document_id.as_uuid()),
                    it.version,
                    it.status.as_str(),
                ])),
            }
        }
        let mut transaction = self.0.begin().await?;
        for (statement, rows) in [
            (INSERT_REQUESTS, requests),
            (INSERT_QUERIES, queries),
            (INSERT_INGESTIONS, ingestions),
        ] {
            if !rows.is_empty() {
                sqlx::query(statement)
                    .bind(serde_json::Value::Array(rows).to_string())
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        commit(transaction).await?;
        Ok(())
    }

    async fn collect(&self, view: View, span: Span) -> Result<Collected, Error> {
        let mut collected = Collected::default();
        let days = &mut collected.days;
        let mut requests = 0;
        self.days(&REQUEST_DAYS, view, span, |date, all, errors| {
            let sums = days.entry(date).or_default();
            (sums.requests, sums.errors) = (all, errors);
            requests += all;
        })
        .await?;
        self.days(&QUERY_DAYS, view, span, |date, all, without| {
            let sums = days.entry(date).or_default();
            (sums.queries, sums.queries_without_hits) = (all, without);
        })
        .await?;
        self.days(&INGESTION_DAYS, view, span, |date, indexed, failed| {
            let sums = days.entry(date).or_default();
            (sums.documents_indexed, sums.documents_failed) = (indexed, failed);
        })
        .await?;
        collected.top_channels = self.top(&TOP_CHANNELS, view, span).await?;
        if view.tells_queries() {
            collected.top_queries = self.top(&TOP_QUERIES, view, span).await?;
        }
        collected.latency = self.latency(requests, view, span).await?;
        Ok(collected)
    }

    async fn forget_before(&self, time: DateTime<Utc>) -> Result<(), Error> {
        let mut transaction = self.0.begin().await?;
        for statement in [
            "DELETE FROM requests WHERE at < ?1",
            "DELETE FROM queries WHERE at < ?1",
            "DELETE FROM ingestions WHERE at < ?1",
        ] {
            sqlx::query(statement)
                .bind(micros(time))
                .execute(&mut *transaction)
                .await?;
        }
        commit(transaction).await?;
        Ok(())
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(self.0.ping().await?)
    }

    fn name(&self) -> &'static str {
        "sqlite"
    }
}

/// The tenant that a view is about.
fn owner(view: View) -> Option<Vec<u8>> {
    view.tenant()
        .map(|tenant| encode_id(tenant.as_uuid()).to_vec())
}

fn tenant(tenant: Option<TenantId>) -> String {
    hex(tenant.map(|tenant| *tenant.as_uuid()).unwrap_or_default())
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_index_leads_to_the_records_of_one_tenant_and_time() {
        let store = SqliteStore::open("sqlite::memory:").await.unwrap();
        let statements = [
            (REQUEST_DAYS, "requests"),
            (TOP_CHANNELS, "requests"),
            (TIMES, "requests"),
            (QUERY_DAYS, "queries"),
            (TOP_QUERIES, "queries"),
            (INGESTION_DAYS, "ingestions"),
        ];
        for (both, table) in statements {
            for (statement, wanted) in [
                (
                    both.one,
                    format!("USING INDEX {table}_of_tenant (tenant_id=? AND at>? AND at<?)"),
                ),
                (both.all, format!("USING INDEX {table}_at (at>? AND at<?)")),
            ] {
                let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
                let plan = sqlx::query(explain)
                    .fetch_all(store.0.read())
                    .await
                    .unwrap();
                let steps: Vec<String> = plan.iter().map(|row| row.get(3)).collect();
                let found = steps.iter().any(|step| step.contains(&wanted));
                assert!(found, "{statement}: {steps:?}, not {wanted}");
            }
        }
    }
}
