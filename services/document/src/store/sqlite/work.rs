//! Transactions of workers; each names the claim under which documents are held.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use touchstone_api::events::{DocumentWork, WorkAction};
use touchstone_store::sqlite::{Database, commit};
use touchstone_store::{decode_id, from_micros, inbox, micros};
use touchstone_types::{DocumentId, DocumentStatus, EventId, TenantId};
use uuid::Uuid;

use super::reads::{read_chunk, read_text};
use super::{Subject, action_word, blob, corrupt, note, queue, tell_status, word};
use crate::domain::ingestion::{Change, apply, apply_all};
use crate::store::{
    Claim, Claimed, Error, Failure, NewChunk, Outcome, Parsed, Passed, Stamp, Stats, StoredText,
};

/// Name of the consumer in the inbox.
const CONSUMER: &str = "document.ingest";
/// Rows of chunks per statement.
const CHUNK_ROWS: usize = 500;

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
    let mut update = QueryBuilder::<Sqlite>::new("UPDATE work SET losses = losses + \
         iif(claim IS NOT NULL AND NOT superseded, 1, 0), superseded = 0, claim = ");
    update.push_bind(blob(&claim.id)).push(", visible_at = ").push_bind(micros(claim.until));
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
    let claimed = rows.iter().map(read_claimed).collect::<Result<Vec<_>, Error>>()?;
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
    let Some(first) = first else { return Ok(Vec::new()) };
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
        list.push_unseparated(", ").push_bind_unseparated(*version).push_unseparated(")");
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
    rows.iter().map(|row| decode_id(row.try_get("document_id")?)).collect()
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
    let held = rows.iter().map(|row| decode_id(row.try_get("document_id")?)).collect();
    commit(tx).await?;
    held
}

/// A document that the claim holds.
struct Holding {
    subject: Subject,
    status: DocumentStatus,
    attempt: u32,
    wait_code: Option<String>,
    deleted: bool,
}

/// What the claim holds of `ids`; what requests have changed since is let go.
async fn holdings(
    connection: &mut SqliteConnection,
    claim: Uuid,
    ids: impl Iterator<Item = DocumentId>,
    now: DateTime<Utc>,
) -> Result<HashMap<DocumentId, Holding>, Error> {
    let rows = sqlx::query(
        "SELECT w.document_id, w.tenant_id, w.version, w.superseded, w.wait_code, \
         1 + w.attempts + w.losses AS attempt, d.status, d.deleted_at IS NOT NULL AS deleted \
         FROM work w JOIN documents d ON d.id = w.document_id WHERE w.claim = ?",
    )
    .bind(blob(&claim))
    .fetch_all(&mut *connection)
    .await?;
    let (mut held, mut superseded) = (HashMap::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        let id: DocumentId = decode_id(row.try_get("document_id")?)?;
        if row.try_get("superseded")? {
            superseded.push(id);
            continue;
        }
        let tenant: TenantId = decode_id(row.try_get("tenant_id")?)?;
        let holding = Holding {
            subject: Subject { tenant, id, version: row.try_get("version")? },
            status: word(row.try_get("status")?)?,
            attempt: row.try_get("attempt")?,
            wait_code: row.try_get("wait_code")?,
            deleted: row.try_get("deleted")?,
        };
        held.insert(id, holding);
    }
    for id in ids.filter(|id| superseded.contains(id)) {
        let_go(connection, id, now).await?;
    }
    Ok(held)
}

/// Gives work that a request has changed back to everybody.
async fn let_go(
    connection: &mut SqliteConnection,
    id: DocumentId,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE work SET claim = NULL, superseded = 0, visible_at = ? WHERE document_id = ?",
    )
    .bind(micros(at))
    .bind(blob(id.as_uuid()))
    .execute(connection)
    .await?;
    Ok(())
}

/// The state after the changes, which go into the timeline; `None` when one does not fit.
async fn pass(
    connection: &mut SqliteConnection,
    holding: &Holding,
    passed: &[Passed],
) -> Result<Option<DocumentStatus>, Error> {
    if apply_all(holding.status, passed.iter().map(|step| step.change)).is_err() {
        return Ok(None);
    }
    let mut status = holding.status;
    for step in passed {
        let next = apply(status, step.change).unwrap_or(status);
        let detail = step.detail.as_deref();
        note(connection, holding.subject, step.at, next, holding.attempt, detail).await?;
        status = next;
    }
    Ok(Some(status))
}

