//! Transactions of requests.

use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection};
use touchstone_api::events::WorkAction;
use touchstone_store::sqlite::{Database, commit};
use touchstone_store::{decode_id, micros, outbox};
use touchstone_types::{DocumentId, DocumentStatus, TenantId};

use super::{blob, note, queue};
use crate::domain::ingestion::{Change, apply};
use crate::store::common::{Subject, corrupt, word};
use crate::store::{Accept, Accepted, Error, Refusal, Stamp};

pub async fn accept(db: &Database, batch: &[Accept]) -> Result<Vec<Accepted>, Error> {
    let mut tx = db.begin().await?;
    let mut answers = Vec::with_capacity(batch.len());
    for item in batch {
        answers.push(accept_one(&mut tx, item).await?);
    }
    commit(tx).await?;
    Ok(answers)
}

async fn accept_one(connection: &mut SqliteConnection, item: &Accept) -> Result<Accepted, Error> {
    if let Some((key, hash)) = &item.idempotency
        && let Some(first) = first_answer(connection, item.tenant, key, hash).await?
    {
        return Ok(first);
    }
    let version = if item.replaces {
        let Some((_, version)) = present(connection, item.tenant, item.id).await? else {
            return Ok(Accepted::Unknown);
        };
        replace_document(connection, item, version + 1).await?;
        version + 1
    } else {
        insert_document(connection, item).await?;
        1
    };
    let subject = Subject {
        tenant: item.tenant,
        id: item.id,
        version,
    };
    sqlx::query(
        "INSERT INTO originals (document_id, version, tenant_id, filename, mime, body) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(blob(item.id.as_uuid()))
    .bind(version)
    .bind(blob(item.tenant.as_uuid()))
    .bind(&item.filename)
    .bind(&item.mime)
    .bind(&item.body[..])
    .execute(&mut *connection)
    .await?;
    if let Some((key, hash)) = &item.idempotency {
        sqlx::query(
            "INSERT INTO idempotency_keys (tenant_id, key, request_hash, document_id, version, at) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(blob(item.tenant.as_uuid()))
        .bind(key)
        .bind(&hash[..])
        .bind(blob(item.id.as_uuid()))
        .bind(version)
        .bind(micros(item.stamp.at))
        .execute(&mut *connection)
        .await?;
    }
    queue(connection, subject, WorkAction::Ingest, false, &item.stamp).await?;
    outbox::append(
        connection,
        &subject.work_event(WorkAction::Ingest, &item.stamp)?,
    )
    .await?;
    note(
        connection,
        subject,
        item.stamp.at,
        DocumentStatus::Queued,
        1,
        None,
    )
    .await?;
    Ok(Accepted::New {
        id: item.id,
        version,
    })
}

/// The answer to an earlier request with the same key.
async fn first_answer(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    key: &str,
    hash: &[u8; 32],
) -> Result<Option<Accepted>, Error> {
    let row = sqlx::query(
        "SELECT request_hash, document_id, version FROM idempotency_keys \
         WHERE tenant_id = ? AND key = ?",
    )
    .bind(blob(tenant.as_uuid()))
    .bind(key)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<&[u8], _>("request_hash")? != hash {
        return Ok(Some(Accepted::Mismatch));
    }
    let id = decode_id(row.try_get("document_id")?)?;
    Ok(Some(Accepted::Repeated {
        id,
        version: row.try_get("version")?,
    }))
}

async fn insert_document(connection: &mut SqliteConnection, item: &Accept) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO documents (id, tenant_id, created_by, source, filename, title, mime, format, \
         language, language_given, metadata, status, version, size_bytes, sha256, chunk_count, \
         created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', 1, ?, ?, 0, ?, ?)",
    )
    .bind(blob(item.id.as_uuid()))
    .bind(blob(item.tenant.as_uuid()))
    .bind(blob(item.user.as_uuid()))
    .bind(item.source.as_str())
    .bind(&item.filename)
    .bind(&item.filename)
    .bind(&item.mime)
    .bind(item.format)
    .bind(item.language.as_deref().unwrap_or("und"))
    .bind(item.language.is_some())
    .bind(serde_json::to_string(&item.metadata).map_err(corrupt)?)
    .bind(size(item))
    .bind(&item.sha256)
    .bind(micros(item.stamp.at))
    .bind(micros(item.stamp.at))
    .execute(connection)
    .await?;
    Ok(())
}

async fn replace_document(
    connection: &mut SqliteConnection,
    item: &Accept,
    version: u32,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE documents SET filename = ?, title = ?, mime = ?, format = ?, language = ?, \
         language_given = ?, metadata = ?, status = 'queued', failure_code = NULL, \
         failure_message = NULL, version = ?, size_bytes = ?, sha256 = ?, chunk_count = 0, \
         updated_at = ? WHERE tenant_id = ? AND id = ?",
    )
    .bind(&item.filename)
    .bind(&item.filename)
    .bind(&item.mime)
    .bind(item.format)
    .bind(item.language.as_deref().unwrap_or("und"))
    .bind(item.language.is_some())
    .bind(serde_json::to_string(&item.metadata).map_err(corrupt)?)
    .bind(version)
    .bind(size(item))
    .bind(&item.sha256)
    .bind(micros(item.stamp.at))
    .bind(blob(item.tenant.as_uuid()))
    .bind(blob(item.id.as_uuid()))
    .execute(&mut *connection)
    .await?;
    forget_dead_letter(connection, item.id).await
}

