//! Transactions of workers; each names the claim under which documents are held.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use touchstone_api::events::{DocumentWork, WorkAction};
use touchstone_store::sqlite::{Database, commit};
use touchstone_store::{decode_id, from_micros, inbox, micros};
use touchstone_types::{DocumentId, EventId};
use uuid::Uuid;

use super::blob;
use super::reads::{read_chunk, read_text};
use crate::store::common::{CONSUMER, action_word, corrupt, word};
use crate::store::{Claim, Claimed, Error, NewChunk, Stats, StoredText};

pub async fn recover(db: &Database, now: DateTime<Utc>) -> Result<u64, Error> {
    let mut tx = db.begin().await?;
    let done = sqlx::query(
        "UPDATE work SET claim = NULL, visible_at = ?1, \
         losses = losses + iif(superseded, 0, 1), superseded = 0 WHERE claim IS NOT NULL",
    )
    .bind(micros(now))
    .execute(&mut *tx)
    .await?;
    commit(tx).await?;
    Ok(done.rows_affected())
}

pub async fn announce(
    db: &Database,
    events: &[(EventId, DocumentWork)],
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let mut tx = db.begin().await?;
    let mut visible = 0;
    for (event, work) in events {
        if !inbox::record(&mut tx, CONSUMER, *event, now).await? {
            continue;
        }
        // Work that waits for a dependency or for its next attempt is not hurried.
        visible += sqlx::query(
            "UPDATE work SET visible_at = ?1 WHERE document_id = ?2 AND tenant_id = ?3 \
             AND version = ?4 AND action = ?5 AND claim IS NULL AND visible_at > ?1 \
             AND attempts = 0 AND waits = 0",
        )
        .bind(micros(now))
        .bind(blob(work.document_id.as_uuid()))
        .bind(blob(work.tenant_id.as_uuid()))
        .bind(work.version)
        .bind(action_word(work.action))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    }
    commit(tx).await?;
    Ok(visible)
}

pub async fn has_work(db: &Database, now: DateTime<Utc>) -> Result<bool, Error> {
    let found: i64 = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM work WHERE visible_at <= ?)")
        .bind(micros(now))
        .fetch_one(db.read())
        .await?;
    Ok(found != 0)
}

pub async fn claim(db: &Database, claim: &Claim) -> Result<Vec<Claimed>, Error> {
    let mut tx = db.begin().await?;
    let ids = choose(&mut tx, claim).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut update = QueryBuilder::<Sqlite>::new(
        "UPDATE work SET losses = losses + \
         iif(claim IS NOT NULL AND NOT superseded, 1, 0), superseded = 0, claim = ",
    );
    update
        .push_bind(blob(&claim.id))
        .push(", visible_at = ")
        .push_bind(micros(claim.until));
    update.push(" WHERE document_id IN (");
    let mut list = update.separated(", ");
    for id in &ids {
        list.push_bind(blob(id.as_uuid()));
    }
    update.push(")");
    update.build().execute(&mut *tx).await?;
    let rows = sqlx::query(
        "SELECT w.document_id, w.tenant_id, w.version, w.action, w.rebuild, w.attempts, w.losses, \
         w.waits, w.wait_code, d.status, d.filename, d.title, d.format, d.language, \
         d.language_given, d.source, d.metadata, d.created_at \
         FROM work w JOIN documents d ON d.id = w.document_id WHERE w.claim = ? \
         ORDER BY w.document_id",
    )
    .bind(blob(&claim.id))
    .fetch_all(&mut *tx)
    .await?;
    let claimed = rows
        .iter()
        .map(read_claimed)
        .collect::<Result<Vec<_>, Error>>()?;
    commit(tx).await?;
    Ok(claimed)
}

/// The oldest visible work, and more of its tenant.
async fn choose(
    connection: &mut SqliteConnection,
    claim: &Claim,
) -> Result<Vec<DocumentId>, Error> {
    let first = sqlx::query(
        "SELECT document_id, tenant_id, attempts + losses > 0 OR claim IS NOT NULL AS alone \
         FROM work WHERE visible_at <= ? ORDER BY visible_at LIMIT 1",
    )
    .bind(micros(claim.now))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(first) = first else {
        return Ok(Vec::new());
    };
    if first.try_get::<bool, _>("alone")? {
        return Ok(vec![decode_id(first.try_get("document_id")?)?]);
    }
    let rows = sqlx::query(
        "SELECT w.document_id, d.size_bytes FROM work w JOIN documents d ON d.id = w.document_id \
         WHERE w.tenant_id = ? AND w.visible_at <= ? AND w.attempts = 0 AND w.losses = 0 \
         AND w.claim IS NULL ORDER BY w.visible_at LIMIT ?",
    )
    .bind(first.try_get::<&[u8], _>("tenant_id")?)
    .bind(micros(claim.now))
    .bind(claim.documents)
    .fetch_all(connection)
    .await?;
    let (mut ids, mut bytes) = (Vec::with_capacity(rows.len()), 0);
    for row in &rows {
        bytes += row.try_get::<i64, _>("size_bytes")?.unsigned_abs();
        if !ids.is_empty() && bytes > claim.bytes {
            break;
        }
        ids.push(decode_id(row.try_get("document_id")?)?);
    }
    Ok(ids)
}

