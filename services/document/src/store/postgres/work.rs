//! Transactions of workers; each names the claim under which documents are held.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use touchstone_api::events::{DocumentWork, WorkAction};
use touchstone_store::postgres::{Database, Flow, bulk, inbox, int, read, uint, write};
use touchstone_types::{DocumentId, EventId, TenantId};
use uuid::Uuid;

use super::reads::{columns, read_chunk, read_text};
use super::work_sql as sql;
use crate::store::common::{CONSUMER, action_word, corrupt, word};
use crate::store::{Claim, Claimed, Error, NewChunk, Stats, StoredText};

/// How long a process may be silent before its leases are freed.
const SILENCE: Duration = Duration::from_secs(15);
/// Keys that are forgotten in one transaction.
const PRUNED: i64 = 1000;

/// Frees the leases that ran out, and those of processes that are gone.
pub async fn recover(db: &Database, now: DateTime<Utc>) -> Result<u64, Error> {
    write!(db, |tx| {
        let overdue = sqlx::query(sql::FREE_OVERDUE)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        let orphaned = free_of_silent(tx, now).await?;
        Ok(Flow::Commit(overdue.rows_affected() + orphaned))
    })
}

/// Says that this process lives, and frees what others held that do not.
pub async fn keep_alive(db: &Database, now: DateTime<Utc>) -> Result<(), Error> {
    let holder = db.holder();
    write!(db, |tx| {
        sqlx::query(sql::ALIVE)
            .bind(holder)
            .execute(&mut *tx)
            .await?;
        free_of_silent(tx, now).await?;
        Ok(Flow::Commit(()))
    })
}

async fn free_of_silent(tx: &mut PgConnection, now: DateTime<Utc>) -> Result<u64, Error> {
    let silent: Vec<Uuid> = sqlx::query_scalar(sql::SILENT)
        .bind(SILENCE.as_secs_f64())
        .fetch_all(&mut *tx)
        .await?;
    if silent.is_empty() {
        return Ok(0);
    }
    let freed = sqlx::query(sql::FREE_OF_WORKERS)
        .bind(&silent)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    sqlx::query(sql::BURY).bind(&silent).execute(tx).await?;
    Ok(freed.rows_affected())
}

pub async fn announce(
    db: &Database,
    events: &[(EventId, DocumentWork)],
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    write!(db, |tx| {
        let mut visible = 0;
        for (event, work) in events {
            if !inbox::record(tx, CONSUMER, *event, now).await? {
                continue;
            }
            visible += sqlx::query(sql::ANNOUNCE)
                .bind(now)
                .bind(work.document_id.as_uuid())
                .bind(work.tenant_id.as_uuid())
                .bind(int(work.version))
                .bind(action_word(work.action))
                .execute(&mut *tx)
                .await?
                .rows_affected();
        }
        Ok(Flow::Commit(visible))
    })
}

pub async fn has_work(db: &Database, now: DateTime<Utc>) -> Result<bool, Error> {
    read!(db, |connection| {
        let query = sqlx::query_scalar(sql::HAS_WORK).bind(now);
        Ok(query.fetch_one(connection).await?)
    })
}

pub async fn claim(db: &Database, claim: &Claim) -> Result<Vec<Claimed>, Error> {
    let holder = db.holder();
    write!(db, |tx| {
        let ids = choose(tx, claim).await?;
        if ids.is_empty() {
            return Ok(Flow::Rollback(Vec::new()));
        }
        sqlx::query(sql::TAKE)
            .bind(&ids)
            .bind(claim.id)
            .bind(claim.until)
            .bind(holder)
            .execute(&mut *tx)
            .await?;
        let rows = sqlx::query(sql::CLAIMED)
            .bind(claim.id)
            .fetch_all(tx)
            .await?;
        let claimed = rows
            .iter()
            .map(read_claimed)
            .collect::<Result<_, Error>>()?;
        Ok(Flow::Commit(claimed))
    })
}

/// The oldest visible work, and more of its tenant; what others are about to take is skipped.
async fn choose(tx: &mut PgConnection, claim: &Claim) -> Result<Vec<Uuid>, Error> {
    let first = sqlx::query(sql::OLDEST)
        .bind(claim.now)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(first) = first else {
        return Ok(Vec::new());
    };
    let oldest: Uuid = first.try_get("document_id")?;
    if first.try_get::<bool, _>("alone")? {
        return Ok(vec![oldest]);
    }
    let rows = sqlx::query(sql::MORE)
        .bind(first.try_get::<Uuid, _>("tenant_id")?)
        .bind(claim.now)
        .bind(i64::from(claim.documents))
        .fetch_all(tx)
        .await?;
    let (mut ids, mut bytes) = (Vec::with_capacity(rows.len()), 0);
    for row in &rows {
        bytes += row.try_get::<i64, _>("size_bytes")?.unsigned_abs();
        if !ids.is_empty() && bytes > claim.bytes {
            break;
        }
        ids.push(row.try_get("document_id")?);
    }
    Ok(ids)
}

