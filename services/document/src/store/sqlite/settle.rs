//! Transactions that end or advance the work on claimed documents.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use touchstone_api::events::WorkAction;
use touchstone_store::sqlite::{Database, commit};
use touchstone_store::{decode_id, micros, outbox};
use touchstone_types::{DocumentId, DocumentStatus, TenantId};
use uuid::Uuid;

use super::{blob, note, queue};
use crate::domain::ingestion::{Change, apply, apply_all};
use crate::store::common::{Subject, word};
use crate::store::{Error, Failure, Outcome, Parsed, Passed, Stamp};

/// Rows of chunks per statement.
const CHUNK_ROWS: usize = 500;

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
            subject: Subject {
                tenant,
                id,
                version: row.try_get("version")?,
            },
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
        note(
            connection,
            holding.subject,
            step.at,
            next,
            holding.attempt,
            detail,
        )
        .await?;
        status = next;
    }
    Ok(Some(status))
}

pub async fn put_chunks(
    db: &Database,
    claim: Uuid,
    parsed: &[Parsed],
) -> Result<Vec<DocumentId>, Error> {
    let Some(now) = parsed
        .iter()
        .flat_map(|item| &item.passed)
        .map(|step| step.at)
        .max()
    else {
        return Ok(Vec::new());
    };
    let mut tx = db.begin().await?;
    let held = holdings(&mut tx, claim, parsed.iter().map(|item| item.id), now).await?;
    let mut done = Vec::with_capacity(parsed.len());
    for item in parsed {
        let Some(holding) = held
            .get(&item.id)
            .filter(|it| it.subject.version == item.version)
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
        let Some(holding) = held.get(&outcome.id()) else {
            continue;
        };
        if settle_one(&mut tx, holding, outcome, at).await? {
            done.push(outcome.id());
        } else {
            let_go(&mut tx, outcome.id(), at).await?;
        }
    }
    commit(tx).await?;
    Ok(done)
}

/// Puts work off until a dependency may be back; `when` is now and then.
async fn wait(
    connection: &mut SqliteConnection,
    holding: &Holding,
    status: DocumentStatus,
    failure: &Failure,
    when: (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), Error> {
    let (subject, attempt) = (holding.subject, holding.attempt);
    // One line per reason, not one per try.
    if !holding.deleted && holding.wait_code.as_deref() != Some(&failure.code) {
        let detail = format!("waits: {}", failure.message);
        note(connection, subject, when.0, status, attempt, Some(&detail)).await?;
    }
    sqlx::query(
        "UPDATE work SET claim = NULL, visible_at = ?, waits = waits + 1, wait_code = ? \
         WHERE document_id = ?",
    )
    .bind(micros(when.1))
    .bind(&failure.code)
    .bind(blob(subject.id.as_uuid()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts an attempt that failed; `when` is now and the time of the next one.
async fn again(
    connection: &mut SqliteConnection,
    holding: &Holding,
    failure: &Failure,
    when: (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), Error> {
    let (subject, attempt) = (holding.subject, holding.attempt);
    let detail = format!("attempt failed, will be repeated: {}", failure.message);
    note(
        connection,
        subject,
        when.0,
        holding.status,
        attempt,
        Some(&detail),
    )
    .await?;
    sqlx::query(
        "UPDATE work SET claim = NULL, visible_at = ?, attempts = attempts + 1, \
         waits = 0, wait_code = NULL WHERE document_id = ?",
    )
    .bind(micros(when.1))
    .bind(blob(subject.id.as_uuid()))
    .execute(connection)
    .await?;
    Ok(())
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
        Outcome::Indexed {
            passed,
            model,
            event,
            ..
        } => {
            let Some(status) = pass(connection, holding, passed).await? else {
                return Ok(false);
            };
            enter(connection, subject, status, None, at).await?;
            note_model(connection, subject, model.as_deref()).await?;
            finish(connection, subject).await?;
            if subject.version > 1 {
                drop_old_versions(connection, subject).await?;
            }
            let stamp = Stamp {
                event: *event,
                at,
                visible_at: at,
                traceparent: None,
            };
            outbox::append(connection, &subject.status_event(status, &stamp)?).await?;
        }
        Outcome::Waiting {
            passed,
            failure,
            delay,
            ..
        } => {
            let Some(status) = pass(connection, holding, passed).await? else {
                return Ok(false);
            };
            if !passed.is_empty() {
                enter(connection, subject, status, None, at).await?;
            }
            wait(connection, holding, status, failure, (at, at + *delay)).await?;
        }
        Outcome::Again { failure, delay, .. } => {
            again(connection, holding, failure, (at, at + *delay)).await?;
        }
        Outcome::Failed {
            failure,
            points,
            event,
            ..
        } => {
            let Ok(status) = apply(holding.status, Change::Failed) else {
                return Ok(false);
            };
            let stamp = Stamp {
                event: *event,
                at,
                visible_at: at,
                traceparent: None,
            };
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
    note(
        connection,
        subject,
        stamp.at,
        status,
        holding.attempt,
        detail,
    )
    .await?;
    outbox::append(connection, &subject.status_event(status, stamp)?).await
}
