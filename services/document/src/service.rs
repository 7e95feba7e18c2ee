//! What the routes call.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc, oneshot};
use touchstone_api::document::{
    AcceptedDocument, Chunk, DeadLetter, Document, Failure, Metadata, PassagesRequest,
    PassagesResponse, Timeline,
};
use touchstone_api::{HealthStatus, Page};
use touchstone_client::VectorClient;
use touchstone_error::Classify;
use touchstone_events::{Backlog, EventBus, Waker};
use touchstone_identity::{Caller, CallerKind};
use touchstone_types::{Clock, DocumentId, DocumentStatus, EventId, IdSource, Role, Source};
use touchstone_web::HealthReport;
use uuid::Uuid;

use crate::Config;
use crate::commit::Pending;
use crate::domain::{cursor, limits, point};
use crate::error::Error;
use crate::formats;
use crate::ingest::{COLLECTION, Wake};
use crate::metrics::Metrics;
use crate::passages;
use crate::store::{Accept, Accepted, ListFilter, NewChunk, Original, Stamp, Store, StoredText};

/// Default and largest page.
const PAGE: (u32, u32) = (50, 200);

/// The service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Documents(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub ids: IdSource,
    pub metrics: Metrics,
    pub config: Config,
    pub vector: VectorClient,
    /// Wakes the relay after a commit with an event.
    pub relay: Waker,
    /// What the relay could not send.
    pub backlog: Backlog,
    /// Tells whether it is there.
    pub events: Arc<dyn EventBus>,
    /// Wakes the workers after a commit with work that is visible at once.
    pub wake: Wake,
    /// To the task that commits uploads together.
    pub commits: mpsc::Sender<Pending>,
    /// Bounds how many uploads are checked and hashed at once.
    pub checks: Semaphore,
}

/// A document as it came in.
#[derive(Clone, Debug)]
pub struct Upload {
    /// File name.
    pub filename: String,
    /// Media type, if given.
    pub mime: Option<String>,
    /// Language, if given.
    pub language: Option<String>,
    /// Free facts.
    pub metadata: Metadata,
    /// The bytes.
    pub body: Bytes,
}

impl Documents {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Largest original, in bytes.
    pub(crate) fn document_limit(&self) -> bytesize::ByteSize {
        self.0.config.limits.document
    }

    /// Takes a document, or a new version of one; durable when it returns.
    pub(crate) async fn accept(
        &self,
        caller: &Caller,
        upload: Upload,
        replaces: Option<DocumentId>,
        key: Option<String>,
    ) -> Result<AcceptedDocument, Error> {
        limits::check_filename(&upload.filename)?;
        limits::check_metadata(&upload.metadata)?;
        if let Some(mime) = &upload.mime {
            limits::check_mime(mime)?;
        }
        let language = upload
            .language
            .as_deref()
            .map(limits::check_language)
            .transpose()?;
        if upload.body.len() as u64 > self.document_limit().as_u64() {
            return Err(Error::TooLarge(self.document_limit()));
        }
        let Upload {
            filename,
            mime,
            metadata,
            body,
            ..
        } = upload;
        let (filename, mime, body, format, sha256) = self.inspect(filename, mime, body).await?;
        let digest = key.is_some().then(|| {
            request_hash(
                replaces,
                &filename,
                mime.as_deref(),
                language.as_deref(),
                &metadata,
                &sha256,
            )
        });
        let item = Accept {
            tenant: caller.tenant,
            user: caller.user,
            id: replaces.unwrap_or_else(|| self.0.ids.next()),
            replaces: replaces.is_some(),
            filename,
            mime: mime.unwrap_or_else(|| format.mime().to_owned()),
            format: format.as_str(),
            language,
            source: source_of(caller),
            metadata,
            sha256,
            idempotency: key.zip(digest),
            stamp: self.stamp(caller),
            body,
        };
        let size = item.body.len() as u64;
        match self.commit(item).await? {
            Accepted::New { id, version } => {
                self.0.relay.wake();
                self.0.metrics.accepted.inc();
                self.0.metrics.accepted_bytes.inc_by(size);
                Ok(AcceptedDocument {
                    id,
                    version,
                    status: DocumentStatus::Queued,
                })
            }
            Accepted::Repeated { id, version } => Ok(AcceptedDocument {
                id,
                version,
                status: DocumentStatus::Queued,
            }),
            Accepted::Mismatch => Err(Error::IdempotencyMismatch),
            Accepted::Unknown => Err(Error::Unknown),
        }
    }