fn size(item: &Accept) -> i64 {
    i64::try_from(item.body.len()).unwrap_or(i64::MAX)
}

/// State and version of a document that is not deleted.
async fn present(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    id: DocumentId,
) -> Result<Option<(DocumentStatus, u32)>, Error> {
    let row = sqlx::query(
        "SELECT status, version FROM documents \
         WHERE tenant_id = ? AND id = ? AND deleted_at IS NULL",
    )
    .bind(blob(tenant.as_uuid()))
    .bind(blob(id.as_uuid()))
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((
        word(row.try_get("status")?)?,
        row.try_get("version")?,
    )))
}

async fn forget_dead_letter(
    connection: &mut SqliteConnection,
    id: DocumentId,
) -> Result<(), Error> {
    sqlx::query("DELETE FROM dead_letters WHERE document_id = ?")
        .bind(blob(id.as_uuid()))
        .execute(connection)
        .await?;
    Ok(())
}

pub async fn delete(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
    stamp: &Stamp,
) -> Result<bool, Error> {
    let mut tx = db.begin().await?;
    let Some((_, version)) = present(&mut tx, tenant, id).await? else {
        return Ok(false);
    };
    sqlx::query(
        "UPDATE documents SET deleted_at = ?, updated_at = ? WHERE tenant_id = ? AND id = ?",
    )
    .bind(micros(stamp.at))
    .bind(micros(stamp.at))
    .bind(blob(tenant.as_uuid()))
    .bind(blob(id.as_uuid()))
    .execute(&mut *tx)
    .await?;
    forget_dead_letter(&mut tx, id).await?;
    let subject = Subject {
        tenant,
        id,
        version,
    };
    queue(&mut tx, subject, WorkAction::Remove, false, stamp).await?;
    outbox::append(&mut tx, &subject.work_event(WorkAction::Remove, stamp)?).await?;
    commit(tx).await?;
    Ok(true)
}

pub async fn retry(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
    stamp: &Stamp,
) -> Result<Option<Result<u32, Refusal>>, Error> {
    let mut tx = db.begin().await?;
    let subject = match request(&mut tx, tenant, id, Change::Retried, stamp.at).await? {
        Some(Ok(subject)) => subject,
        Some(Err(refusal)) => return Ok(Some(Err(refusal))),
        None => return Ok(None),
    };
    forget_dead_letter(&mut tx, id).await?;
    // What an earlier attempt may have left in the index goes first.
    queue(&mut tx, subject, WorkAction::Ingest, true, stamp).await?;
    outbox::append(&mut tx, &subject.work_event(WorkAction::Ingest, stamp)?).await?;
    note(
        &mut tx,
        subject,
        stamp.at,
        DocumentStatus::Queued,
        1,
        Some("started again on request"),
    )
    .await?;
    commit(tx).await?;
    Ok(Some(Ok(subject.version)))
}

