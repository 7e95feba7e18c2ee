//! How work gets a connection and gives it back.
//!
//! `read!`, `write!` and `bulk!` are macros and no functions that take closures, because the
//! futures of such closures cannot be shown to be `Send` today.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Executor, PgConnection, Postgres};
use tokio::time::{Instant, timeout, timeout_at};

use super::Database;
use crate::Error;

/// How often work is begun that the server undid, or whose connection was dead from the start.
const ATTEMPTS: u32 = 4;
/// The first pause before that; doubled each time.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a connection may take on its way back into the pool.
const RETURN: Duration = Duration::from_secs(1);
/// How long work over a whole table may take.
const BULK: Duration = Duration::from_mins(5);

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow<T> {
    /// Commit, and answer this.
    Commit(T),
    /// Leave no trace, and answer this.
    Rollback(T),
}

#[macro_export]
#[doc(hidden)]
macro_rules! __postgres_work {
    ($work:expr, $end:ident, $connection:ident, $body:block) => {{
        let mut work = $work;
        loop {
            let done = match work.begin().await {
                Ok(mut session) => {
                    let done = {
                        let $connection = session.connection();
                        work.bounded(async { $body }).await
                    };
                    work.$end(session, done).await
                }
                Err(error) => work.failed(error).await,
            };
            if let Some(done) = done {
                break done;
            }
        }
    }};
}

/// Reads on one connection, each statement by itself: `read!(database, |connection| { … Ok(x) })`.
/// Reads again when the connection turns out to be dead, so that the block may run several times.
///
/// Gives `Error::Unavailable` without a connection in time, `Error::Timeout` without an answer.
#[macro_export]
#[doc(hidden)]
macro_rules! __postgres_read {
    ($database:expr, |$connection:ident| $body:block) => {
        $crate::__postgres_work!(
            $crate::postgres::Work::reading(&$database),
            end_read,
            $connection,
            $body
        )
    };
}

/// Does the block in a transaction that it ends with a `Flow`:
/// `write!(database, |tx| { … Ok(Flow::Commit(x)) })`. Begins anew when the server undid it (a
/// deadlock, a conflict) or when the connection was dead before the commit was sent.
///
/// After `Error::Unavailable` or `Error::Timeout` the transaction may have been committed: repeat
/// it only if that does no harm.
#[macro_export]
#[doc(hidden)]
macro_rules! __postgres_write {
    ($database:expr, |$connection:ident| $body:block) => {
        $crate::__postgres_work!(
            $crate::postgres::Work::writing(&$database),
            end_write,
            $connection,
            $body
        )
    };
}

/// As `write!`, for work over whole tables, which may take minutes.
#[macro_export]
#[doc(hidden)]
macro_rules! __postgres_bulk {
    ($database:expr, |$connection:ident| $body:block) => {
        $crate::__postgres_work!(
            $crate::postgres::Work::in_bulk(&$database),
            end_write,
            $connection,
            $body
        )
    };
}

/// A connection that closes unless it was given back whole: work that was cut off half way leaves
/// an answer in it that would be taken for the answer to something else, and waiting for that
/// answer may take as long as TCP does.
#[derive(Debug)]
pub struct Session(Option<PoolConnection<Postgres>>);

impl Session {
    /// The connection.
    ///
    /// # Panics
    /// Never: only giving it back takes the connection out, and that takes the session.
    #[expect(clippy::expect_used, reason = "only `give_back` empties it, by value")]
    pub fn connection(&mut self) -> &mut PgConnection {
        self.0.as_deref_mut().expect("a session has a connection")
    }

