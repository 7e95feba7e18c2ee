//! Events that wait in the database until the bus took them.
//!
//! Relays of several processes work on one outbox, one at a time, so that the events of a key stay
//! in order: whoever finds something pending takes the lease for a few seconds, and frees it when
//! nothing is left. A relay that dies or hangs loses it by the clock of the server; what it had
//! published and not marked is published again.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use touchstone_api::events::Event;
use touchstone_types::EventId;
use uuid::Uuid;

use super::{Database, Flow, bulk, read, statements, write};
use crate::{Error, Outbox};

/// How long a relay holds the outbox without a sign of life.
const LEASE: Duration = Duration::from_secs(5);

/// The tables; copy them into the service's first migration.
///
/// `seq` grows in the order of the commits for the events of one key, as long as a transaction
/// locks what the key names before it appends.
pub const DDL: &str = "\
CREATE TABLE outbox (
    seq BIGINT GENERATED ALWAYS AS IDENTITY CONSTRAINT outbox_pk PRIMARY KEY,
    id UUID NOT NULL CONSTRAINT outbox_id UNIQUE,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    traceparent TEXT,
    payload TEXT NOT NULL,
    sent_at TIMESTAMPTZ
);
CREATE INDEX outbox_pending ON outbox (seq) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;

CREATE TABLE outbox_lease (
    id SMALLINT NOT NULL CONSTRAINT outbox_lease_pk PRIMARY KEY CONSTRAINT outbox_lease_one CHECK (id = 1),
    holder UUID,
    until TIMESTAMPTZ NOT NULL
);
INSERT INTO outbox_lease (id, holder, until) VALUES (1, NULL, now());
";

statements! {
    /// Puts events into the transaction of their facts, in their order.
    APPEND [
        "ARRAY[gen_random_uuid()]", "ARRAY['topic']", "ARRAY['key']", "ARRAY[now()]",
        "ARRAY[NULL::text]", "ARRAY['{}']",
    ] =
        "INSERT INTO outbox (id, topic, key, at, traceparent, payload) \
         SELECT id, topic, key, at, traceparent, payload FROM unnest($1::uuid[], $2::text[], \
         $3::text[], $4::timestamptz[], $5::text[], $6::text[]) WITH ORDINALITY \
         AS event (id, topic, key, at, traceparent, payload, place) ORDER BY place";
    /// Whether anything waits.
    WAITING [] = "SELECT EXISTS (SELECT 1 FROM outbox WHERE sent_at IS NULL)";
    /// Takes or extends the lease, without waiting for whoever is about to.
    HOLD ["gen_random_uuid()", "5"] =
        "UPDATE outbox_lease SET holder = $1, \
         until = clock_timestamp() + make_interval(secs => $2) WHERE id IN \
         (SELECT id FROM outbox_lease WHERE holder IS NULL OR holder = $1 \
          OR until <= clock_timestamp() FOR UPDATE SKIP LOCKED)";
    /// The oldest events that were not sent.
    PENDING ["256"] =
        "SELECT id, topic, key, at, traceparent, payload FROM outbox \
         WHERE sent_at IS NULL ORDER BY seq LIMIT $1";
    /// How many events were not sent.
    BACKLOG [] = "SELECT count(*) FROM outbox WHERE sent_at IS NULL";
    /// Marks events that the bus took.
    MARK [
        "(SELECT array_agg(id) FROM (SELECT id FROM outbox WHERE sent_at IS NULL LIMIT 256) AS o)",
        "now()",
    ] = "UPDATE outbox SET sent_at = $2 WHERE id = ANY($1) AND sent_at IS NULL";
    /// Frees the lease when nothing waits any more.
    FREE ["gen_random_uuid()"] =
        "UPDATE outbox_lease SET holder = NULL, until = clock_timestamp() \
         WHERE holder = $1 AND NOT EXISTS (SELECT 1 FROM outbox WHERE sent_at IS NULL)";
    /// Removes events that were sent long ago.
    PRUNE ["(SELECT min(sent_at) + interval '1 second' FROM outbox)"] =
        "DELETE FROM outbox WHERE sent_at < $1";
}

