//! The embedded backend: one SQLite file.

mod reads;
mod requests;
mod settle;
mod work;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use sqlx::migrate::Migrator;
use touchstone_api::document::{Document, TimelineEntry};
use touchstone_api::events::{DocumentWork, WorkAction};
use touchstone_store::sqlite::Database;
use touchstone_store::{encode_id, micros};
use touchstone_types::{DocumentId, DocumentStatus, EventId, TenantId};
use uuid::Uuid;

use super::common::{Subject, action_word};
use super::{
    Accept, Accepted, ChunkList, Claim, Claimed, Dead, Error, ListFilter, NewChunk, Original,
    Outcome, Parsed, Piece, Refusal, Stamp, Stats, Store, StoredText, TextPiece,
};

/// The schema, forward only.
pub static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// Documents in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    db: Database,
}

impl SqliteStore {
    /// Opens the file, making it if need be.
    ///
    /// # Errors
    /// [`Error`] when it cannot be opened or migrated.
    pub async fn open(uri: &str) -> Result<Self, Error> {
        Ok(Self {
            db: Database::open(uri, &MIGRATOR).await?,
        })
    }

    /// The database, for the relay of its outbox.
    pub const fn database(&self) -> &Database {
        &self.db
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, Error> {
        requests::accept(&self.db, batch).await
    }

    async fn delete(&self, tenant: TenantId, id: DocumentId, stamp: &Stamp) -> Result<bool, Error> {
        requests::delete(&self.db, tenant, id, stamp).await
    }

    async fn retry(
        &self,
        tenant: TenantId,
        id: DocumentId,
        stamp: &Stamp,
    ) -> Result<Option<Result<u32, Refusal>>, Error> {
        requests::retry(&self.db, tenant, id, stamp).await
    }

    async fn cancel(
        &self,
        tenant: TenantId,
        id: DocumentId,
        stamp: &Stamp,
    ) -> Result<Option<Result<u32, Refusal>>, Error> {
        requests::cancel(&self.db, tenant, id, stamp).await
    }

    async fn rebuild(&self, tenant: Option<TenantId>, at: DateTime<Utc>) -> Result<u64, Error> {
        requests::rebuild(&self.db, tenant, at).await
    }

    async fn document(&self, tenant: TenantId, id: DocumentId) -> Result<Option<Document>, Error> {
        reads::document(&self.db, tenant, id).await
    }

    async fn list(
        &self,
        tenant: TenantId,
        filter: &ListFilter,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<Document>, Error> {
        reads::list(&self.db, tenant, filter, after, limit).await
    }

    async fn text(&self, tenant: TenantId, id: DocumentId) -> Result<Option<StoredText>, Error> {
        reads::text(&self.db, tenant, id).await
    }

    async fn texts(
        &self,
        tenant: TenantId,
        versions: &[(DocumentId, u32)],
    ) -> Result<Vec<StoredText>, Error> {
        reads::texts(&self.db, tenant, versions).await
    }

    async fn pieces(&self, tenant: TenantId, wanted: &[Piece]) -> Result<Vec<TextPiece>, Error> {
        reads::pieces(&self.db, tenant, wanted).await
    }

    async fn original(&self, tenant: TenantId, id: DocumentId) -> Result<Option<Original>, Error> {
        reads::original(&self.db, tenant, id).await
    }

    async fn chunks(
        &self,
        tenant: TenantId,
        id: DocumentId,
        version: u32,
        from: u32,
        limit: u32,
    ) -> Result<ChunkList, Error> {
        reads::chunks(&self.db, tenant, id, version, from, limit).await
    }

    async fn timeline(
        &self,
        tenant: TenantId,
        id: DocumentId,
    ) -> Result<Vec<TimelineEntry>, Error> {
        reads::timeline(&self.db, tenant, id).await
    }

    async fn dead_letters(
        &self,
        tenant: TenantId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<Dead>, Error> {
        reads::dead_letters(&self.db, tenant, after, limit).await
    }

    async fn recover(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        work::recover(&self.db, now).await
    }

    async fn announce(
        &self,
        events: &[(EventId, DocumentWork)],
        now: DateTime<Utc>,
    ) -> Result<u64, Error> {
        work::announce(&self.db, events, now).await
    }

    async fn has_work(&self, now: DateTime<Utc>) -> Result<bool, Error> {
        work::has_work(&self.db, now).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, Error> {
        work::claim(&self.db, claim).await
    }

    async fn originals(
        &self,
        versions: &[(DocumentId, u32)],
    ) -> Result<Vec<(DocumentId, Bytes)>, Error> {
        work::originals(&self.db, versions).await
    }

    async fn stored(
        &self,
        id: DocumentId,
        version: u32,
    ) -> Result<Option<(StoredText, Vec<NewChunk>)>, Error> {
        work::stored(&self.db, id, version).await
    }

    async fn held(&self, claim: Uuid) -> Result<Vec<DocumentId>, Error> {
        work::held(&self.db, claim).await
    }

    async fn renew(
        &self,
        claim: Uuid,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<DocumentId>, Error> {
        work::renew(&self.db, claim, until, now).await
    }

    async fn put_chunks(&self, claim: Uuid, parsed: &[Parsed]) -> Result<Vec<DocumentId>, Error> {
        settle::put_chunks(&self.db, claim, parsed).await
    }

    async fn settle(
        &self,
        claim: Uuid,
        outcomes: &[Outcome],
        at: DateTime<Utc>,
    ) -> Result<Vec<DocumentId>, Error> {
        settle::settle(&self.db, claim, outcomes, at).await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        work::stats(&self.db).await
    }

    async fn prune(&self, now: DateTime<Utc>, age: Duration) -> Result<u64, Error> {
        work::prune(&self.db, now, age).await
    }

    async fn close(&self) {
        self.db.close().await;
    }
}

/// An id as it is stored.
fn blob(id: &Uuid) -> &[u8] {
    encode_id(id)
}

/// Queues work; takes the place of what was queued before. Who holds a lease keeps it until it
/// notices, so that two never work on one document.
async fn queue(
    connection: &mut SqliteConnection,
    subject: Subject,
    action: WorkAction,
    rebuild: bool,
    stamp: &Stamp,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO work (document_id, tenant_id, version, action, rebuild, queued_at, \
         visible_at, claim, superseded, attempts, losses, waits, wait_code) \
         VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 0, 0, 0, 0, NULL) \
         ON CONFLICT (document_id) DO UPDATE SET \
         version = excluded.version, action = excluded.action, \
         rebuild = max(excluded.rebuild, work.rebuild, work.action = 'remove'), \
         queued_at = excluded.queued_at, superseded = work.claim IS NOT NULL, \
         visible_at = iif(work.claim IS NULL, excluded.visible_at, work.visible_at), \
         attempts = 0, losses = 0, waits = 0, wait_code = NULL",
    )
    .bind(blob(subject.id.as_uuid()))
    .bind(blob(subject.tenant.as_uuid()))
    .bind(subject.version)
    .bind(action_word(action))
    .bind(rebuild)
    .bind(micros(stamp.at))
    .bind(micros(stamp.visible_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes a line of the timeline.
async fn note(
    connection: &mut SqliteConnection,
    subject: Subject,
    at: DateTime<Utc>,
    status: DocumentStatus,
    attempt: u32,
    detail: Option<&str>,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO timeline (document_id, tenant_id, version, at, status, attempt, detail) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(blob(subject.id.as_uuid()))
    .bind(blob(subject.tenant.as_uuid()))
    .bind(subject.version)
    .bind(micros(at))
    .bind(status.as_str())
    .bind(attempt)
    .bind(detail)
    .execute(connection)
    .await?;
    Ok(())
}
