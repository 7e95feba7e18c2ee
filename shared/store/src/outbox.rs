//! Events that wait in the database until the bus took them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use touchstone_api::events::Event;
use touchstone_types::EventId;

use crate::sqlite::{Database, commit};
use crate::{Error, decode_id, encode_id, from_micros, micros};

/// The table; copy it into the service's first migration.
///
/// `seq` never repeats and, with one writer, grows in the order of the commits.
pub const DDL: &str = "\
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL CONSTRAINT outbox_id UNIQUE,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    traceparent TEXT,
    payload TEXT NOT NULL,
    sent_at INTEGER
) STRICT;
CREATE INDEX outbox_pending ON outbox (seq) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;
";

/// Events of one statement: each statement is a trip to the thread of its connection and back.
const AT_ONCE: usize = 64;

/// Puts an event into the transaction of the fact that it tells.
///
/// # Errors
/// As for any statement.
pub async fn append(connection: &mut SqliteConnection, event: &Event) -> Result<(), Error> {
    append_all(connection, std::slice::from_ref(event)).await
}

/// Puts events into the transaction of the facts that they tell; they are sent in this order.
///
/// # Errors
/// As for any statement.
pub async fn append_all(connection: &mut SqliteConnection, events: &[Event]) -> Result<(), Error> {
    for some in events.chunks(AT_ONCE) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO outbox (id, topic, key, at, traceparent, payload) ",
        );
        query.push_values(some, |mut values, event| {
            values
                .push_bind(encode_id(event.id.as_uuid()))
                .push_bind(&event.topic)
                .push_bind(&event.key)
                .push_bind(micros(event.at))
                .push_bind(event.traceparent.as_deref())
                .push_bind(event.payload.to_string());
        });
        let query = query.build().persistent(is_usual(some.len()));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Whether a statement for so many events is worth being kept: others come in all lengths.
const fn is_usual(events: usize) -> bool {
    events == 1 || events == AT_ONCE
}

/// What a relay needs of the database behind it.
#[async_trait]
pub trait Outbox: Send + Sync + std::fmt::Debug + 'static {
    /// The oldest events that were not sent, in the order of their commits.
    async fn pending(&self, limit: u32) -> Result<Vec<Event>, Error>;

    /// How many events were not sent.
    async fn backlog(&self) -> Result<u64, Error>;

    /// Marks events that the bus took.
    async fn mark_sent(&self, ids: &[EventId], at: DateTime<Utc>) -> Result<(), Error>;

    /// Removes events that were sent before `before`; tells how many.
    async fn prune(&self, before: DateTime<Utc>) -> Result<u64, Error>;
}

#[async_trait]
impl Outbox for Database {
    async fn pending(&self, limit: u32) -> Result<Vec<Event>, Error> {
        let rows = sqlx::query(
            "SELECT id, topic, key, at, traceparent, payload FROM outbox \
             WHERE sent_at IS NULL ORDER BY seq LIMIT ?",
        )
        .bind(limit)
        .fetch_all(self.read())
        .await?;
        rows.iter()
            .map(|row| {
                let payload: &str = row.try_get("payload")?;
                Ok(Event {
                    id: decode_id(row.try_get("id")?)?,
                    topic: row.try_get("topic")?,
                    key: row.try_get("key")?,
                    at: from_micros(row.try_get("at")?),
                    traceparent: row.try_get("traceparent")?,
                    payload: serde_json::from_str(payload)
                        .map_err(|error| Error::Corrupt(sqlx::Error::Decode(Box::new(error))))?,
                })
            })
            .collect()
    }

    async fn backlog(&self) -> Result<u64, Error> {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
            .fetch_one(self.read())
            .await?;
        Ok(waiting.unsigned_abs())
    }

    async fn mark_sent(&self, ids: &[EventId], at: DateTime<Utc>) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        for some in ids.chunks(AT_ONCE) {
            let mut query = QueryBuilder::<Sqlite>::new("UPDATE outbox SET sent_at = ");
            query
                .push_bind(micros(at))
                .push(" WHERE sent_at IS NULL AND id IN (");
            let mut list = query.separated(", ");
            for id in some {
                list.push_bind(encode_id(id.as_uuid()));
            }
            query.push(")");
            let query = query.build().persistent(is_usual(some.len()));
            query.execute(&mut *tx).await?;
        }
        commit(tx).await
    }

    async fn prune(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("DELETE FROM outbox WHERE sent_at < ?")
            .bind(micros(before))
            .execute(&mut *tx)
            .await?;
        commit(tx).await?;
        Ok(done.rows_affected())
    }
}