/// Fills the table; one event in a hundred is pending.
pub const FILL: &str = "INSERT INTO outbox (id, topic, key, at, payload, sent_at) \
     SELECT gen_random_uuid(), 'topic', n::text, now() - n * interval '1 second', '{}', \
     CASE WHEN n % 100 = 0 THEN NULL ELSE now() - n * interval '1 second' END \
     FROM generate_series(1, $1) AS n";

/// Puts an event into the transaction of the fact that it tells.
///
/// # Errors
/// As for any statement.
pub async fn append(connection: &mut PgConnection, event: &Event) -> Result<(), Error> {
    append_all(connection, std::slice::from_ref(event)).await
}

/// Puts events into the transaction of the facts that they tell; they are sent in this order.
///
/// # Errors
/// As for any statement.
pub async fn append_all(connection: &mut PgConnection, events: &[Event]) -> Result<(), Error> {
    fn each<'a, T>(events: &'a [Event], value: impl Fn(&'a Event) -> T) -> Vec<T> {
        events.iter().map(value).collect()
    }
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query(APPEND)
        .bind(each(events, |event| *event.id.as_uuid()))
        .bind(each(events, |event| event.topic.as_str()))
        .bind(each(events, |event| event.key.as_str()))
        .bind(each(events, |event| event.at))
        .bind(each(events, |event| event.traceparent.as_deref()))
        .bind(each(events, |event| event.payload.to_string()))
        .execute(connection)
        .await?;
    Ok(())
}

fn event(row: &PgRow) -> Result<Event, Error> {
    let payload: &str = row.try_get("payload")?;
    Ok(Event {
        id: EventId::from_uuid(row.try_get("id")?),
        topic: row.try_get("topic")?,
        key: row.try_get("key")?,
        at: row.try_get("at")?,
        traceparent: row.try_get("traceparent")?,
        payload: serde_json::from_str(payload)
            .map_err(|error| Error::Corrupt(sqlx::Error::Decode(Box::new(error))))?,
    })
}

#[async_trait]
impl Outbox for Database {
    async fn pending(&self, limit: u32) -> Result<Vec<Event>, Error> {
        let holder = self.0.holder;
        read!(self, |connection| {
            // Nothing is written while there is nothing to do.
            let waiting: bool = sqlx::query_scalar(WAITING)
                .fetch_one(&mut *connection)
                .await?;
            if !waiting {
                return Ok(Vec::new());
            }
            // Done twice by a repeated read, it does no harm.
            let held = sqlx::query(HOLD)
                .bind(holder)
                .bind(LEASE.as_secs_f64())
                .execute(&mut *connection)
                .await?;
            if held.rows_affected() == 0 {
                return Ok(Vec::new());
            }
            // Looked at once the lease was had: what its last holder sent is marked by now.
            let rows = sqlx::query(PENDING)
                .bind(i64::from(limit))
                .fetch_all(connection)
                .await?;
            rows.iter().map(event).collect()
        })
    }

    async fn backlog(&self) -> Result<u64, Error> {
        read!(self, |connection| {
            let waiting: i64 = sqlx::query_scalar(BACKLOG).fetch_one(connection).await?;
            Ok(waiting.unsigned_abs())
        })
    }

    async fn mark_sent(&self, ids: &[EventId], at: DateTime<Utc>) -> Result<(), Error> {
        let holder = self.0.holder;
        let ids: Vec<Uuid> = ids.iter().map(|id| *id.as_uuid()).collect();
        write!(self, |tx| {
            sqlx::query(MARK)
                .bind(&ids)
                .bind(at)
                .execute(&mut *tx)
                .await?;
            sqlx::query(FREE).bind(holder).execute(tx).await?;
            Ok(Flow::Commit(()))
        })
    }

    async fn prune(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        bulk!(self, |tx| {
            let done = sqlx::query(PRUNE).bind(before).execute(tx).await?;
            Ok(Flow::Commit(done.rows_affected()))
        })
    }
}