    /// Checks and hashes the bytes, off the async threads.
    async fn inspect(
        &self,
        filename: String,
        mime: Option<String>,
        body: Bytes,
    ) -> Result<(String, Option<String>, Bytes, formats::Format, String), Error> {
        let _permit = self.0.checks.acquire().await.map_err(|_| Error::Stopping)?;
        let inspect = move || {
            let format = formats::detect(&filename, mime.as_deref(), &body)?;
            formats::preflight(format, &body)?;
            let sha256 = hex::encode(Sha256::digest(&body));
            Ok((filename, mime, body, format, sha256))
        };
        tokio::task::spawn_blocking(inspect)
            .await
            .map_err(Error::Task)?
    }

    /// Commits together with the uploads of others.
    async fn commit(&self, item: Accept) -> Result<Accepted, Error> {
        let (answer, committed) = oneshot::channel();
        if let Err(mpsc::error::SendError((item, _))) = self.0.commits.send((item, answer)).await {
            // The committing task ends with the soft stop; requests under way still finish.
            return self.commit_alone(&item).await;
        }
        Ok(committed.await.map_err(|_| Error::Stopping)??)
    }

    async fn commit_alone(&self, item: &Accept) -> Result<Accepted, Error> {
        let answers = self.0.store.accept(std::slice::from_ref(item)).await?;
        answers.into_iter().next().ok_or(Error::Stopping)
    }

    fn stamp(&self, caller: &Caller) -> Stamp {
        let at = self.0.clock.now();
        Stamp {
            event: self.0.ids.next::<EventId>(),
            at,
            visible_at: at + self.0.config.ingest.sweep_after,
            traceparent: caller.context.traceparent.as_deref().map(str::to_owned),
        }
    }

    /// A document.
    pub(crate) async fn get(&self, caller: &Caller, id: DocumentId) -> Result<Document, Error> {
        self.0
            .store
            .document(caller.tenant, id)
            .await?
            .ok_or(Error::Unknown)
    }

