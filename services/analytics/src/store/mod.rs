//! Where records are kept: the seam between the service and its backends.

mod clickhouse;
mod sqlite;

pub use clickhouse::ClickHouseStore;
pub use sqlite::SqliteStore;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use touchstone_api::analytics::{StatsItem, StatsLatency};

use crate::config::Config;
use crate::domain::{Batch, Span, View};
use crate::error::Error;

/// Items of a list of the most frequent.
pub const TOP: u32 = 10;

/// Shares of the requests that were faster than the percentiles, as rank `floor(share * n) + 1`.
pub const SHARES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// What a store tells of a span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// Sums by day (UTC); days without records are missing.
    pub days: BTreeMap<NaiveDate, Sums>,
    /// Most frequent first, then by name.
    pub top_channels: Vec<StatsItem>,
    /// Most frequent first, then by name; empty unless the view tells them.
    pub top_queries: Vec<StatsItem>,
    /// Times of requests.
    pub latency: StatsLatency,
}

/// Sums of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Requests.
    pub requests: u64,
    /// Those with a status of 500 and above.
    pub errors: u64,
    /// Questions.
    pub queries: u64,
    /// Those without a hit.
    pub queries_without_hits: u64,
    /// Versions that were indexed.
    pub documents_indexed: u64,
    /// Versions that failed.
    pub documents_failed: u64,
}

/// Keeps records. Every backend passes the same contract suite (`tests/it/contract.rs`).
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Keeps a batch; one that comes again is kept once.
    async fn insert(&self, batch: &Batch) -> Result<(), Error>;

    /// Tells what happened in a span of time.
    async fn collect(&self, view: View, span: Span) -> Result<Collected, Error>;

    /// Forgets what is older; a backend that does so by itself does nothing.
    async fn forget_before(&self, time: DateTime<Utc>) -> Result<(), Error>;

    /// Whether it answers.
    async fn ping(&self) -> Result<(), Error>;

    /// Its name in `/health`.
    fn name(&self) -> &'static str;
}

/// Opens the store that the configuration names.
///
/// # Errors
/// When a file cannot be opened. A server that is away is no error.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, Error> {
    Ok(match config.clickhouse_url() {
        Some(url) => Arc::new(ClickHouseStore::new(
            &url,
            &config.clickhouse,
            config.retention,
        )),
        None => Arc::new(SqliteStore::open(&config.store).await?),
    })
}

/// Microseconds as milliseconds.
fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// The day of a number of days since 1970.
fn day(days: i64) -> Result<NaiveDate, Error> {
    i32::try_from(days)
        .ok()
        .and_then(NaiveDate::from_epoch_days)
        .ok_or(Error::Corrupt("a day out of range"))
}