    /// Back into the pool, in the background, as the driver does; only that it ends.
    #[expect(
        clippy::disallowed_methods,
        reason = "the driver spawns the same task; this one is bounded in time"
    )]
    fn give_back(mut self) {
        if let Some(mut connection) = self.0.take() {
            tokio::spawn(timeout(RETURN, connection.return_to_pool()));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// Work under way; what the macros are made of.
#[derive(Debug)]
pub struct Work<'a> {
    database: &'a Database,
    /// What opens the transaction.
    begin: Option<&'static str>,
    limit: Duration,
    deadline: Instant,
    attempt: u32,
    pause: Duration,
}

impl<'a> Work<'a> {
    /// Statements by themselves.
    pub fn reading(database: &'a Database) -> Self {
        Self::new(database, None, database.0.options.operation_timeout)
    }

    /// A transaction.
    pub fn writing(database: &'a Database) -> Self {
        Self::new(
            database,
            Some("BEGIN"),
            database.0.options.operation_timeout,
        )
    }

    /// A long transaction.
    pub fn in_bulk(database: &'a Database) -> Self {
        let begin = "BEGIN; SET LOCAL statement_timeout = 0";
        Self::new(database, Some(begin), BULK)
    }

    fn new(database: &'a Database, begin: Option<&'static str>, limit: Duration) -> Self {
        Self {
            database,
            begin,
            limit,
            deadline: Instant::now() + limit,
            attempt: 0,
            pause: PAUSE,
        }
    }

    /// Takes a connection and begins.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none comes in time.
    pub async fn begin(&mut self) -> Result<Session, Error> {
        self.attempt += 1;
        let asked = Instant::now();
        let connection = self.database.0.pool.acquire().await;
        let now = Instant::now();
        self.database.0.waits.record(now - asked);
        let mut session = Session(Some(connection?));
        self.deadline = now + self.limit;
        if let Some(begin) = self.begin {
            let begun = session.connection().execute(begin);
            match timeout_at(self.deadline, begun).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    self.database.0.trust.doubt();
                    return Err(error.into());
                }
                Err(_) => return Err(Error::timed_out()),
            }
        }
        Ok(session)
    }

    /// Waits for a part of the work, until its deadline.
    ///
    /// # Errors
    /// [`Error::Timeout`] after that, else the work's own.
    pub async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match timeout_at(self.deadline, work).await {
            Ok(done) => done,
            Err(_) => Err(Error::timed_out()),
        }
    }

    /// The beginning failed; `None`: again.
    pub async fn failed<T>(&mut self, error: Error) -> Option<Result<T, Error>> {
        // Without a connection in time there is none for the next attempt either.
        let had_one = error.is_broken_connection() && !error.is_timeout();
        if had_one && self.again(&error).await {
            return None;
        }
        Some(Err(error))
    }

    /// Ends a reading; `None`: again.
    pub async fn end_read<T>(
        &mut self,
        session: Session,
        done: Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        match done {
            Ok(value) => {
                session.give_back();
                Some(Ok(value))
            }
            Err(error) => {
                let repeatable = self.dismiss(session, &error);
                if repeatable && self.again(&error).await {
                    return None;
                }
                Some(Err(error))
            }
        }
    }

    /// Ends a transaction; `None`: again.
    pub async fn end_write<T>(
        &mut self,
        mut session: Session,
        done: Result<Flow<T>, Error>,
    ) -> Option<Result<T, Error>> {
        let (end, sent, value) = match done {
            Ok(Flow::Commit(value)) => ("COMMIT", true, Ok(value)),
            Ok(Flow::Rollback(value)) => ("ROLLBACK", false, Ok(value)),
            Err(error) if error.is_broken_connection() => {
                let repeatable = self.dismiss(session, &error);
                if repeatable && self.again(&error).await {
                    return None;
                }
                return Some(Err(error));
            }
            Err(error) => ("ROLLBACK", false, Err(error)),
        };
        let ended = session.connection().execute(end);
        let ended = match timeout_at(self.deadline, ended).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Error::from(error)),
            Err(_) => Err(Error::timed_out()),
        };
        let error = match (ended, value) {
            (Ok(()), Ok(value)) => {
                session.give_back();
                return Some(Ok(value));
            }
            (Ok(()) | Err(_), Err(error)) | (Err(error), Ok(_)) => error,
        };
        // Nobody knows what became of a commit that got no answer: never again by ourselves.
        let told = error.is_conflict() || !sent;
        let repeatable = self.dismiss(session, &error) && told;
        if repeatable && self.again(&error).await {
            return None;
        }
        Some(Err(error))
    }

    /// Gives the connection back or closes it, and tells whether the work may be done again.
    fn dismiss(&self, session: Session, error: &Error) -> bool {
        if error.is_conflict() {
            session.give_back();
            return true;
        }
        let (broken, read_only) = (error.is_broken_connection(), error.is_read_only());
        if broken || read_only {
            // Others of the pool have the same trouble: they are checked before they are used.
            self.database.0.trust.doubt();
            drop(session);
            return broken && !error.is_timeout();
        }
        session.give_back();
        false
    }

    async fn again(&mut self, error: &Error) -> bool {
        if self.attempt >= ATTEMPTS {
            return false;
        }
        tracing::debug!(
            attempt = self.attempt,
            error = %touchstone_error::chain(error),
            "beginning anew"
        );
        tokio::time::sleep(self.pause).await;
        self.pause *= 2;
        true
    }
}