pub async fn cancel(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
    stamp: &Stamp,
) -> Result<Option<Result<u32, Refusal>>, Error> {
    let mut tx = db.begin().await?;
    let subject = match request(&mut tx, tenant, id, Change::Cancelled, stamp.at).await? {
        Some(Ok(subject)) => subject,
        Some(Err(refusal)) => return Ok(Some(Err(refusal))),
        None => return Ok(None),
    };
    // A cancelled document is not found: points that were written already go.
    let at_once = Stamp {
        visible_at: stamp.at,
        ..stamp.clone()
    };
    queue(&mut tx, subject, WorkAction::Remove, false, &at_once).await?;
    let event = subject.status_event(DocumentStatus::Cancelled, stamp)?;
    outbox::append(&mut tx, &event).await?;
    note(
        &mut tx,
        subject,
        stamp.at,
        DocumentStatus::Cancelled,
        1,
        Some("stopped on request"),
    )
    .await?;
    commit(tx).await?;
    Ok(Some(Ok(subject.version)))
}

/// Changes the state of a document that is present.
async fn request(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    id: DocumentId,
    change: Change,
    at: DateTime<Utc>,
) -> Result<Option<Result<Subject, Refusal>>, Error> {
    let Some((status, version)) = present(connection, tenant, id).await? else {
        return Ok(None);
    };
    let next = match apply(status, change) {
        Ok(next) => next,
        Err(refusal) => return Ok(Some(Err(refusal))),
    };
    sqlx::query(
        "UPDATE documents SET status = ?, failure_code = NULL, failure_message = NULL, \
         updated_at = ? WHERE tenant_id = ? AND id = ?",
    )
    .bind(next.as_str())
    .bind(micros(at))
    .bind(blob(tenant.as_uuid()))
    .bind(blob(id.as_uuid()))
    .execute(connection)
    .await?;
    Ok(Some(Ok(Subject {
        tenant,
        id,
        version,
    })))
}

/// Documents that a rebuild concerns; `?1` is the time, `?2` the tenant or null.
macro_rules! rebuilt {
    ($start:literal, $end:literal) => {
        concat!(
            $start,
            " FROM documents WHERE deleted_at IS NULL AND status <> 'cancelled' \
             AND (?2 IS NULL OR tenant_id = ?2) ",
            $end
        )
    };
}

pub async fn rebuild(
    db: &Database,
    tenant: Option<TenantId>,
    at: DateTime<Utc>,
) -> Result<u64, Error> {
    const STEPS: [&str; 4] = [
        rebuilt!(
            "INSERT INTO timeline (document_id, tenant_id, version, at, status, attempt, detail) \
             SELECT id, tenant_id, version, ?1, 'queued', 1, 'the index is rebuilt'",
            ""
        ),
        rebuilt!(
            "DELETE FROM dead_letters WHERE ?1 = ?1 AND document_id IN (SELECT id",
            ")"
        ),
        rebuilt!(
            "INSERT INTO work (document_id, tenant_id, version, action, rebuild, queued_at, \
             visible_at, claim, superseded, attempts, losses, waits, wait_code) \
             SELECT id, tenant_id, version, 'ingest', 1, ?1, ?1, NULL, 0, 0, 0, 0, NULL",
            "ON CONFLICT (document_id) DO UPDATE SET version = excluded.version, \
             action = 'ingest', rebuild = 1, queued_at = excluded.queued_at, \
             superseded = work.claim IS NOT NULL, \
             visible_at = iif(work.claim IS NULL, excluded.visible_at, work.visible_at), \
             attempts = 0, losses = 0, waits = 0, wait_code = NULL"
        ),
        "UPDATE documents SET status = 'queued', failure_code = NULL, failure_message = NULL, \
         updated_at = ?1 WHERE deleted_at IS NULL AND status <> 'cancelled' \
         AND (?2 IS NULL OR tenant_id = ?2)",
    ];
    let mut tx = db.begin().await?;
    let mut documents = 0;
    for step in STEPS {
        documents = sqlx::query(step)
            .bind(micros(at))
            .bind(tenant.as_ref().map(|tenant| blob(tenant.as_uuid())))
            .execute(&mut *tx)
            .await?
            .rows_affected();
    }
    commit(tx).await?;
    Ok(documents)
}
