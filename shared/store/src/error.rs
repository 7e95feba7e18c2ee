use std::borrow::Cow;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use touchstone_error::{Classify, ErrorKind};

use crate::postgres::Mistake;

/// A store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A constraint refused: its name, or the columns (`users.email`) of an unnamed one.
    #[error("constraint `{0}` refuses this")]
    Constraint(String),
    /// No space is left for the database.
    #[error("no space is left for the database")]
    StorageFull(#[source] sqlx::Error),
    /// No connection in time, or the file is locked or out of reach.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The statement was interrupted.
    #[error("the statement took too long")]
    Timeout(#[source] sqlx::Error),
    /// The file is damaged, or holds what cannot be decoded.
    #[error("the database is damaged")]
    Corrupt(#[source] sqlx::Error),
    /// The migrations do not fit the database.
    #[error("the migrations cannot be applied")]
    Migration(#[source] MigrateError),
    /// The schema is not the one that this program works on.
    #[error("the schema `{schema}` {problem}")]
    Schema {
        /// The schema.
        schema: String,
        /// What is wrong, in words that go on after its name.
        problem: String,
    },
    /// The server cannot be used as it is configured.
    #[error("the database {0}")]
    Connect(Mistake),
    /// The URI names no store that is built in.
    #[error(
        "`{0}` is no store that is built in; expected `sqlite://<path>`, `sqlite::memory:` or \
         `postgres://<user>@<host>/<database>`"
    )]
    Uri(String),
    /// A folder for the database cannot be made.
    #[error("cannot make the folder `{path}`")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Anything else: a defect.
    #[error("the database refused a statement")]
    Database(#[source] sqlx::Error),
}

impl Error {
    /// The violated constraint, if that is what happened.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Constraint(name) => Some(name),
            _ => None,
        }
    }

    /// No answer came in time.
    pub(crate) fn timed_out() -> Self {
        Self::Timeout(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
    }

    /// What became of the work is not known, or will be another time: it may be tried again.
    pub fn indefinite() -> Self {
        Self::Unavailable(sqlx::Error::Io(
            std::io::ErrorKind::ConnectionAborted.into(),
        ))
    }

    /// The server undid the work because of other work: it may be begun anew at once.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Unavailable(source) if state(source).is_some_and(|code| {
            matches!(&*code, SERIALIZATION_FAILURE | DEADLOCK_DETECTED)
        }))
    }

    /// The server only reads at present.
    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self, Self::Unavailable(source)
            if state(source).is_some_and(|code| &*code == READ_ONLY))
    }

    /// The connection is of no use any more.
    pub(crate) fn is_broken_connection(&self) -> bool {
        match self {
            Self::Unavailable(source) | Self::Timeout(source) => match source {
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
                other => state(other).is_some_and(|code| ends_connection(&code)),
            },
            _ => false,
        }
    }

    /// No answer came in time.
    pub(crate) const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Constraint(_) => ErrorKind::Conflict,
            Self::StorageFull(_) => ErrorKind::StorageFull,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::Folder { source, .. } if is_full(source) => ErrorKind::StorageFull,
            Self::Connect(mistake) if mistake.is_transient() => ErrorKind::Unavailable,
            Self::Corrupt(_)
            | Self::Migration(_)
            | Self::Schema { .. }
            | Self::Connect(_)
            | Self::Uri(_)
            | Self::Folder { .. }
            | Self::Database(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Constraint(_) => "store.constraint",
            Self::StorageFull(_) => "store.full",
            Self::Unavailable(_) => "store.unavailable",
            Self::Timeout(_) => "store.timeout",
            Self::Corrupt(_) => "store.corrupt",
            Self::Migration(_) => "store.migration",
            Self::Schema { .. } => "store.schema",
            Self::Connect(_) => "store.connect",
            Self::Uri(_) => "store.uri",
            Self::Folder { source, .. } if is_full(source) => "store.full",
            Self::Folder { .. } => "store.folder",
            Self::Database(_) => "store.database",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Unavailable(_)).then_some(Duration::from_secs(1))
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
}

// Primary result codes of SQLite; the extended code's low byte.
const INTERRUPT: i64 = 9;
const BUSY: i64 = 5;
const LOCKED: i64 = 6;
const NOMEM: i64 = 7;
const READONLY: i64 = 8;
const IOERR: i64 = 10;
const CORRUPT: i64 = 11;
const FULL: i64 = 13;
const CANTOPEN: i64 = 14;
const CONSTRAINT: i64 = 19;
const NOTADB: i64 = 26;
/// The shared memory beside the log could not grow: the disk is full.
const IOERR_SHMSIZE: i64 = 4874;

