//! The embedded relational store: one file, one writer, a few readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};

use crate::pools::{self, Waits};
use crate::{DirLock, DirLockError, Error};

/// Connections that read.
const READERS: u32 = 4;
/// How long to wait for a connection before the store counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for a lock of another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers above the first close after this.
const READER_IDLE: Duration = Duration::from_secs(30);
/// Page cache of a connection; negative means KiB.
const CACHE_KIB: &str = "-1024";
/// The log shrinks back to this after a checkpoint, bytes.
const JOURNAL_LIMIT: &str = "16777216";
/// Prepared statements kept per connection.
const STATEMENTS: usize = 64;

/// Name of the folder of a private database begins with this.
const PRIVATE: &str = "touchstone-";
/// File of a private database.
const PRIVATE_FILE: &str = "memory.db";
/// How often its removal is tried, and the pause between.
const REMOVALS: u32 = 20;
const REMOVAL_PAUSE: Duration = Duration::from_millis(5);

/// A write transaction; dropping it rolls back.
pub type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

/// A SQLite database of one service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    readers: SqlitePool,
    writer: SqlitePool,
    waits: Waits,
    file: PathBuf,
    // Keeps the folder of a private database until the last handle goes.
    _private: Option<Arc<Private>>,
}

impl Database {
    /// Opens the database, making file and folders if need be, and applies the migrations.
    ///
    /// # Errors
    /// [`Error::Uri`] for another kind of store, [`Error::Corrupt`] when the file is no database,
    /// [`Error::Migration`] when it was made by other migrations.
    pub async fn open(uri: &str, migrator: &Migrator) -> Result<Self, Error> {
        let (file, private) = locate(uri)?;
        let base = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS)
            .pragma("cache_size", CACHE_KIB)
            .pragma("mmap_size", "0")
            .pragma("temp_store", "MEMORY");
        let durability = if private.is_some() {
            SqliteSynchronous::Off
        } else {
            SqliteSynchronous::Full
        };
        let writer = pool()
            .min_connections(1)
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(
                base.clone()
                    .auto_vacuum(SqliteAutoVacuum::Incremental)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(durability)
                    .pragma("journal_size_limit", JOURNAL_LIMIT),
            )
            .await?;
        migrator.run(&writer).await?;
        let readers = pool()
            .min_connections(1)
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(READER_IDLE)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(base.pragma("query_only", "ON"))
            .await?;
        let waits = Waits::default();
        for (name, most, pool, waits) in [
            ("readers", READERS, &readers, None),
            ("writer", 1, &writer, Some(&waits)),
        ] {
            let pool = pool.clone();
            pools::opened(name, most, waits, move || (pool.size(), pool.num_idle()));
        }
        tracing::debug!(store.file = %file.display(), "opened the database");
        Ok(Self {
            waits,
            readers,
            writer,
            file,
            _private: private.map(Arc::new),
        })
    }

    /// The readers; they refuse to write.
    pub const fn read(&self) -> &SqlitePool {
        &self.readers
    }

    /// Begins a transaction on the one writer, which it holds until commit or drop.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the writer does not come free in time.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        let asked = Instant::now();
        let begun = self.writer.begin_with(BEGIN).await;
        self.waits.record(asked.elapsed());
        match begun {
            // SQLite rolls back by itself when the disk is full; the driver misses that and takes
            // the connection to be inside a transaction for ever.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.writer.acquire().await?.close().await?;
                Ok(self.writer.begin_with(BEGIN).await?)
            }
            begun => Ok(begun?),
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    /// The database's file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Closes every connection and folds the log into the file; later calls fail.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A pool whose connections are late, or do not come, when such faults can be asked for.
fn pool() -> SqlitePoolOptions {
    let options = SqlitePoolOptions::new();
    if !touchstone_faults::are_possible() {
        return options;
    }
    options.before_acquire(|_, _| {
        Box::pin(async {
            touchstone_faults::before_connection(ACQUIRE_TIMEOUT).await;
            Ok(true)
        })
    })
}

/// Commits: durable when it returns.
pub async fn commit(transaction: Transaction) -> Result<(), Error> {
    Ok(transaction.commit().await?)
}

/// The folder of a private database. Goes with its last handle; when that never goes (a process
/// that was killed, a handle in a circle), the next private database of another process removes it.
#[derive(Debug)]
struct Private {
    folder: PathBuf,
    /// Says that somebody uses the folder.
    _lock: DirLock,
}

impl Private {
    fn make(parent: &Path) -> Result<Self, Error> {
        let failed = |path: &Path, source| Error::Folder {
            path: path.display().to_string(),
            source,
        };
        sweep(parent);
        let folder = tempfile::Builder::new()
            .prefix(PRIVATE)
            .tempdir_in(parent)
            .map_err(|source| failed(parent, source))?;
        let lock = DirLock::acquire(folder.path()).map_err(|error| match error {
            DirLockError::Taken(path) => failed(&path, std::io::ErrorKind::ResourceBusy.into()),
            DirLockError::Io { path, source } => failed(&path, source),
        })?;
        Ok(Self {
            folder: folder.keep(),
            _lock: lock,
        })
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Connections close in threads of their own, and may still write their files.
        for _ in 0..REMOVALS {
            match std::fs::remove_dir_all(&self.folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    std::thread::sleep(REMOVAL_PAUSE);
                }
                _ => return,
            }
        }
    }
}

/// Removes the folders of private databases that nobody uses.
fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let folder = entry.path();
        let is_ours = entry.file_name().to_string_lossy().starts_with(PRIVATE);
        // Without the lock's file it is somebody's who is about to take the lock, or not ours.
        if is_ours && folder.join(PRIVATE_FILE).exists() && DirLock::is_free(&folder) {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// The database's file, with its folder if it is a private one.
fn locate(uri: &str) -> Result<(PathBuf, Option<Private>), Error> {
    let folder_error = |path: &Path, source| Error::Folder {
        path: path.display().to_string(),
        source,
    };
    let unknown = || Error::Uri(crate::uri::redact(uri));
    let rest = uri.strip_prefix("sqlite:").ok_or_else(unknown)?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path == ":memory:" {
        let private = Private::make(&std::env::temp_dir())?;
        return Ok((private.folder.join(PRIVATE_FILE), Some(private)));
    }
    if path.is_empty() || path.ends_with('/') || path.contains(['?', '#']) {
        return Err(unknown());
    }
    let file = PathBuf::from(path);
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(|source| folder_error(folder, source))?;
    }
    Ok((file, None))
}

#[cfg(test)]
mod tests;
