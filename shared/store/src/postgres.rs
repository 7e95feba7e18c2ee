//! The shared relational store: one PostgreSQL database, one schema per service.
//!
//! Nothing waits without end: a connection comes within `acquire_timeout` or not at all, the server
//! ends statements and waits for locks by itself, and work that gets no answer is given up after
//! `operation_timeout` together with its connection. A connection that was idle for a while, or
//! that is older than the last trouble, is checked before it is handed out, so that a restarted or
//! demoted server costs no restart of ours.

mod connect;
pub mod explain;
pub mod inbox;
mod migrate;
mod options;
pub mod outbox;
mod statement;
mod work;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

#[doc(inline)]
pub use crate::{
    __postgres_bulk as bulk, __postgres_read as read, __postgres_statements as statements,
    __postgres_write as write,
};
pub use connect::{Mistake, check};
pub use migrate::{Pending, State, bring_up_to_date, state};
pub use options::Options;
pub use statement::{Explained, Rule, Statement};
pub use work::{Flow, Session, Work};

use crate::Error;
use crate::pools::{self, Waits};

/// A connection that was idle for longer is asked before it is used.
const CHECK_AFTER: Duration = Duration::from_secs(1);
/// How long such a question may take.
const CHECK_TIMEOUT: Duration = Duration::from_millis(500);
/// Connections above the first close after so long without work.
const IDLE: Duration = Duration::from_mins(5);
/// No connection gets older, so that addresses and settings of the server are picked up.
const LIFETIME: Duration = Duration::from_mins(30);
/// Doubts about all connections are raised at most once in so many milliseconds.
const DOUBT_EVERY_MS: u64 = 250;

/// A service's schema in a PostgreSQL database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    options: Options,
    trust: Arc<Trust>,
    waits: Waits,
    /// Under which name this handle's relay holds the outbox.
    holder: Uuid,
}

/// Since when connections count as sound again.
#[derive(Debug)]
struct Trust {
    start: Instant,
    /// Milliseconds after `start`; connections made before are checked before use.
    doubted: AtomicU64,
}

impl Trust {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            doubted: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Something was wrong with a connection: the others may have the same trouble.
    fn doubt(&self) {
        let now = self.now();
        let before = self.doubted.load(Ordering::Relaxed);
        if now.saturating_sub(before) >= DOUBT_EVERY_MS || before == 0 {
            self.doubted.store(now.max(1), Ordering::Relaxed);
        }
    }

    /// Whether a connection of this age is older than the last trouble.
    fn is_doubtful(&self, age: Duration) -> bool {
        let doubted = self.doubted.load(Ordering::Relaxed);
        let made = self
            .now()
            .saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        doubted > 0 && made <= doubted
    }
}

impl Database {
    /// Opens the schema `schema` of the database that the URI names and brings it up to date,
    /// unless [`Options::migrate`] forbids that.
    ///
    /// # Errors
    /// [`Error::Connect`] names what is wrong with the URI or with the server's answer,
    /// [`Error::Schema`] an older or newer schema, [`Error::Migration`] a migration that failed.
    pub async fn open(
        uri: &str,
        schema: &str,
        migrator: &Migrator,
        options: &Options,
    ) -> Result<Self, Error> {
        let connect = connect::options(uri, schema, options)?;
        migrate::prepare(&connect, schema, migrator, options).await?;
        let trust = Arc::new(Trust::new());
        let judge = Arc::clone(&trust);
        let (faulty, patience) = (touchstone_faults::are_possible(), options.acquire_timeout);
        let pool = PgPoolOptions::new()
            .min_connections(0)
            .max_connections(options.connections)
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(IDLE)
            .max_lifetime(LIFETIME)
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let doubtful = judge.is_doubtful(meta.age);
                Box::pin(async move {
                    if faulty {
                        touchstone_faults::before_connection(patience).await;
                    }
                    if !doubtful && meta.idle_for < CHECK_AFTER {
                        return Ok(true);
                    }
                    is_sound(connection, doubtful).await
                })
            })
            .after_connect(move |_, _| {
                Box::pin(async move {
                    if faulty {
                        touchstone_faults::before_connection(patience).await;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(connect);
        let seen = pool.clone();
        let waits = Waits::default();
        pools::opened("postgres", options.connections, Some(&waits), move || {
            (seen.size(), seen.num_idle())
        });
        Ok(Self(Arc::new(Inner {
            pool,
            options: options.clone(),
            trust,
            waits,
            holder: crate::holder(),
        })))
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// As for any read.
    pub async fn ping(&self) -> Result<(), Error> {
        read!(self, |connection| { Ok(connection.ping().await?) })
    }

    /// Connections that are open, and those of them that are idle.
    pub fn connections(&self) -> (u32, usize) {
        (self.0.pool.size(), self.0.pool.num_idle())
    }

    /// Under which name this handle, and its clones, hold leases.
    pub fn holder(&self) -> Uuid {
        self.0.holder
    }

    /// How this database is used.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Closes every connection; later calls fail.
    pub async fn close(&self) {
        // A connection that is busy with a dead server must not hold the stop up.
        let _ = tokio::time::timeout(self.0.options.acquire_timeout, self.0.pool.close()).await;
    }
}

/// A text as PostgreSQL can hold it: U+FFFD in the place of U+0000.
pub fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A number as an `INTEGER` holds it; too large ones, which the limits exclude, are cut.
pub fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The number that [`int`] stored.
///
/// # Errors
/// [`Error::Corrupt`] when it is negative.
pub fn uint(number: i32) -> Result<u32, Error> {
    u32::try_from(number).map_err(|error| Error::Corrupt(sqlx::Error::Decode(Box::new(error))))
}

/// Asks a connection whether it lives; one that only reads is sent away when there was trouble.
async fn is_sound(connection: &mut PgConnection, doubtful: bool) -> Result<bool, sqlx::Error> {
    let question = sqlx::query_scalar::<_, String>("SHOW transaction_read_only");
    match tokio::time::timeout(CHECK_TIMEOUT, question.fetch_one(connection)).await {
        Ok(Ok(read_only)) => Ok(!doubtful || read_only == "off"),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_column_cannot_hold_is_replaced() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        assert_eq!((text("ab"), int(u32::MAX)), ("ab".into(), i32::MAX));
        assert!(uint(-1).is_err() && uint(7).unwrap() == 7);
    }

    #[test]
    fn only_connections_older_than_the_trouble_are_doubted() {
        let trust = Trust {
            start: Instant::now().checked_sub(Duration::from_secs(10)).unwrap(),
            doubted: AtomicU64::new(0),
        };
        assert!(!trust.is_doubtful(Duration::from_secs(9)));
        trust.doubted.store(5_000, Ordering::Relaxed);
        assert!(trust.is_doubtful(Duration::from_secs(6)));
        assert!(!trust.is_doubtful(Duration::from_secs(4)));
        trust.doubt();
        assert!(trust.is_doubtful(Duration::from_secs(1)));
    }
}
