//! Transactions of requests. Each locks the document's row first.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use touchstone_api::events::WorkAction;
use touchstone_store::postgres::{Database, Flow, bulk, int, outbox, text, uint, write};
use touchstone_types::{DocumentId, DocumentStatus, TenantId};
use uuid::Uuid;

use super::{note, queue, sql};
use crate::domain::ingestion::{Change, apply};
use crate::store::common::{Subject, corrupt, word};
use crate::store::{Accept, Accepted, Error, Refusal, Stamp};

/// Documents that a rebuild queues in one transaction.
const REBUILT: i64 = 500;

pub async fn accept(db: &Database, batch: &[Accept]) -> Result<Vec<Accepted>, Error> {
    write!(db, |tx| {
        let mut answers = Vec::with_capacity(batch.len());
        for item in batch {
            answers.push(accept_one(tx, item).await?);
        }
        Ok(Flow::Commit(answers))
    })
}

async fn accept_one(tx: &mut PgConnection, item: &Accept) -> Result<Accepted, Error> {
    if let Some((key, hash)) = &item.idempotency
        && let Some(first) = first_answer(tx, item.tenant, key, hash).await?
    {
        return Ok(first);
    }
    let version = if item.replaces {
        match present(tx, item.tenant, item.id).await? {
            Some((_, version)) => version + 1,
            None => return Ok(Accepted::Unknown),
        }
    } else {
        1
    };
    // Before anything else is written: of two requests with one key at once, one gets it, and the
    // other waits here and then tells the first answer.
    if let Some((key, hash)) = &item.idempotency
        && !insert_key(tx, item, key, hash, version).await?
    {
        let first = first_answer(tx, item.tenant, key, hash).await?;
        return first.ok_or_else(Error::indefinite);
    }
    let accepted = Accepted::New {
        id: item.id,
        version,
    };
    if item.replaces {
        replace_document(tx, item, version).await?;
    } else if !insert_document(tx, item).await? {
        // Ids are made anew for every request: an earlier try of this one was committed, and its
        // answer got lost.
        return Ok(accepted);
    }
    let subject = Subject {
        tenant: item.tenant,
        id: item.id,
        version,
    };
    sqlx::query(sql::INSERT_ORIGINAL)
        .bind(item.id.as_uuid())
        .bind(int(version))
        .bind(item.tenant.as_uuid())
        .bind(text(&item.filename))
        .bind(text(&item.mime))
        .bind(&item.body[..])
        .execute(&mut *tx)
        .await?;
    queue(tx, subject, WorkAction::Ingest, false, &item.stamp).await?;
    outbox::append(tx, &subject.work_event(WorkAction::Ingest, &item.stamp)?).await?;
    note(tx, subject, item.stamp.at, DocumentStatus::Queued, 1, None).await?;
    Ok(accepted)
}

