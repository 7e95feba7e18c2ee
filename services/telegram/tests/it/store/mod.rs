//! The service's tables, behind its back.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use sqlx::Connection;
use touchstone_store::StoreUri;

/// Changes a SQLite store; something must change.
pub async fn tamper(store: &StoreUri, statement: &str) {
    let file = store.as_str().replacen("sqlite://", "sqlite:", 1);
    let mut connection = sqlx::SqliteConnection::connect(&file).await.unwrap();
    let done = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
    let done = done.execute(&mut connection).await.unwrap();
    assert!(done.rows_affected() > 0, "{statement}");
}