// States of PostgreSQL (appendix A of its manual).
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const READ_ONLY: &str = "25006";
const DISK_FULL: &str = "53100";
const QUERY_CANCELED: &str = "57014";
const NOT_NULL_VIOLATION: &str = "23502";

/// The state that a PostgreSQL server told.
fn state(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    match error {
        sqlx::Error::Database(told) => told
            .try_downcast_ref::<PgDatabaseError>()
            .map(|told| Cow::Borrowed(told.code())),
        _ => None,
    }
}

/// Whether the server closed the connection with this state.
fn ends_connection(code: &str) -> bool {
    code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
}

fn postgres(error: sqlx::Error, code: &str) -> Error {
    match code {
        DISK_FULL => Error::StorageFull(error),
        QUERY_CANCELED => Error::Timeout(error),
        // The rest: a lock that did not come free, an I/O error of the server, a database that is
        // gone while the service runs.
        SERIALIZATION_FAILURE
        | DEADLOCK_DETECTED
        | READ_ONLY
        | "55P03"
        | "58030"
        | "3D000"
        | "57P04" => Error::Unavailable(error),
        "XX001" | "XX002" => Error::Corrupt(error),
        // No memory or connections left, a password that was changed.
        code if code.starts_with("53") || code.starts_with("28") || ends_connection(code) => {
            Error::Unavailable(error)
        }
        code if code.starts_with("23") => {
            let name = match &error {
                sqlx::Error::Database(told) => violated(told.as_ref()),
                _ => String::new(),
            };
            Error::Constraint(name)
        }
        _ => Error::Database(error),
    }
}

/// The name of a constraint; `table.column` of a column that may not be null.
fn violated(told: &dyn DatabaseError) -> String {
    let Some(told) = told.try_downcast_ref::<PgDatabaseError>() else {
        return String::new();
    };
    match (told.constraint(), told.table(), told.column()) {
        (Some(name), ..) => name.to_owned(),
        (None, Some(table), Some(column)) => format!("{table}.{column}"),
        _ => NOT_NULL_VIOLATION.to_owned(),
    }
}

impl From<Mistake> for Error {
    fn from(mistake: Mistake) -> Self {
        Self::Connect(mistake)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let Some(code) = state(&error).map(Cow::into_owned) {
            return postgres(error, &code);
        }
        let extended: i64 = match &error {
            sqlx::Error::Database(database) => database
                .code()
                .and_then(|code| code.parse().ok())
                .unwrap_or(0),
            sqlx::Error::Io(io) if is_full(io) => return Self::StorageFull(error),
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Tls(_) => return Self::Unavailable(error),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                return Self::Corrupt(error);
            }
            _ => return Self::Database(error),
        };
        match (extended, extended & 0xff) {
            (IOERR_SHMSIZE, _) | (_, FULL) => Self::StorageFull(error),
            (_, CONSTRAINT) => Self::Constraint(constraint_name(&error)),
            (_, BUSY | LOCKED | NOMEM | READONLY | IOERR | CANTOPEN) => Self::Unavailable(error),
            (_, INTERRUPT) => Self::Timeout(error),
            (_, CORRUPT | NOTADB) => Self::Corrupt(error),
            _ => Self::Database(error),
        }
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(source) => match Self::from(source) {
                Self::Database(source) => Self::Migration(MigrateError::Execute(source)),
                known => known,
            },
            MigrateError::ExecuteMigration(source, version) => match Self::from(source) {
                Self::Database(source) => {
                    Self::Migration(MigrateError::ExecuteMigration(source, version))
                }
                known => known,
            },
            other => Self::Migration(other),
        }
    }
}

/// `UNIQUE constraint failed: users.email` -> `users.email`; `… index 'name'` -> `name`.
fn constraint_name(error: &sqlx::Error) -> String {
    let message = match error {
        sqlx::Error::Database(database) => Cow::Borrowed(database.message()),
        other => Cow::Owned(other.to_string()),
    };
    match message.split_once("constraint failed: ") {
        Some((_, name)) => name
            .strip_prefix("index '")
            .and_then(|name| name.strip_suffix('\''))
            .unwrap_or(name),
        None if message.starts_with("FOREIGN KEY") => "foreign_key",
        None => &message,
    }
    .to_owned()
}
