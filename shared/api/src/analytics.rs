//! analytics: what is recorded about the stack's work, and what is told of it.
//!
//! Records hold no document text, no e-mail address, no token and no user. The only words of a
//! user are those of a question, normalised, and only when the configuration allows it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use touchstone_types::{DocumentId, DocumentStatus, TenantId};
use utoipa::{IntoParams, ToSchema};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// The gateway answered.
    Request(RequestRecord),
    /// A question was searched for.
    Query(QueryRecord),
    /// A document changed its state.
    Ingestion(IngestionRecord),
}

/// The gateway answered a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// When it was answered.
    pub at: DateTime<Utc>,
    /// Whose request; none before a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// The service that it was for.
    pub service: String,
    /// The route, never the whole path: that may hold ids.
    pub route: String,
    /// Method.
    pub method: String,
    /// Status of the answer.
    pub status: u16,
    /// Time to the head of the answer, in microseconds.
    pub duration_us: u64,
    /// The channel that the request was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// A question was searched for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryRecord {
    /// When it was answered.
    pub at: DateTime<Utc>,
    /// Whose question.
    pub tenant_id: TenantId,
    /// Its words, normalised; none when they are not to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Hits of the answer.
    pub hits: u32,
    /// Whether a part of the search was missing.
    pub degraded: bool,
    /// Time to the answer, in microseconds.
    pub duration_us: u64,
}

/// A document changed its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestionRecord {
    /// When.
    pub at: DateTime<Utc>,
    /// Whose document.
    pub tenant_id: TenantId,
    /// Which.
    pub document_id: DocumentId,
    /// Its version.
    pub version: u32,
    /// The state that was entered.
    pub status: DocumentStatus,
}

/// The payload on [`crate::events::ANALYTICS`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordBatch {
    /// In the order in which they happened in one process.
    pub records: Vec<Record>,
}

/// How far back statistics look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatsPeriod {
    /// 60 minutes.
    Hour,
    /// 24 hours.
    #[default]
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
}

/// `GET /stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatsQuery {
    /// How far back to look (default `day`).
    #[serde(default)]
    #[param(inline)]
    pub period: StatsPeriod,
}

/// What the statistics are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatsScope {
    /// The caller's tenant.
    Tenant,
    /// All tenants.
    Everything,
}

/// Answer of `GET /stats`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// How far back they look.
    pub period: StatsPeriod,
    /// What they are about.
    pub scope: StatsScope,
    /// `store`, or `mock` for made-up numbers.
    pub collector: String,
    /// Their beginning.
    pub since: DateTime<Utc>,
    /// Their end: when they were collected.
    pub until: DateTime<Utc>,
    /// Sums.
    pub totals: StatsTotals,
    /// Every day (UTC) of the period, the first one first; one day at least.
    pub days: Vec<StatsDay>,
    /// The channels that were asked for most, at most 10.
    pub top_channels: Vec<StatsItem>,
    /// The questions that were asked most, at most 10; for administrators of the tenant only.
    pub top_queries: Vec<StatsItem>,
    /// Times to the answers of the gateway.
    pub latency: StatsLatency,
}

/// Sums of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatsTotals {
    /// Requests that the gateway answered.
    pub requests: u64,
    /// Those with a status of 500 and above.
    pub errors: u64,
    /// Questions that were searched for.
    pub queries: u64,
    /// Those without a hit.
    pub queries_without_hits: u64,
    /// Versions of documents that were indexed.
    pub documents_indexed: u64,
    /// Versions of documents that failed.
    pub documents_failed: u64,
}

/// Sums of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatsDay {
    /// The day (UTC).
    pub date: NaiveDate,
    /// Requests.
    pub requests: u64,
    /// Requests with a status of 500 and above.
    pub errors: u64,
    /// Questions.
    pub queries: u64,
    /// Versions of documents that were indexed.
    pub documents_indexed: u64,
}

/// Something counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatsItem {
    /// What.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// Percentiles of the time to the head of an answer, in milliseconds (nearest rank); zero without
/// a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatsLatency {
    /// Half were faster.
    pub p50_ms: f64,
    /// 9 of 10 were faster.
    pub p90_ms: f64,
    /// 19 of 20 were faster.
    pub p95_ms: f64,
    /// 99 of 100 were faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}
