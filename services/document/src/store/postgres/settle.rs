//! Transactions that end or advance the work on claimed documents. Each locks what the claim holds
//! first, document by document.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use touchstone_api::events::WorkAction;
use touchstone_store::postgres::{Database, Flow, int, outbox, text, uint, write};
use touchstone_types::{DocumentId, DocumentStatus, TenantId};
use uuid::Uuid;

use super::{note, queue, work_sql as sql};
use crate::domain::ingestion::{Change, apply, apply_all};
use crate::store::common::{Subject, word};
use crate::store::{Error, Failure, Outcome, Parsed, Passed, Stamp};

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
    tx: &mut PgConnection,
    claim: Uuid,
    ids: impl Iterator<Item = DocumentId>,
    now: DateTime<Utc>,
) -> Result<HashMap<DocumentId, Holding>, Error> {
    let rows = sqlx::query(sql::HOLDINGS)
        .bind(claim)
        .fetch_all(&mut *tx)
        .await?;
    let (mut held, mut superseded) = (HashMap::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        let id = DocumentId::from_uuid(row.try_get("document_id")?);
        if row.try_get("superseded")? {
            superseded.push(id);
            continue;
        }
        let holding = Holding {
            subject: Subject {
                tenant: TenantId::from_uuid(row.try_get("tenant_id")?),
                id,
                version: uint(row.try_get("version")?)?,
            },
            status: word(row.try_get("status")?)?,
            attempt: uint(row.try_get("attempt")?)?,
            wait_code: row.try_get("wait_code")?,
            deleted: row.try_get("deleted")?,
        };
        held.insert(id, holding);
    }
    for id in ids.filter(|id| superseded.contains(id)) {
        let_go(tx, id, now).await?;
    }
    Ok(held)
}

/// Gives work back to everybody.
async fn let_go(tx: &mut PgConnection, id: DocumentId, at: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query(sql::LET_GO)
        .bind(id.as_uuid())
        .bind(at)
        .execute(tx)
        .await?;
    Ok(())
}

/// The state after the changes, which go into the timeline; `None` when one does not fit.
async fn pass(
    tx: &mut PgConnection,
    holding: &Holding,
    passed: &[Passed],
) -> Result<Option<DocumentStatus>, Error> {
    if apply_all(holding.status, passed.iter().map(|step| step.change)).is_err() {
        return Ok(None);
    }
    let (subject, mut status) = (holding.subject, holding.status);
    for step in passed {
        let next = apply(status, step.change).unwrap_or(status);
        let detail = step.detail.as_deref();
        note(tx, subject, step.at, next, holding.attempt, detail).await?;
        status = next;
    }
    Ok(Some(status))
}

pub async fn put_chunks(
    db: &Database,
    claim: Uuid,
    parsed: &[Parsed],
) -> Result<Vec<DocumentId>, Error> {
    let passed = parsed.iter().flat_map(|item| &item.passed);
    let Some(now) = passed.map(|step| step.at).max() else {
        return Ok(Vec::new());
    };
    write!(db, |tx| {
        let held = holdings(tx, claim, parsed.iter().map(|item| item.id), now).await?;
        let mut done = Vec::with_capacity(parsed.len());
        for item in parsed {
            let holding = held.get(&item.id);
            let Some(holding) = holding.filter(|it| it.subject.version == item.version) else {
                continue;
            };
            let Some(status) = pass(tx, holding, &item.passed).await? else {
                let_go(tx, item.id, now).await?;
                continue;
            };
            write_text(tx, holding.subject, item).await?;
            sqlx::query(sql::CHUNKED)
                .bind(item.id.as_uuid())
                .bind(status.as_str())
                .bind(text(&item.title))
                .bind(&item.language)
                .bind(i32::try_from(item.chunks.len()).unwrap_or(i32::MAX))
                .bind(now)
                .execute(&mut *tx)
                .await?;
            done.push(item.id);
        }
        Ok(Flow::Commit(done))
    })
}

async fn write_text(tx: &mut PgConnection, subject: Subject, item: &Parsed) -> Result<(), Error> {
    let (id, version) = (item.id.as_uuid(), int(item.version));
    sqlx::query(sql::PUT_TEXT)
        .bind(id)
        .bind(version)
        .bind(subject.tenant.as_uuid())
        .bind(text(&item.title))
        .bind(item.body.as_bytes())
        .execute(&mut *tx)
        .await?;
    sqlx::query(sql::CLEAR_CHUNKS)
        .bind(id)
        .bind(version)
        .execute(&mut *tx)
        .await?;
    let offset = |offset: usize| i32::try_from(offset).unwrap_or(i32::MAX);
    let chunks = item.chunks.iter();
    let ordinals: Vec<_> = chunks.clone().map(|chunk| int(chunk.ordinal)).collect();
    let starts: Vec<_> = chunks.clone().map(|it| offset(it.span.start)).collect();
    let ends: Vec<_> = chunks.clone().map(|it| offset(it.span.end)).collect();
    let headings: Vec<_> = chunks.map(|it| it.heading.as_deref().map(text)).collect();
    sqlx::query(sql::PUT_CHUNKS)
        .bind(id)
        .bind(version)
        .bind(ordinals)
        .bind(starts)
        .bind(ends)
        .bind(headings)
        .execute(tx)
        .await?;
    Ok(())
}

