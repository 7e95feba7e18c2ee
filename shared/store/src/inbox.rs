//! Events that a consumer has dealt with.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use touchstone_types::EventId;

use crate::{Error, encode_id, micros};

/// The table; copy it into the service's first migration.
pub const DDL: &str = "\
CREATE TABLE inbox (
    consumer TEXT NOT NULL,
    event_id BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (consumer, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_at ON inbox (at);
";

/// Notes, in the transaction of the effect, that the consumer deals with the event.
///
/// Tells whether it is new; if not, the effect was committed before and must not be repeated.
pub async fn record(
    connection: &mut SqliteConnection,
    consumer: &str,
    event_id: EventId,
    at: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "INSERT INTO inbox (consumer, event_id, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(consumer)
    .bind(encode_id(event_id.as_uuid()))
    .bind(micros(at))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets events that were dealt with before `before`; tells how many.
pub async fn prune(connection: &mut SqliteConnection, before: DateTime<Utc>) -> Result<u64, Error> {
    let done = sqlx::query("DELETE FROM inbox WHERE at < ?")
        .bind(micros(before))
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
