//! The shared backend: a schema of a PostgreSQL database.
//!
//! Several processes work on it at once. Whatever changes a document locks its row first, so that
//! the changes of one document, and its events, come in a row. Work is claimed with `SKIP LOCKED`
//! under a lease; a process that is silent for a while loses what it held.

mod reads;
mod requests;
mod settle;
mod sql;
mod work;
mod work_sql;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use touchstone_api::document::{Document, TimelineEntry};
use touchstone_api::events::{DocumentWork, WorkAction};
use touchstone_store::postgres::{Database, Explained, Options, inbox, int, outbox, text};
use touchstone_types::{DocumentId, DocumentStatus, EventId, TenantId};
use uuid::Uuid;

use super::common::{Subject, action_word};
use super::{
    Accept, Accepted, ChunkList, Claim, Claimed, Dead, Error, ListFilter, NewChunk, Original,
    Outcome, Parsed, Piece, Refusal, Stamp, Stats, Store, StoredText, TextPiece,
};

/// Name of the schema.
const SCHEMA: &str = "document";
/// How often a process says that it lives.
const PULSE: Duration = Duration::from_secs(2);

/// The schema, forward only.
pub static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// What `touchstone explain` looks at.
pub const EXPLAINED: Explained = Explained {
    service: SCHEMA,
    migrator: &MIGRATOR,
    fill: work_sql::FILL,
    statements: &[
        sql::STATEMENTS,
        work_sql::STATEMENTS,
        outbox::STATEMENTS,
        inbox::STATEMENTS,
    ],
};

/// Documents in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    db: Database,
    pulse: Arc<Pulse>,
}

/// When this process last said that it lives.
#[derive(Debug, Default)]
struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    /// Whether it is time; if so, the next time is later.
    fn is_due(&self) -> bool {
        let mut last = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= PULSE);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

impl PostgresStore {
    /// Opens the schema, and brings it up to date.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open(uri: &str, options: &Options) -> Result<Self, Error> {
        Ok(Self {
            db: Database::open(uri, SCHEMA, &MIGRATOR, options).await?,
            pulse: Arc::default(),
        })
    }

    /// The database, for the relay of its outbox.
    pub const fn database(&self) -> &Database {
        &self.db
    }
}

#[async_trait]
impl Store for PostgresStore {
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
        if self.pulse.is_due() {
            work::keep_alive(&self.db, now).await?;
        }
        work::has_work(&self.db, now).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, Error> {
        if self.pulse.is_due() {
            work::keep_alive(&self.db, claim.now).await?;
        }
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

/// Queues work.
async fn queue(
    tx: &mut PgConnection,
    subject: Subject,
    action: WorkAction,
    rebuild: bool,
    stamp: &Stamp,
) -> Result<(), Error> {
    sqlx::query(sql::QUEUE)
        .bind(subject.id.as_uuid())
        .bind(subject.tenant.as_uuid())
        .bind(int(subject.version))
        .bind(action_word(action))
        .bind(rebuild)
        .bind(stamp.at)
        .bind(stamp.visible_at)
        .execute(tx)
        .await?;
    Ok(())
}

/// Writes a line of the timeline.
async fn note(
    tx: &mut PgConnection,
    subject: Subject,
    at: DateTime<Utc>,
    status: DocumentStatus,
    attempt: u32,
    detail: Option<&str>,
) -> Result<(), Error> {
    sqlx::query(sql::NOTE)
        .bind(subject.id.as_uuid())
        .bind(subject.tenant.as_uuid())
        .bind(int(subject.version))
        .bind(at)
        .bind(status.as_str())
        .bind(int(attempt))
        .bind(detail.map(text))
        .execute(tx)
        .await?;
    Ok(())
}
