use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use touchstone_error::{Classify, ErrorKind};

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
    /// The URI names no store that is built in.
    #[error("`{0}` is no store that is built in; expected `sqlite://<path>` or `sqlite::memory:`")]
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
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Constraint(_) => ErrorKind::Conflict,
            Self::StorageFull(_) => ErrorKind::StorageFull,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::Folder { source, .. } if is_full(source) => ErrorKind::StorageFull,
            Self::Corrupt(_)
            | Self::Migration(_)
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

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let extended: i64 = match &error {
            sqlx::Error::Database(database) => database
                .code()
                .and_then(|code| code.parse().ok())
                .unwrap_or(0),
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                return Self::Unavailable(error);
            }
            sqlx::Error::Io(io) if is_full(io) => return Self::StorageFull(error),
            sqlx::Error::Io(_) => return Self::Unavailable(error),
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
