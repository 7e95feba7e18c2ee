//! What the service keeps: documents, versions, texts, chunks, work, outbox.
//!
//! [`Store`] is the seam; [`sqlite`] is the embedded backend, [`postgres`] the shared one. Times and ids come from the caller.
//! Every query of a request names the tenant; a worker's query names the claim under which the
//! worker holds the documents.

mod common;
mod model;
pub mod postgres;
pub mod sqlite;

#[cfg(test)]
mod contract;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use touchstone_api::document::{Document, TimelineEntry};
use touchstone_api::events::DocumentWork;
use touchstone_store::postgres::Options;
use touchstone_store::{Backend, Outbox, StoreUri};
use touchstone_types::{DocumentId, EventId, TenantId};
use uuid::Uuid;

pub use model::{
    Accept, Accepted, ChunkList, Claim, Claimed, Dead, Failure, ListFilter, NewChunk, Original,
    Outcome, Parsed, Passed, Piece, Refusal, Stamp, Stats, StoredText, TextPiece,
};
pub use touchstone_store::Error;

/// A store that is open, with the outbox that belongs to it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its outbox.
    pub outbox: Arc<dyn Outbox>,
}

impl From<sqlite::SqliteStore> for Opened {
    fn from(store: sqlite::SqliteStore) -> Self {
        Self {
            outbox: Arc::new(store.database().clone()),
            store: Arc::new(store),
        }
    }
}

impl From<postgres::PostgresStore> for Opened {
    fn from(store: postgres::PostgresStore) -> Self {
        Self {
            outbox: Arc::new(store.database().clone()),
            store: Arc::new(store),
        }
    }
}

/// Opens the store that a URI names and brings its schema up to date.
///
/// # Errors
/// As [`Error`]; an unknown scheme is one of them.
pub async fn open(uri: &StoreUri, options: &Options) -> Result<Opened, Error> {
    Ok(match uri.backend()? {
        Backend::Sqlite => sqlite::SqliteStore::open(uri.as_str()).await?.into(),
        Backend::Postgres => postgres::PostgresStore::open(uri.as_str(), options)
            .await?
            .into(),
    })
}

/// Everything that document keeps.
#[async_trait]
pub trait Store: Send + Sync + Debug + 'static {
    // Requests.

    /// Accepts documents and versions in one transaction, with their outbox events. What was
    /// refused leaves no trace and does not stop the others.
    async fn accept(&self, batch: &[Accept]) -> Result<Vec<Accepted>, Error>;

    /// Hides a document at once and queues the removal of its points; `false` when unknown.
    async fn delete(&self, tenant: TenantId, id: DocumentId, stamp: &Stamp) -> Result<bool, Error>;

    /// Starts a failed or cancelled document again; `None` when unknown. Gives the version.
    async fn retry(
        &self,
        tenant: TenantId,
        id: DocumentId,
        stamp: &Stamp,
    ) -> Result<Option<Result<u32, Refusal>>, Error>;

    /// Stops a document that is not settled; `None` when unknown. Gives the version.
    async fn cancel(
        &self,
        tenant: TenantId,
        id: DocumentId,
        stamp: &Stamp,
    ) -> Result<Option<Result<u32, Refusal>>, Error>;

    /// Queues the documents of a tenant, or of all, for a rebuild of the index; tells how many.
    async fn rebuild(&self, tenant: Option<TenantId>, at: DateTime<Utc>) -> Result<u64, Error>;

    /// A document.
    async fn document(&self, tenant: TenantId, id: DocumentId) -> Result<Option<Document>, Error>;

    /// Documents, newest first, after `after`.
    async fn list(
        &self,
        tenant: TenantId,
        filter: &ListFilter,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<Document>, Error>;

    /// The text of a document's current version; `None` when unknown or not extracted yet.
    async fn text(&self, tenant: TenantId, id: DocumentId) -> Result<Option<StoredText>, Error>;

    /// Texts of versions, in any order, without those that are gone.
    async fn texts(
        &self,
        tenant: TenantId,
        versions: &[(DocumentId, u32)],
    ) -> Result<Vec<StoredText>, Error>;

    /// Pieces of texts, in any order, without those whose version is gone. A piece ends with its
    /// text, and its ends may lie inside characters.
    async fn pieces(&self, tenant: TenantId, wanted: &[Piece]) -> Result<Vec<TextPiece>, Error>;

    /// The bytes of a document's current version.
    async fn original(&self, tenant: TenantId, id: DocumentId) -> Result<Option<Original>, Error>;

    /// Chunks of a version from `from` on.
    async fn chunks(
        &self,
        tenant: TenantId,
        id: DocumentId,
        version: u32,
        from: u32,
        limit: u32,
    ) -> Result<ChunkList, Error>;

    /// The life of a document, oldest first; empty when unknown.
    async fn timeline(&self, tenant: TenantId, id: DocumentId)
    -> Result<Vec<TimelineEntry>, Error>;

    /// Documents that were given up, newest first, after `after`.
    async fn dead_letters(
        &self,
        tenant: TenantId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<Dead>, Error>;

    // Work.

    /// Frees leases whose holder cannot be alive any more. An exclusive store (one process) frees
    /// all of them; a shared one those that ran out. Tells how many.
    async fn recover(&self, now: DateTime<Utc>) -> Result<u64, Error>;

    /// Makes the work of events visible, once per event. Tells how much became visible.
    async fn announce(
        &self,
        events: &[(EventId, DocumentWork)],
        now: DateTime<Utc>,
    ) -> Result<u64, Error>;

    /// Whether some work can be claimed.
    async fn has_work(&self, now: DateTime<Utc>) -> Result<bool, Error>;

    /// Claims the oldest visible work and more of the same tenant. Work that failed or was lost
    /// before is claimed alone.
    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, Error>;

    /// The bytes of claimed versions.
    async fn originals(
        &self,
        versions: &[(DocumentId, u32)],
    ) -> Result<Vec<(DocumentId, Bytes)>, Error>;

    /// Text and chunks of a claimed version.
    async fn stored(
        &self,
        id: DocumentId,
        version: u32,
    ) -> Result<Option<(StoredText, Vec<NewChunk>)>, Error>;

    /// Which documents the claim still holds.
    async fn held(&self, claim: Uuid) -> Result<Vec<DocumentId>, Error>;

    /// Extends the lease of what the claim holds, and lets go of what requests have changed since.
    /// Gives what is still held.
    async fn renew(
        &self,
        claim: Uuid,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<DocumentId>, Error>;

    /// Stores texts and chunks. Documents that the claim has lost are let go and left out of the
    /// answer.
    async fn put_chunks(&self, claim: Uuid, parsed: &[Parsed]) -> Result<Vec<DocumentId>, Error>;

    /// Ends the claim on documents, each with its outcome. Documents that the claim has lost are
    /// let go and left out of the answer.
    async fn settle(
        &self,
        claim: Uuid,
        outcomes: &[Outcome],
        at: DateTime<Utc>,
    ) -> Result<Vec<DocumentId>, Error>;

    /// Queue depth, age and dead letters of all tenants.
    async fn stats(&self) -> Result<Stats, Error>;

    /// Forgets idempotency keys and inbox entries that are older than `age`.
    async fn prune(&self, now: DateTime<Utc>, age: Duration) -> Result<u64, Error>;

    /// Ends all connections; what is committed stays.
    async fn close(&self);
}