fn read_claimed(row: &SqliteRow) -> Result<Claimed, Error> {
    let given: bool = row.try_get("language_given")?;
    let language: String = row.try_get("language")?;
    Ok(Claimed {
        id: decode_id(row.try_get("document_id")?)?,
        tenant: decode_id(row.try_get("tenant_id")?)?,
        version: row.try_get("version")?,
        action: match row.try_get::<&str, _>("action")? {
            "remove" => WorkAction::Remove,
            _ => WorkAction::Ingest,
        },
        rebuild: row.try_get("rebuild")?,
        attempts: row.try_get("attempts")?,
        losses: row.try_get("losses")?,
        waits: row.try_get("waits")?,
        wait_code: row.try_get("wait_code")?,
        status: word(row.try_get("status")?)?,
        filename: row.try_get("filename")?,
        title: row.try_get("title")?,
        format: row.try_get("format")?,
        language: given.then_some(language),
        source: word(row.try_get("source")?)?,
        metadata: serde_json::from_str(row.try_get("metadata")?).map_err(corrupt)?,
        created_at: from_micros(row.try_get("created_at")?),
    })
}

pub async fn originals(
    db: &Database,
    versions: &[(DocumentId, u32)],
) -> Result<Vec<(DocumentId, Bytes)>, Error> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT document_id, body FROM originals WHERE (document_id, version) IN (VALUES ",
    );
    let mut list = query.separated(", ");
    for (id, version) in versions {
        list.push("(").push_bind_unseparated(blob(id.as_uuid()));
        list.push_unseparated(", ")
            .push_bind_unseparated(*version)
            .push_unseparated(")");
    }
    query.push(")");
    let rows = query.build().fetch_all(db.read()).await?;
    rows.iter()
        .map(|row| {
            let body: Vec<u8> = row.try_get("body")?;
            Ok((decode_id(row.try_get("document_id")?)?, Bytes::from(body)))
        })
        .collect()
}

pub async fn stored(
    db: &Database,
    id: DocumentId,
    version: u32,
) -> Result<Option<(StoredText, Vec<NewChunk>)>, Error> {
    let text = sqlx::query(
        "SELECT document_id, version, title, body FROM texts WHERE document_id = ? AND version = ?",
    )
    .bind(blob(id.as_uuid()))
    .bind(version)
    .fetch_optional(db.read())
    .await?;
    let Some(text) = text else { return Ok(None) };
    let rows = sqlx::query(
        "SELECT ordinal, start_byte, end_byte, heading FROM chunks \
         WHERE document_id = ? AND version = ? ORDER BY ordinal",
    )
    .bind(blob(id.as_uuid()))
    .bind(version)
    .fetch_all(db.read())
    .await?;
    let chunks = rows.iter().map(read_chunk).collect::<Result<_, _>>()?;
    Ok(Some((read_text(&text)?, chunks)))
}

pub async fn held(db: &Database, claim: Uuid) -> Result<Vec<DocumentId>, Error> {
    let rows = sqlx::query("SELECT document_id FROM work WHERE claim = ? AND NOT superseded")
        .bind(blob(&claim))
        .fetch_all(db.read())
        .await?;
    rows.iter()
        .map(|row| decode_id(row.try_get("document_id")?))
        .collect()
}

pub async fn renew(
    db: &Database,
    claim: Uuid,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<DocumentId>, Error> {
    let mut tx = db.begin().await?;
    sqlx::query(
        "UPDATE work SET claim = NULL, superseded = 0, visible_at = ? \
         WHERE claim = ? AND superseded",
    )
    .bind(micros(now))
    .bind(blob(&claim))
    .execute(&mut *tx)
    .await?;
    let rows = sqlx::query("UPDATE work SET visible_at = ? WHERE claim = ? RETURNING document_id")
        .bind(micros(until))
        .bind(blob(&claim))
        .fetch_all(&mut *tx)
        .await?;
    let held = rows
        .iter()
        .map(|row| decode_id(row.try_get("document_id")?))
        .collect();
    commit(tx).await?;
    held
}

pub async fn stats(db: &Database) -> Result<Stats, Error> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM work) AS queued, \
         (SELECT min(queued_at) FROM work) AS oldest, \
         (SELECT count(*) FROM dead_letters) AS dead",
    )
    .fetch_one(db.read())
    .await?;
    Ok(Stats {
        queued: row.try_get::<i64, _>("queued")?.unsigned_abs(),
        oldest: row.try_get::<Option<i64>, _>("oldest")?.map(from_micros),
        dead_letters: row.try_get::<i64, _>("dead")?.unsigned_abs(),
    })
}

pub async fn prune(db: &Database, now: DateTime<Utc>, age: Duration) -> Result<u64, Error> {
    let before = now - age;
    let mut tx = db.begin().await?;
    let keys = sqlx::query("DELETE FROM idempotency_keys WHERE at < ?")
        .bind(micros(before))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    let seen = inbox::prune(&mut tx, before).await?;
    commit(tx).await?;
    Ok(keys + seen)
}