/// The answer to an earlier request with the same key.
async fn first_answer(
    tx: &mut PgConnection,
    tenant: TenantId,
    key: &str,
    hash: &[u8; 32],
) -> Result<Option<Accepted>, Error> {
    let row = sqlx::query(sql::FIRST_ANSWER)
        .bind(tenant.as_uuid())
        .bind(text(key))
        .fetch_optional(tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<&[u8], _>("request_hash")? != hash {
        return Ok(Some(Accepted::Mismatch));
    }
    Ok(Some(Accepted::Repeated {
        id: DocumentId::from_uuid(row.try_get("document_id")?),
        version: uint(row.try_get("version")?)?,
    }))
}

async fn insert_key(
    tx: &mut PgConnection,
    item: &Accept,
    key: &str,
    hash: &[u8; 32],
    version: u32,
) -> Result<bool, Error> {
    let inserted = sqlx::query(sql::INSERT_KEY)
        .bind(item.tenant.as_uuid())
        .bind(text(key))
        .bind(&hash[..])
        .bind(item.id.as_uuid())
        .bind(int(version))
        .bind(item.stamp.at)
        .execute(tx)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

async fn insert_document(tx: &mut PgConnection, item: &Accept) -> Result<bool, Error> {
    let inserted = sqlx::query(sql::INSERT_DOCUMENT)
        .bind(item.id.as_uuid())
        .bind(item.tenant.as_uuid())
        .bind(item.user.as_uuid())
        .bind(item.source.as_str())
        .bind(text(&item.filename))
        .bind(text(&item.filename))
        .bind(text(&item.mime))
        .bind(item.format)
        .bind(item.language.as_deref().unwrap_or("und"))
        .bind(item.language.is_some())
        .bind(serde_json::to_string(&item.metadata).map_err(corrupt)?)
        .bind(size(item))
        .bind(&item.sha256)
        .bind(item.stamp.at)
        .execute(tx)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

async fn replace_document(tx: &mut PgConnection, item: &Accept, version: u32) -> Result<(), Error> {
    sqlx::query(sql::REPLACE_DOCUMENT)
        .bind(item.tenant.as_uuid())
        .bind(item.id.as_uuid())
        .bind(text(&item.filename))
        .bind(text(&item.mime))
        .bind(item.format)
        .bind(item.language.as_deref().unwrap_or("und"))
        .bind(item.language.is_some())
        .bind(serde_json::to_string(&item.metadata).map_err(corrupt)?)
        .bind(int(version))
        .bind(size(item))
        .bind(&item.sha256)
        .bind(item.stamp.at)
        .execute(&mut *tx)
        .await?;
    forget_dead_letter(tx, item.id).await
}

fn size(item: &Accept) -> i64 {
    i64::try_from(item.body.len()).unwrap_or(i64::MAX)
}

/// State and version of a document that is not deleted; locks it.
async fn present(
    tx: &mut PgConnection,
    tenant: TenantId,
    id: DocumentId,
) -> Result<Option<(DocumentStatus, u32)>, Error> {
    let row = sqlx::query(sql::PRESENT)
        .bind(tenant.as_uuid())
        .bind(id.as_uuid())
        .fetch_optional(tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let version = uint(row.try_get("version")?)?;
    Ok(Some((word(row.try_get("status")?)?, version)))
}

async fn forget_dead_letter(tx: &mut PgConnection, id: DocumentId) -> Result<(), Error> {
    sqlx::query(sql::FORGET_DEAD_LETTER)
        .bind(id.as_uuid())
        .execute(tx)
        .await?;
    Ok(())
}

pub async fn delete(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
    stamp: &Stamp,
) -> Result<bool, Error> {
    write!(db, |tx| {
        let Some((_, version)) = present(tx, tenant, id).await? else {
            return Ok(Flow::Rollback(false));
        };
        sqlx::query(sql::HIDE)
            .bind(tenant.as_uuid())
            .bind(id.as_uuid())
            .bind(stamp.at)
            .execute(&mut *tx)
            .await?;
        forget_dead_letter(tx, id).await?;
        let subject = Subject {
            tenant,
            id,
            version,
        };
        queue(tx, subject, WorkAction::Remove, false, stamp).await?;
        outbox::append(tx, &subject.work_event(WorkAction::Remove, stamp)?).await?;
        Ok(Flow::Commit(true))
    })
}

type Requested = Option<Result<u32, Refusal>>;

pub async fn retry(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
    stamp: &Stamp,
) -> Result<Requested, Error> {
    write!(db, |tx| {
        let subject = match request(tx, tenant, id, Change::Retried, stamp.at).await? {
            Some(Ok(subject)) => subject,
            Some(Err(refusal)) => return Ok(Flow::Rollback(Some(Err(refusal)))),
            None => return Ok(Flow::Rollback(None)),
        };
        forget_dead_letter(tx, id).await?;
        // What an earlier attempt may have left in the index goes first.
        queue(tx, subject, WorkAction::Ingest, true, stamp).await?;
        outbox::append(tx, &subject.work_event(WorkAction::Ingest, stamp)?).await?;
        let detail = Some("started again on request");
        note(tx, subject, stamp.at, DocumentStatus::Queued, 1, detail).await?;
        Ok(Flow::Commit(Some(Ok(subject.version))))
    })
}

pub async fn cancel(
    db: &Database,
    tenant: TenantId,
    id: DocumentId,
    stamp: &Stamp,
) -> Result<Requested, Error> {
    // A cancelled document is not found: points that were written already go.
    let at_once = Stamp {
        visible_at: stamp.at,
        ..stamp.clone()
    };
    let status = DocumentStatus::Cancelled;
    write!(db, |tx| {
        let subject = match request(tx, tenant, id, Change::Cancelled, stamp.at).await? {
            Some(Ok(subject)) => subject,
            Some(Err(refusal)) => return Ok(Flow::Rollback(Some(Err(refusal)))),
            None => return Ok(Flow::Rollback(None)),
        };
        queue(tx, subject, WorkAction::Remove, false, &at_once).await?;
        outbox::append(tx, &subject.status_event(status, stamp)?).await?;
        let detail = Some("stopped on request");
        note(tx, subject, stamp.at, status, 1, detail).await?;
        Ok(Flow::Commit(Some(Ok(subject.version))))
    })
}

/// Changes the state of a document that is present.
async fn request(
    tx: &mut PgConnection,
    tenant: TenantId,
    id: DocumentId,
    change: Change,
    at: DateTime<Utc>,
) -> Result<Option<Result<Subject, Refusal>>, Error> {
    let Some((status, version)) = present(tx, tenant, id).await? else {
        return Ok(None);
    };
    let next = match apply(status, change) {
        Ok(next) => next,
        Err(refusal) => return Ok(Some(Err(refusal))),
    };
    sqlx::query(sql::REQUEST)
        .bind(tenant.as_uuid())
        .bind(id.as_uuid())
        .bind(next.as_str())
        .bind(at)
        .execute(tx)
        .await?;
    Ok(Some(Ok(Subject {
        tenant,
        id,
        version,
    })))
}

pub async fn rebuild(
    db: &Database,
    tenant: Option<TenantId>,
    at: DateTime<Utc>,
) -> Result<u64, Error> {
    let (mut after, mut documents) = (Uuid::nil(), 0);
    loop {
        // In batches, so that uploads and workers wait for moments only. Repeated after a failure,
        // it does what is left.
        let batch = bulk!(db, |tx| {
            let found = match &tenant {
                Some(tenant) => sqlx::query_scalar(sql::REBUILT_OF_TENANT).bind(tenant.as_uuid()),
                None => sqlx::query_scalar(sql::REBUILT),
            };
            let ids: Vec<Uuid> = found.bind(after).bind(REBUILT).fetch_all(&mut *tx).await?;
            sqlx::query(sql::REBUILD_DEAD_LETTERS)
                .bind(&ids)
                .execute(&mut *tx)
                .await?;
            for step in [sql::REBUILD_NOTE, sql::REBUILD_WORK, sql::REBUILD_DOCUMENTS] {
                sqlx::query(step)
                    .bind(&ids)
                    .bind(at)
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(Flow::Commit(ids))
        })?;
        documents += batch.len() as u64;
        match batch.last() {
            Some(last) if batch.len() as u64 == REBUILT.unsigned_abs() => after = *last,
            _ => return Ok(documents),
        }
    }
}