pub async fn put_chunks(
    db: &Database,
    claim: Uuid,
    parsed: &[Parsed],
) -> Result<Vec<DocumentId>, Error> {
    let Some(now) = parsed.iter().flat_map(|item| &item.passed).map(|step| step.at).max() else {
        return Ok(Vec::new());
    };
    let mut tx = db.begin().await?;
    let held = holdings(&mut tx, claim, parsed.iter().map(|item| item.id), now).await?;
    let mut done = Vec::with_capacity(parsed.len());
    for item in parsed {
        let Some(holding) = held.get(&item.id).filter(|it| it.subject.version == item.version)
        else {
            continue;
        };
        let Some(status) = pass(&mut tx, holding, &item.passed).await? else {
            let_go(&mut tx, item.id, now).await?;
            continue;
        };
        write_text(&mut tx, holding.subject, item).await?;
        sqlx::query(
            "UPDATE documents SET status = ?, title = ?, language = ?, chunk_count = ?, \
             updated_at = ? WHERE id = ?",
        )
        .bind(status.as_str())
        .bind(&item.title)
        .bind(&item.language)
        .bind(i64::try_from(item.chunks.len()).unwrap_or(i64::MAX))
        .bind(micros(now))
        .bind(blob(item.id.as_uuid()))
        .execute(&mut *tx)
        .await?;
        done.push(item.id);
    }
    commit(tx).await?;
    Ok(done)
}

async fn write_text(
    connection: &mut SqliteConnection,
    subject: Subject,
    item: &Parsed,
) -> Result<(), Error> {
    let id = blob(item.id.as_uuid());
    sqlx::query(
        "INSERT INTO texts (document_id, version, tenant_id, title, body) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (document_id, version) DO UPDATE SET title = excluded.title, \
         body = excluded.body",
    )
    .bind(id)
    .bind(item.version)
    .bind(blob(subject.tenant.as_uuid()))
    .bind(&item.title)
    .bind(&item.body)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM chunks WHERE document_id = ? AND version = ?")
        .bind(id)
        .bind(item.version)
        .execute(&mut *connection)
        .await?;
    let offset = |offset: usize| i64::try_from(offset).unwrap_or(i64::MAX);
    for rows in item.chunks.chunks(CHUNK_ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO chunks (document_id, version, ordinal, start_byte, end_byte, heading) ",
        );
        insert.push_values(rows, |mut row, chunk| {
            row.push_bind(id)
                .push_bind(item.version)
                .push_bind(chunk.ordinal)
                .push_bind(offset(chunk.span.start))
                .push_bind(offset(chunk.span.end))
                .push_bind(chunk.heading.as_deref());
        });
        insert.build().execute(&mut *connection).await?;
    }
    Ok(())
}

pub async fn settle(
    db: &Database,
    claim: Uuid,
    outcomes: &[Outcome],
    at: DateTime<Utc>,
) -> Result<Vec<DocumentId>, Error> {
    let mut tx = db.begin().await?;
    let held = holdings(&mut tx, claim, outcomes.iter().map(Outcome::id), at).await?;
    let mut done = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let Some(holding) = held.get(&outcome.id()) else { continue };
        if settle_one(&mut tx, holding, outcome, at).await? {
            done.push(outcome.id());
        } else {
            let_go(&mut tx, outcome.id(), at).await?;
        }
    }
    commit(tx).await?;
    Ok(done)
}