    /// Documents, newest first.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        filter: &ListFilter,
        limit: Option<u32>,
        cursor: Option<&str>,
    ) -> Result<Page<Document>, Error> {
        let limit = page_size(limit)?;
        let after = cursor.map(cursor::parse_document).transpose()?;
        let items = self
            .0
            .store
            .list(caller.tenant, filter, after, limit + 1)
            .await?;
        Ok(page(items, limit, |item| cursor::after_document(item.id)))
    }

    /// Hides a document and queues the removal of its points.
    pub(crate) async fn delete(&self, caller: &Caller, id: DocumentId) -> Result<(), Error> {
        if !self
            .0
            .store
            .delete(caller.tenant, id, &self.stamp(caller))
            .await?
        {
            return Err(Error::Unknown);
        }
        self.0.relay.wake();
        Ok(())
    }

    /// Starts a failed or cancelled document again.
    pub(crate) async fn retry(
        &self,
        caller: &Caller,
        id: DocumentId,
    ) -> Result<AcceptedDocument, Error> {
        let answer = self
            .0
            .store
            .retry(caller.tenant, id, &self.stamp(caller))
            .await?;
        let version = answer
            .ok_or(Error::Unknown)?
            .map_err(|refusal| Error::State(refusal.status, "started again"))?;
        self.0.relay.wake();
        Ok(AcceptedDocument {
            id,
            version,
            status: DocumentStatus::Queued,
        })
    }

    /// Stops a document that is not settled.
    pub(crate) async fn cancel(
        &self,
        caller: &Caller,
        id: DocumentId,
    ) -> Result<AcceptedDocument, Error> {
        let answer = self
            .0
            .store
            .cancel(caller.tenant, id, &self.stamp(caller))
            .await?;
        let version = answer
            .ok_or(Error::Unknown)?
            .map_err(|refusal| Error::State(refusal.status, "cancelled"))?;
        self.0.relay.wake();
        self.0.wake.wake();
        Ok(AcceptedDocument {
            id,
            version,
            status: DocumentStatus::Cancelled,
        })
    }

    /// The text of the current version.
    pub(crate) async fn text(&self, caller: &Caller, id: DocumentId) -> Result<StoredText, Error> {
        match self.0.store.text(caller.tenant, id).await? {
            Some(text) => Ok(text),
            None => Err(Error::NoText(self.get(caller, id).await?.status)),
        }
    }

    /// The bytes of the current version.
    pub(crate) async fn original(
        &self,
        caller: &Caller,
        id: DocumentId,
    ) -> Result<Original, Error> {
        let found = self.0.store.original(caller.tenant, id).await?;
        let original = found.ok_or(Error::Unknown)?;
        // Neither SQLite nor a disk notices a bit that turned over; the hash of the upload does.
        let check = move || {
            let now = hex::encode(Sha256::digest(&original.body));
            (now == original.sha256).then_some(original)
        };
        let checked = tokio::task::spawn_blocking(check).await;
        checked.map_err(Error::Task)?.ok_or(Error::Damaged)
    }

    /// Chunks of the current version, in order.
    pub(crate) async fn chunks(
        &self,
        caller: &Caller,
        id: DocumentId,
        limit: Option<u32>,
        cursor: Option<&str>,
    ) -> Result<Page<Chunk>, Error> {
        let limit = page_size(limit)?;
        let after = cursor.map(cursor::parse_chunk).transpose()?;
        let version = self.get(caller, id).await?.version;
        let from = match after {
            Some((of, ordinal)) if of == version => ordinal.saturating_add(1),
            Some(_) => return Err(cursor::InvalidCursor.into()),
            None => 0,
        };
        let found = self
            .0
            .store
            .chunks(caller.tenant, id, version, from, limit + 1)
            .await?;
        if found.chunks.is_empty() {
            return Ok(Page {
                items: Vec::new(),
                next_cursor: None,
            });
        }
        let texts = self.0.store.texts(caller.tenant, &[(id, version)]).await?;
        let body = texts.first().map_or("", |text| text.body.as_str());
        let chunk = |chunk: NewChunk| Chunk {
            id: point::chunk_id(id, version, chunk.ordinal, found.model.as_deref()),
            ordinal: chunk.ordinal,
            start: chunk.span.start,
            end: chunk.span.end,
            text: chunk.span.of(body).unwrap_or_default().to_owned(),
            heading: chunk.heading,
        };
        let items = found.chunks.into_iter().map(chunk).collect();
        Ok(page(items, limit, |item: &Chunk| {
            cursor::after_chunk(version, item.ordinal)
        }))
    }

    /// The life of a document.
    pub(crate) async fn timeline(
        &self,
        caller: &Caller,
        id: DocumentId,
    ) -> Result<Timeline, Error> {
        let items = self.0.store.timeline(caller.tenant, id).await?;
        if items.is_empty() {
            Err(Error::Unknown)
        } else {
            Ok(Timeline { items })
        }
    }

    /// Texts around spans.
    pub(crate) async fn passages(
        &self,
        caller: &Caller,
        request: &PassagesRequest,
    ) -> Result<PassagesResponse, Error> {
        let wanted = passages::pieces(request, self.0.config.limits.passages.as_u64())?;
        let pieces = self.0.store.pieces(caller.tenant, &wanted).await?;
        Ok(PassagesResponse {
            passages: passages::cut(request, pieces),
        })
    }

    /// Documents that were given up.
    pub(crate) async fn dead_letters(
        &self,
        caller: &Caller,
        limit: Option<u32>,
        cursor: Option<&str>,
    ) -> Result<Page<DeadLetter>, Error> {
        let limit = page_size(limit)?;
        let after = cursor.map(cursor::parse_document).transpose()?;
        let found = self
            .0
            .store
            .dead_letters(caller.tenant, after, limit + 1)
            .await?;
        let items = found
            .into_iter()
            .map(|dead| DeadLetter {
                document_id: dead.id,
                version: dead.version,
                failure: Failure {
                    code: dead.failure.code,
                    message: dead.failure.message,
                },
                attempts: dead.attempts,
                at: dead.at,
            })
            .collect();
        Ok(page(items, limit, |item: &DeadLetter| {
            cursor::after_document(item.document_id)
        }))
    }

    /// Queues documents for a rebuild of the index: all of them for a service, the tenant's for an
    /// administrator.
    pub(crate) async fn reindex(&self, caller: &Caller, reset: bool) -> Result<u64, Error> {
        // A service that acts on behalf of a user is that user.
        let alone = caller.is_service() && caller.user.as_uuid().is_nil();
        if caller.role != Role::Admin || (reset && !alone) {
            return Err(Error::Forbidden);
        }
        if reset {
            let own = Caller::service("document", caller.tenant);
            match self.0.vector.drop_collection(&own, COLLECTION).await {
                Ok(()) => {}
                Err(error) if error.kind() == touchstone_error::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::Reset(error)),
            }
            self.0.wake.forget_collection();
        }
        let tenant = (!alone).then_some(caller.tenant);
        let documents = self.0.store.rebuild(tenant, self.0.clock.now()).await?;
        self.0.wake.wake();
        Ok(documents)
    }

    /// State of the bus. Without it documents are accepted and wait, so this is no failure.
    fn bus_health(&self) -> HealthReport {
        let report = HealthReport::healthy().with("relay_backlog", self.0.backlog.events());
        match self.0.events.state().connected {
            None => report,
            Some(connected) => report
                .with("kafka_connected", connected)
                .degraded_unless(connected),
        }
    }

    /// State of the service.
    pub(crate) async fn health(&self) -> HealthReport {
        match self.0.store.stats().await {
            Ok(stats) => {
                let age = stats.oldest.map_or(Duration::ZERO, |oldest| {
                    (self.0.clock.now() - oldest).to_std().unwrap_or_default()
                });
                self.bus_health()
                    .with("store", "ok")
                    .with("queue_depth", stats.queued)
                    .with("oldest_queued_seconds", age.as_secs())
                    .with("dead_letters", stats.dead_letters)
            }
            Err(error) => {
                let mut report = HealthReport::healthy().with("store", error.code());
                report.status = HealthStatus::Unhealthy;
                report
            }
        }
    }
}

