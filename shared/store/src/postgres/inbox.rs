//! Events that a consumer has dealt with.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use touchstone_types::EventId;

use super::statements;
use crate::Error;

/// The table; copy it into the service's first migration.
pub const DDL: &str = "\
CREATE TABLE inbox (
    consumer TEXT NOT NULL,
    event_id UUID NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    CONSTRAINT inbox_pk PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_at ON inbox (at);
";

statements! {
    /// Notes that a consumer deals with an event.
    RECORD ["'consumer'", "gen_random_uuid()", "now()"] =
        "INSERT INTO inbox (consumer, event_id, at) VALUES ($1, $2, $3) \
         ON CONFLICT ON CONSTRAINT inbox_pk DO NOTHING";
    /// Forgets old events.
    PRUNE ["(SELECT min(at) + interval '1 second' FROM inbox)"] =
        "DELETE FROM inbox WHERE at < $1";
}

/// Fills the table.
pub const FILL: &str = "INSERT INTO inbox (consumer, event_id, at) \
     SELECT 'consumer', gen_random_uuid(), now() - n * interval '1 second' \
     FROM generate_series(1, $1) AS n";

/// Notes, in the transaction of the effect, that the consumer deals with the event.
///
/// Tells whether it is new; if not, the effect was committed before and must not be repeated. Of
/// two at once the second waits for the first and is told what became of it.
///
/// # Errors
/// As for any statement.
pub async fn record(
    connection: &mut PgConnection,
    consumer: &str,
    event_id: EventId,
    at: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query(RECORD)
        .bind(consumer)
        .bind(event_id.as_uuid())
        .bind(at)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets events that were dealt with before `before`; tells how many.
///
/// # Errors
/// As for any statement.
pub async fn prune(connection: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, Error> {
    let done = sqlx::query(PRUNE).bind(before).execute(connection).await?;
    Ok(done.rows_affected())
}
