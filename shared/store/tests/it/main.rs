//! The store on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod asked;
mod explain;
mod faults;
mod outbox;
mod schema;
mod work;

use std::time::Duration;

use sqlx::migrate::Migrator;
use touchstone_store::Error;
use touchstone_store::postgres::{Database, Flow, Options, read, write};

static MIGRATOR: Migrator = sqlx::migrate!("tests/postgres");
const SCHEMA: &str = "notes";

/// Options under which waiting ends soon.
fn hasty() -> Options {
    Options {
        acquire_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(1),
        operation_timeout: Duration::from_millis(1500),
        ..Options::default()
    }
}

async fn open(url: &str, options: &Options) -> Result<Database, Error> {
    Database::open(url, SCHEMA, &MIGRATOR, options).await
}

async fn insert(db: &Database, name: &str, size: i64, parent: Option<i64>) -> Result<(), Error> {
    write!(db, |tx| {
        sqlx::query("INSERT INTO notes (name, size, parent) VALUES ($1, $2, $3)")
            .bind(name)
            .bind(size)
            .bind(parent)
            .execute(tx)
            .await?;
        Ok(Flow::Commit(()))
    })
}

async fn count(db: &Database) -> Result<i64, Error> {
    read!(db, |connection| {
        Ok(sqlx::query_scalar("SELECT count(*) FROM notes")
            .fetch_one(connection)
            .await?)
    })
}

/// Runs statements behind the store's back.
async fn execute(url: &str, sql: impl Into<String>) {
    use sqlx::{Connection, Executor};
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let sql = sqlx::AssertSqlSafe(sql.into());
    connection.execute(sqlx::raw_sql(sql)).await.unwrap();
    connection.close().await.unwrap();
}

fn database_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}