fn read_claimed(row: &PgRow) -> Result<Claimed, Error> {
    let given: bool = row.try_get("language_given")?;
    let language: String = row.try_get("language")?;
    Ok(Claimed {
        id: DocumentId::from_uuid(row.try_get("document_id")?),
        tenant: TenantId::from_uuid(row.try_get("tenant_id")?),
        version: uint(row.try_get("version")?)?,
        action: match row.try_get::<&str, _>("action")? {
            "remove" => WorkAction::Remove,
            _ => WorkAction::Ingest,
        },
        rebuild: row.try_get("rebuild")?,
        attempts: uint(row.try_get("attempts")?)?,
        losses: uint(row.try_get("losses")?)?,
        waits: uint(row.try_get("waits")?)?,
        wait_code: row.try_get("wait_code")?,
        status: word(row.try_get("status")?)?,
        filename: row.try_get("filename")?,
        title: row.try_get("title")?,
        format: row.try_get("format")?,
        language: given.then_some(language),
        source: word(row.try_get("source")?)?,
        metadata: serde_json::from_str(row.try_get("metadata")?).map_err(corrupt)?,
        created_at: row.try_get("created_at")?,
    })
}

pub async fn originals(
    db: &Database,
    versions: &[(DocumentId, u32)],
) -> Result<Vec<(DocumentId, Bytes)>, Error> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let (ids, numbers) = columns(versions);
    read!(db, |connection| {
        let rows = sqlx::query(sql::ORIGINALS)
            .bind(&ids)
            .bind(&numbers)
            .fetch_all(connection)
            .await?;
        rows.iter()
            .map(|row| {
                let body: Vec<u8> = row.try_get("body")?;
                let id = DocumentId::from_uuid(row.try_get("document_id")?);
                Ok((id, Bytes::from(body)))
            })
            .collect()
    })
}

pub async fn stored(
    db: &Database,
    id: DocumentId,
    version: u32,
) -> Result<Option<(StoredText, Vec<NewChunk>)>, Error> {
    read!(db, |connection| {
        let text = sqlx::query(sql::STORED_TEXT)
            .bind(id.as_uuid())
            .bind(int(version))
            .fetch_optional(&mut *connection)
            .await?;
        let Some(text) = text else { return Ok(None) };
        let rows = sqlx::query(sql::STORED_CHUNKS)
            .bind(id.as_uuid())
            .bind(int(version))
            .fetch_all(connection)
            .await?;
        let chunks = rows.iter().map(read_chunk).collect::<Result<_, Error>>()?;
        Ok(Some((read_text(&text)?, chunks)))
    })
}

pub async fn held(db: &Database, claim: Uuid) -> Result<Vec<DocumentId>, Error> {
    read!(db, |connection| {
        let query = sqlx::query_scalar::<_, Uuid>(sql::HELD).bind(claim);
        let ids = query.fetch_all(connection).await?;
        Ok(ids.into_iter().map(DocumentId::from_uuid).collect())
    })
}

pub async fn renew(
    db: &Database,
    claim: Uuid,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<DocumentId>, Error> {
    write!(db, |tx| {
        sqlx::query(sql::LET_GO_SUPERSEDED)
            .bind(claim)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        let query = sqlx::query_scalar::<_, Uuid>(sql::RENEW)
            .bind(claim)
            .bind(until);
        let ids = query.fetch_all(tx).await?;
        let held = ids.into_iter().map(DocumentId::from_uuid).collect();
        Ok(Flow::Commit(held))
    })
}

pub async fn stats(db: &Database) -> Result<Stats, Error> {
    read!(db, |connection| {
        let row = sqlx::query(sql::STATS).fetch_one(connection).await?;
        Ok(Stats {
            queued: row.try_get::<i64, _>("queued")?.unsigned_abs(),
            oldest: row.try_get("oldest")?,
            dead_letters: row.try_get::<i64, _>("dead")?.unsigned_abs(),
        })
    })
}

pub async fn prune(db: &Database, now: DateTime<Utc>, age: Duration) -> Result<u64, Error> {
    let before = now - age;
    let mut pruned = 0;
    loop {
        let keys = bulk!(db, |tx| {
            let query = sqlx::query(sql::PRUNE_KEYS).bind(before).bind(PRUNED);
            Ok(Flow::Commit(query.execute(tx).await?.rows_affected()))
        })?;
        pruned += keys;
        if keys < PRUNED.unsigned_abs() {
            break;
        }
    }
    let seen = bulk!(db, |tx| {
        Ok(Flow::Commit(inbox::prune(tx, before).await?))
    })?;
    Ok(pruned + seen)
}