pub async fn settle(
    db: &Database,
    claim: Uuid,
    outcomes: &[Outcome],
    at: DateTime<Utc>,
) -> Result<Vec<DocumentId>, Error> {
    write!(db, |tx| {
        let held = holdings(tx, claim, outcomes.iter().map(Outcome::id), at).await?;
        let mut done = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            let Some(holding) = held.get(&outcome.id()) else {
                continue;
            };
            if settle_one(tx, holding, outcome, at).await? {
                done.push(outcome.id());
            } else {
                let_go(tx, outcome.id(), at).await?;
            }
        }
        Ok(Flow::Commit(done))
    })
}

/// Puts work off until a dependency may be back; `when` is now and then.
async fn wait(
    tx: &mut PgConnection,
    holding: &Holding,
    status: DocumentStatus,
    failure: &Failure,
    when: (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), Error> {
    let (subject, attempt) = (holding.subject, holding.attempt);
    // One line per reason, not one per try.
    if !holding.deleted && holding.wait_code.as_deref() != Some(&failure.code) {
        let detail = format!("waits: {}", failure.message);
        note(tx, subject, when.0, status, attempt, Some(&detail)).await?;
    }
    sqlx::query(sql::WAIT)
        .bind(subject.id.as_uuid())
        .bind(when.1)
        .bind(&failure.code)
        .execute(tx)
        .await?;
    Ok(())
}

/// Counts an attempt that failed; `when` is now and the time of the next one.
async fn again(
    tx: &mut PgConnection,
    holding: &Holding,
    failure: &Failure,
    when: (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), Error> {
    let (subject, attempt) = (holding.subject, holding.attempt);
    let detail = format!("attempt failed, will be repeated: {}", failure.message);
    note(tx, subject, when.0, holding.status, attempt, Some(&detail)).await?;
    sqlx::query(sql::AGAIN)
        .bind(subject.id.as_uuid())
        .bind(when.1)
        .execute(tx)
        .await?;
    Ok(())
}

/// `false` when the outcome does not fit the document's state.
async fn settle_one(
    tx: &mut PgConnection,
    holding: &Holding,
    outcome: &Outcome,
    at: DateTime<Utc>,
) -> Result<bool, Error> {
    let subject = holding.subject;
    let stamp = |event| Stamp {
        event,
        at,
        visible_at: at,
        traceparent: None,
    };
    match outcome {
        Outcome::Indexed {
            passed,
            model,
            event,
            ..
        } => {
            let Some(status) = pass(tx, holding, passed).await? else {
                return Ok(false);
            };
            enter(tx, subject, status, None, at).await?;
            sqlx::query(sql::NOTE_MODEL)
                .bind(subject.id.as_uuid())
                .bind(model.as_deref())
                .execute(&mut *tx)
                .await?;
            finish(tx, subject).await?;
            if subject.version > 1 {
                drop_old_versions(tx, subject).await?;
            }
            outbox::append(tx, &subject.status_event(status, &stamp(*event))?).await?;
        }
        Outcome::Waiting {
            passed,
            failure,
            delay,
            ..
        } => {
            let Some(status) = pass(tx, holding, passed).await? else {
                return Ok(false);
            };
            if !passed.is_empty() {
                enter(tx, subject, status, None, at).await?;
            }
            wait(tx, holding, status, failure, (at, at + *delay)).await?;
        }
        Outcome::Again { failure, delay, .. } => {
            again(tx, holding, failure, (at, at + *delay)).await?;
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
            let stamp = stamp(*event);
            fail(tx, holding, status, failure, &stamp).await?;
            finish(tx, subject).await?;
            if *points {
                queue(tx, subject, WorkAction::Remove, false, &stamp).await?;
            }
        }
        Outcome::Released { .. } => let_go(tx, subject.id, at).await?,
        Outcome::Removed { .. } => {
            finish(tx, subject).await?;
            if holding.deleted {
                let purge = sqlx::query(sql::PURGE).bind(subject.id.as_uuid());
                purge.execute(tx).await?;
            }
        }
    }
    Ok(true)
}

async fn enter(
    tx: &mut PgConnection,
    subject: Subject,
    status: DocumentStatus,
    failure: Option<&Failure>,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query(sql::ENTER)
        .bind(subject.id.as_uuid())
        .bind(status.as_str())
        .bind(failure.map(|failure| failure.code.as_str()))
        .bind(failure.map(|failure| text(&failure.message)))
        .bind(at)
        .execute(tx)
        .await?;
    Ok(())
}

async fn finish(tx: &mut PgConnection, subject: Subject) -> Result<(), Error> {
    sqlx::query(sql::FINISH)
        .bind(subject.id.as_uuid())
        .execute(tx)
        .await?;
    Ok(())
}

async fn drop_old_versions(tx: &mut PgConnection, subject: Subject) -> Result<(), Error> {
    for statement in [sql::DROP_CHUNKS, sql::DROP_TEXTS, sql::DROP_ORIGINALS] {
        sqlx::query(statement)
            .bind(subject.id.as_uuid())
            .bind(int(subject.version))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

async fn fail(
    tx: &mut PgConnection,
    holding: &Holding,
    status: DocumentStatus,
    failure: &Failure,
    stamp: &Stamp,
) -> Result<(), Error> {
    let (subject, attempt) = (holding.subject, holding.attempt);
    enter(tx, subject, status, Some(failure), stamp.at).await?;
    sqlx::query(sql::GIVE_UP)
        .bind(subject.id.as_uuid())
        .bind(subject.tenant.as_uuid())
        .bind(int(subject.version))
        .bind(&failure.code)
        .bind(text(&failure.message))
        .bind(int(attempt))
        .bind(stamp.at)
        .execute(&mut *tx)
        .await?;
    let detail = Some(failure.message.as_str());
    note(tx, subject, stamp.at, status, attempt, detail).await?;
    outbox::append(tx, &subject.status_event(status, stamp)?).await
}