fn page_size(limit: Option<u32>) -> Result<u32, Error> {
    let (usual, most) = PAGE;
    let limit = limit.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        Ok(limit)
    } else {
        Err(Error::Limit(most))
    }
}

/// A page of at most `limit` of `items`, of which one more was asked for.
fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = if more { items.last().map(cursor) } else { None };
    Page { items, next_cursor }
}

/// Services that bring documents along say by their name where those come from.
fn source_of(caller: &Caller) -> Source {
    match &caller.kind {
        CallerKind::Service(name) => match &**name {
            "telegram" => Source::Telegram,
            "auth" | "stack" => Source::Demo,
            _ => Source::Upload,
        },
        CallerKind::User | CallerKind::ApiKey => Source::Upload,
    }
}

/// A hash of all that an upload asks for.
fn request_hash(
    replaces: Option<DocumentId>,
    filename: &str,
    mime: Option<&str>,
    language: Option<&str>,
    metadata: &Metadata,
    sha256: &str,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let target = replaces.map_or(Uuid::nil(), |id| *id.as_uuid());
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    field(target.as_bytes());
    for text in [
        filename,
        mime.unwrap_or_default(),
        language.unwrap_or_default(),
        sha256,
    ] {
        field(text.as_bytes());
    }
    for (key, value) in metadata {
        field(key.as_bytes());
        field(value.as_bytes());
    }
    hash.finalize().into()
}
