use std::time::Duration;

use touchstone_error::{Classify, ErrorKind};

/// Everything that can go wrong in analytics.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// ClickHouse did not answer in time.
    #[error("ClickHouse did not answer in time")]
    Timeout,
    /// ClickHouse answered with an error, or not at all.
    #[error("ClickHouse did not do what was asked")]
    ClickHouse(#[source] Box<clickhouse::error::Error>),
    /// The relational store failed.
    #[error("the store of records failed")]
    Store(#[source] touchstone_store::Error),
    /// Another request for the same statistics failed.
    #[error("the statistics could not be collected")]
    Collect(#[source] std::sync::Arc<Error>),
    /// What the store told makes no sense.
    #[error("the store told what makes no sense: {0}")]
    Corrupt(&'static str),
}

impl From<clickhouse::error::Error> for Error {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::ClickHouse(Box::new(error))
    }
}

impl From<touchstone_store::Error> for Error {
    fn from(error: touchstone_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(touchstone_store::Error::from(error))
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Timeout => ErrorKind::Timeout,
            Self::ClickHouse(_) => ErrorKind::Unavailable,
            Self::Store(error) => error.kind(),
            Self::Collect(error) => error.kind(),
            Self::Corrupt(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Timeout => "analytics.clickhouse_timeout",
            Self::ClickHouse(_) => "analytics.clickhouse_unavailable",
            Self::Store(error) => error.code(),
            Self::Collect(error) => error.code(),
            Self::Corrupt(_) => "analytics.corrupt_answer",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        self.kind().is_transient().then_some(Duration::from_secs(5))
    }
}
