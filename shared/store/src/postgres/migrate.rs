//! Brings a schema up to date, one process at a time.

use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use super::{Options, connect};
use crate::Error;

/// Longest time for the migrations of one service.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(10);
/// Longest wait for another process that migrates.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '5min'";
/// Class of the advisory locks: "touc".
const LOCK_CLASS: i32 = 0x746f_7563;

/// A migration that was not applied yet.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Pending {
    /// Its version.
    pub version: i64,
    /// What it does.
    pub description: String,
}

/// How a schema stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct State {
    /// Migrations that are in force.
    pub applied: usize,
    /// Migrations that are still to be applied, in order.
    pub pending: Vec<Pending>,
}

/// How the schema stands that the URI names, without changing it.
///
/// # Errors
/// [`Error::Connect`] when it cannot be reached, [`Error::Schema`] when it is not ours.
pub async fn state(
    uri: &str,
    schema: &str,
    migrator: &Migrator,
    options: &Options,
) -> Result<State, Error> {
    let connect = connect::options(uri, schema, options)?;
    let mut connection = connect::connect(&connect).await?;
    let state = compare(&mut connection, schema, migrator).await;
    let _ = connection.close().await;
    state
}

/// Applies what is pending in a schema, making it if need be; tells what that was.
///
/// # Errors
/// As [`state`], and [`Error::Migration`] when a migration fails; those before it stay applied.
pub async fn bring_up_to_date(
    uri: &str,
    schema: &str,
    migrator: &Migrator,
    options: &Options,
) -> Result<Vec<Pending>, Error> {
    let before = state(uri, schema, migrator, options).await?;
    let connect = connect::options(uri, schema, options)?;
    let willing = Options {
        migrate: true,
        ..options.clone()
    };
    prepare(&connect, schema, migrator, &willing).await?;
    Ok(before.pending)
}

/// Migrates, or checks that there is nothing to migrate.
pub(super) async fn prepare(
    connect: &PgConnectOptions,
    schema: &str,
    migrator: &Migrator,
    options: &Options,
) -> Result<(), Error> {
    let mut connection = connect::connect(connect).await?;
    let work = async {
        let found = compare(&mut connection, schema, migrator).await?;
        if found.pending.is_empty() {
            return Ok(());
        }
        if !options.migrate
            && let Some(error) = found.older(schema)
        {
            return Err(error);
        }
        migrate(&mut connection, schema, migrator).await
    };
    let done = match tokio::time::timeout(MIGRATION_TIMEOUT, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::timed_out()),
    };
    if done.is_ok() {
        let _ = connection.close().await;
    }
    done
}

impl State {
    /// What is wrong with a schema that may not be changed, if it lacks migrations.
    pub fn older(&self, schema: &str) -> Option<Error> {
        let versions: Vec<_> = self
            .pending
            .iter()
            .map(|pending| pending.version.to_string())
            .collect();
        (!versions.is_empty()).then(|| Error::Schema {
            schema: schema.to_owned(),
            problem: format!(
                "is older than this program: {} of {} migrations are missing ({}); run \
                 `touchstone migrate`",
                versions.len(),
                versions.len() + self.applied,
                versions.join(", ")
            ),
        })
    }
}

/// Compares what was applied with what is known.
async fn compare(
    connection: &mut PgConnection,
    schema: &str,
    migrator: &Migrator,
) -> Result<State, Error> {
    let wrong = |problem: String| Error::Schema {
        schema: schema.to_owned(),
        problem,
    };
    let known: Vec<&Migration> = migrator.iter().collect();
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(format!("\"{schema}\".{}", migrator.table_name))
        .fetch_one(&mut *connection)
        .await?;
    let applied = if exists {
        connection
            .list_applied_migrations(&migrator.table_name)
            .await?
    } else {
        Vec::new()
    };
    for done in &applied {
        match known
            .iter()
            .find(|migration| migration.version == done.version)
        {
            None => {
                return Err(wrong(format!(
                    "is newer than this program: migration {} is not known here; start the \
                     version that made it, or a later one",
                    done.version
                )));
            }
            Some(migration) if migration.checksum != done.checksum => {
                return Err(wrong(format!(
                    "was made by another text of migration {}; migrations are never edited",
                    done.version
                )));
            }
            Some(_) => {}
        }
    }
    let pending = known
        .iter()
        .filter(|migration| !applied.iter().any(|done| done.version == migration.version))
        .map(|migration| Pending {
            version: migration.version,
            description: migration.description.to_string(),
        })
        .collect();
    Ok(State {
        applied: applied.len(),
        pending,
    })
}

/// Applies what is pending while holding the schema's advisory lock, which goes with the
/// connection: a process that dies half way holds nobody up.
async fn migrate(
    connection: &mut PgConnection,
    schema: &str,
    migrator: &Migrator,
) -> Result<(), Error> {
    connection.execute(LOCK_TIMEOUT).await?;
    connection.execute("SET statement_timeout = 0").await?;
    connection
        .execute("SET idle_in_transaction_session_timeout = 0")
        .await?;
    let lock = "SELECT pg_advisory_lock($1, hashtext($2))";
    sqlx::query(lock)
        .bind(LOCK_CLASS)
        .bind(schema)
        .execute(&mut *connection)
        .await?;
    // `CREATE SCHEMA IF NOT EXISTS` needs the right to create even when there is nothing to do.
    let exists: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
        .bind(format!("\"{schema}\""))
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""));
        connection.execute(create).await?;
    }
    connection
        .ensure_migrations_table(&migrator.table_name)
        .await?;
    // Read anew under the lock: another process may have done it meanwhile.
    let state = compare(connection, schema, migrator).await?;
    for pending in &state.pending {
        let Some(migration) = migrator
            .iter()
            .find(|migration| migration.version == pending.version)
        else {
            continue;
        };
        connection
            .apply(&migrator.table_name, migration)
            .await
            .map_err(|error| match error {
                MigrateError::Execute(source) => {
                    Error::from(MigrateError::ExecuteMigration(source, pending.version))
                }
                other => Error::from(other),
            })?;
        tracing::info!(
            schema,
            version = pending.version,
            "applied migration {} of `{schema}`: {}",
            pending.version,
            pending.description
        );
    }
    Ok(())
}