/// `false` when the outcome does not fit the document's state.
async fn settle_one(
    connection: &mut SqliteConnection,
    holding: &Holding,
    outcome: &Outcome,
    at: DateTime<Utc>,
) -> Result<bool, Error> {
    let subject = holding.subject;
    match outcome {
        Outcome::Indexed { passed, model, event, .. } => {
            let Some(status) = pass(connection, holding, passed).await? else { return Ok(false) };
            enter(connection, subject, status, None, at).await?;
            note_model(connection, subject, model.as_deref()).await?;
            finish(connection, subject).await?;
            if subject.version > 1 {
                drop_old_versions(connection, subject).await?;
            }
            let stamp = Stamp { event: *event, at, visible_at: at, traceparent: None };
            tell_status(connection, subject, status, &stamp).await?;
        }
        Outcome::Waiting { passed, failure, delay, .. } => {
            let Some(status) = pass(connection, holding, passed).await? else { return Ok(false) };
            if !passed.is_empty() {
                enter(connection, subject, status, None, at).await?;
            }
            // One line per reason, not one per try.
            if !holding.deleted && holding.wait_code.as_deref() != Some(&failure.code) {
                let detail = format!("waits: {}", failure.message);
                note(connection, subject, at, status, holding.attempt, Some(&detail)).await?;
            }
            sqlx::query(
                "UPDATE work SET claim = NULL, visible_at = ?, waits = waits + 1, wait_code = ? \
                 WHERE document_id = ?",
            )
            .bind(micros(at + *delay))
            .bind(&failure.code)
            .bind(blob(subject.id.as_uuid()))
            .execute(connection)
            .await?;
        }
        Outcome::Again { failure, delay, .. } => {
            let detail = format!("attempt failed, will be repeated: {}", failure.message);
            note(connection, subject, at, holding.status, holding.attempt, Some(&detail)).await?;
            sqlx::query(
                "UPDATE work SET claim = NULL, visible_at = ?, attempts = attempts + 1, \
                 waits = 0, wait_code = NULL WHERE document_id = ?",
            )
            .bind(micros(at + *delay))
            .bind(blob(subject.id.as_uuid()))
            .execute(connection)
            .await?;
        }
        Outcome::Failed { failure, points, event, .. } => {
            let Ok(status) = apply(holding.status, Change::Failed) else { return Ok(false) };
            let stamp = Stamp { event: *event, at, visible_at: at, traceparent: None };
            fail(connection, holding, status, failure, &stamp).await?;
            finish(connection, subject).await?;
            if *points {
                queue(connection, subject, WorkAction::Remove, false, &stamp).await?;
            }
        }
        Outcome::Released { .. } => let_go(connection, subject.id, at).await?,
        Outcome::Removed { .. } => {
            finish(connection, subject).await?;
            if holding.deleted {
                // Versions, texts, chunks and timeline go with it.
                sqlx::query("DELETE FROM documents WHERE id = ? AND deleted_at IS NOT NULL")
                    .bind(blob(subject.id.as_uuid()))
                    .execute(connection)
                    .await?;
            }
        }
    }
    Ok(true)
}

async fn enter(
    connection: &mut SqliteConnection,
    subject: Subject,
    status: DocumentStatus,
    failure: Option<&Failure>,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE documents SET status = ?, failure_code = ?, failure_message = ?, updated_at = ? \
         WHERE id = ?",
    )
    .bind(status.as_str())
    .bind(failure.map(|failure| failure.code.as_str()))
    .bind(failure.map(|failure| failure.message.as_str()))
    .bind(micros(at))
    .bind(blob(subject.id.as_uuid()))
    .execute(connection)
    .await?;
    Ok(())
}

async fn note_model(
    connection: &mut SqliteConnection,
    subject: Subject,
    model: Option<&str>,
) -> Result<(), Error> {
    sqlx::query("UPDATE documents SET index_model = ?1 WHERE id = ?2 AND index_model IS NOT ?1")
        .bind(model)
        .bind(blob(subject.id.as_uuid()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn finish(connection: &mut SqliteConnection, subject: Subject) -> Result<(), Error> {
    sqlx::query("DELETE FROM work WHERE document_id = ?")
        .bind(blob(subject.id.as_uuid()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn drop_old_versions(
    connection: &mut SqliteConnection,
    subject: Subject,
) -> Result<(), Error> {
    const TABLES: [&str; 3] = [
        "DELETE FROM chunks WHERE document_id = ? AND version < ?",
        "DELETE FROM texts WHERE document_id = ? AND version < ?",
        "DELETE FROM originals WHERE document_id = ? AND version < ?",
    ];
    for delete in TABLES {
        sqlx::query(delete)
            .bind(blob(subject.id.as_uuid()))
            .bind(subject.version)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn fail(
    connection: &mut SqliteConnection,
    holding: &Holding,
    status: DocumentStatus,
    failure: &Failure,
    stamp: &Stamp,
) -> Result<(), Error> {
    let subject = holding.subject;
    enter(connection, subject, status, Some(failure), stamp.at).await?;
    sqlx::query(
        "INSERT INTO dead_letters (document_id, tenant_id, version, code, message, attempts, at) \
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (document_id) DO UPDATE SET \
         version = excluded.version, code = excluded.code, message = excluded.message, \
         attempts = excluded.attempts, at = excluded.at",
    )
    .bind(blob(subject.id.as_uuid()))
    .bind(blob(subject.tenant.as_uuid()))
    .bind(subject.version)
    .bind(&failure.code)
    .bind(&failure.message)
    .bind(holding.attempt)
    .bind(micros(stamp.at))
    .execute(&mut *connection)
    .await?;
    let detail = Some(failure.message.as_str());
    note(connection, subject, stamp.at, status, holding.attempt, detail).await?;
    tell_status(connection, subject, status, stamp).await
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
