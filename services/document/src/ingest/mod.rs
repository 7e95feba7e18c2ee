//! Workers that carry documents from `queued` to `indexed`.
//!
//! The bus only says that there is work; what is to be done, by whom and how often it was tried
//! stands in the store. A worker claims a group of documents of one tenant under a lease, parses
//! and cuts them, writes texts and chunks in one transaction, has the chunks embedded, writes the
//! points, counts them back and settles the group in one transaction. Work that nobody brings to
//! an end becomes visible again when its lease ends.

mod calls;
mod index;
mod listen;
mod parse;
mod trouble;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::Notify;
use touchstone_api::events::WorkAction;
use touchstone_client::{EmbeddingClient, VectorClient};
use touchstone_error::{Classify, chain};
use touchstone_events::{Backlog, EventBus, Waker};
use touchstone_identity::Caller;
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{Clock, DocumentId, EventId, IdSource, TenantId};
use uuid::Uuid;

use self::index::Index;
use self::parse::Parser;
use self::trouble::Trouble;
use crate::config::Ingest;
use crate::domain::ingestion::has_chunks;
use crate::domain::point::DenseModel;
use crate::metrics::Metrics;
use crate::store::{self, Claim, Claimed, Failure, Outcome, Passed, Store};

/// The one collection of chunks.
pub const COLLECTION: &str = "chunks";
/// Name of this service towards others.
const SERVICE: &str = "document";
/// Pause of a worker after its store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Wakes the workers; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wake {
    notify: Arc<Notify>,
    /// Dense model for which the collection is known to exist; empty while it is not.
    collection: Arc<Mutex<Option<DenseModel>>>,
}

impl Wake {
    /// There may be work.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// The collection is gone, or may be.
    pub fn forget_collection(&self) {
        *self
            .collection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn knows_collection(&self, model: &DenseModel) -> bool {
        let known = self
            .collection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.as_ref() == Some(model)
    }

    fn learn_collection(&self, model: DenseModel) {
        *self
            .collection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(model);
    }
}

/// The workers' common ground; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingestor(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub store: Arc<dyn Store>,
    pub embedding: EmbeddingClient,
    pub vector: VectorClient,
    pub parser: Parser,
    pub config: Ingest,
    pub clock: Arc<dyn Clock>,
    pub ids: IdSource,
    pub metrics: Metrics,
    pub wake: Wake,
    pub relay: Waker,
    /// What the relay could not send.
    pub backlog: Backlog,
    pub events: Arc<dyn EventBus>,
    pub life: Lifecycle,
}

pub(crate) use self::parse::Parser as DocumentParser;

/// A group of claimed documents under work.
struct Group {
    claim: Uuid,
    /// Documents that are still held, in the order of their claim.
    documents: Vec<Claimed>,
    /// When the lease was taken or renewed, by the worker's own watch.
    renewed: Instant,
}

impl Group {
    fn keep(&mut self, held: &[DocumentId]) {
        self.documents
            .retain(|document| held.contains(&document.id));
    }
}

impl Ingestor {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Starts the workers.
    pub(crate) fn start(&self) {
        for number in 0..self.0.config.workers {
            self.0
                .life
                .spawn(format!("document.worker.{number}"), self.clone().work());
        }
    }

    async fn work(self) {
        let stop = self.0.life.soft_stop();
        while !stop.is_cancelled() {
            match self.claim().await {
                Ok(documents) if documents.is_empty() => {
                    stop.run_until_cancelled(self.0.wake.notify.notified())
                        .await;
                }
                Ok(documents) => {
                    // There may be more: somebody else shall look.
                    self.0.wake.wake();
                    self.run(documents).await;
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "no work can be claimed");
                    stop.run_until_cancelled(tokio::time::sleep(STORE_PAUSE))
                        .await;
                }
            }
        }
    }

    async fn claim(&self) -> Result<Vec<(Uuid, Claimed)>, store::Error> {
        let now = self.0.clock.now();
        if !self.0.store.has_work(now).await? {
            return Ok(Vec::new());
        }
        let claim = Claim {
            id: self.0.ids.next(),
            now,
            until: now + self.0.config.lease,
            documents: self.0.config.group_documents,
            bytes: self.0.config.group_bytes.as_u64(),
        };
        let claimed = self.0.store.claim(&claim).await?;
        Ok(claimed
            .into_iter()
            .map(|document| (claim.id, document))
            .collect())
    }

    /// Works on a group; whatever happens, what is still held afterwards is given back.
    async fn run(&self, claimed: Vec<(Uuid, Claimed)>) {
        let Some(claim) = claimed.first().map(|(claim, _)| *claim) else {
            return;
        };
        let documents: Vec<_> = claimed.into_iter().map(|(_, document)| document).collect();
        let group = Group {
            claim,
            documents: documents.clone(),
            renewed: Instant::now(),
        };
        let worked = AssertUnwindSafe(self.process(group)).catch_unwind().await;
        let outcomes: Vec<_> = match worked {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "the store failed under a group of documents");
                tokio::time::sleep(STORE_PAUSE.min(self.0.config.backoff_most)).await;
                self.after_store_error(&error, &documents)
            }
            Err(_) => {
                tracing::error!(documents = documents.len(), "a worker panicked");
                let failure = Failure {
                    code: "document.worker_panicked".to_owned(),
                    message: "the worker panicked".to_owned(),
                };
                documents
                    .iter()
                    .map(|document| {
                        self.outcome(document, Trouble::Attempt(failure.clone()), &[], true)
                    })
                    .collect()
            }
        };
        // Those that were settled before are not held any more and left alone. If the store is
        // still away, the leases run out.
        if let Err(error) = self.settle(claim, &outcomes).await {
            tracing::warn!(error = %chain(&error), "documents stay leased until the lease ends");
        }
    }

    /// A store that is away is nobody's fault; one that refuses what a document brings would refuse
    /// it for ever.
    fn after_store_error(&self, error: &store::Error, documents: &[Claimed]) -> Vec<Outcome> {
        if error.kind().is_transient() {
            return documents
                .iter()
                .map(|it| Outcome::Released { id: it.id })
                .collect();
        }
        let failure = Failure {
            code: "document.store_refused".to_owned(),
            message: "the store refused the document's text or chunks".to_owned(),
        };
        let outcome = |it| self.outcome(it, Trouble::Attempt(failure.clone()), &[], true);
        documents.iter().map(outcome).collect()
    }

    async fn process(&self, mut group: Group) -> Result<(), store::Error> {
        self.give_up_lost(&mut group).await?;
        let removed: Vec<_> = group
            .documents
            .extract_if(.., |document| document.action == WorkAction::Remove)
            .collect();
        if !removed.is_empty() {
            self.remove(group.claim, &removed).await?;
        }
        if group.documents.is_empty() {
            return Ok(());
        }
        let mut texts = self.parse_group(&mut group).await?;
        self.load_stored(&mut group, &mut texts).await?;
        if group.documents.is_empty() {
            return Ok(());
        }
        Index::new(self, group, texts).run().await
    }

    /// Gives up documents under which the process died too often.
    async fn give_up_lost(&self, group: &mut Group) -> Result<(), store::Error> {
        let most = self.0.config.losses;
        let lost: Vec<_> = group
            .documents
            .extract_if(.., |it| {
                it.losses >= most && it.action == WorkAction::Ingest
            })
            .collect();
        let outcomes: Vec<_> = lost
            .iter()
            .map(|document| {
                let failure = Failure {
                    code: "document.worker_lost".to_owned(),
                    message: format!("the worker was lost {} times", document.losses),
                };
                self.outcome(document, Trouble::Fatal(failure), &[], true)
            })
            .collect();
        self.settle(group.claim, &outcomes).await
    }

    /// Removes the points of documents; asked again until vector confirms that none is left.
    async fn remove(&self, claim: Uuid, documents: &[Claimed]) -> Result<(), store::Error> {
        let Some(tenant) = documents.first().map(|document| document.tenant) else {
            return Ok(());
        };
        let started = Instant::now();
        let ids: Vec<_> = documents.iter().map(|document| document.id).collect();
        let removed = calls::remove_points(&self.0, tenant, &ids).await;
        self.0.metrics.step("remove", started.elapsed());
        let outcomes: Vec<_> = match removed {
            Ok(()) => ids.iter().map(|id| Outcome::Removed { id: *id }).collect(),
            Err(trouble) => {
                // A removal is never given up: what was deleted must not be found.
                let (failure, after) = trouble.into_wait();
                documents
                    .iter()
                    .map(|it| self.wait(it, failure.clone(), after, &[]))
                    .collect()
            }
        };
        self.0.metrics.removed.inc_by(
            outcomes
                .iter()
                .filter(|it| matches!(it, Outcome::Removed { .. }))
                .count() as u64,
        );
        self.settle(claim, &outcomes).await
    }

    /// Looks whether the group is still held, and renews the lease when a third of it is over.
    async fn check(&self, group: &mut Group) -> Result<(), store::Error> {
        let lease = self.0.config.lease;
        let held = if group.renewed.elapsed() > lease / 3 {
            let now = self.0.clock.now();
            group.renewed = Instant::now();
            self.0.store.renew(group.claim, now + lease, now).await?
        } else {
            let held = self.0.store.held(group.claim).await?;
            if group
                .documents
                .iter()
                .all(|document| held.contains(&document.id))
            {
                return Ok(());
            }
            // Lets go of what requests have changed, so that others can go on with it.
            let now = self.0.clock.now();
            group.renewed = Instant::now();
            self.0.store.renew(group.claim, now + lease, now).await?
        };
        let before = group.documents.len();
        group.keep(&held);
        if group.documents.len() < before {
            self.0.wake.wake();
        }
        Ok(())
    }

    /// What becomes of a document after `trouble`.
    fn outcome(
        &self,
        document: &Claimed,
        trouble: Trouble,
        passed: &[Passed],
        points: bool,
    ) -> Outcome {
        if document.action == WorkAction::Remove {
            // Never given up: what was deleted must not be found.
            let (failure, after) = trouble.into_wait();
            return self.wait(document, failure, after, &[]);
        }
        let failed = document.attempts + 1;
        match trouble {
            Trouble::Wait(failure, after) => self.wait(document, failure, after, passed),
            Trouble::Attempt(failure) if failed < self.0.config.attempts => {
                self.0.metrics.failed(&failure.code);
                let delay = self.0.config.backoff().delay(failed, self.dice());
                Outcome::Again {
                    id: document.id,
                    failure,
                    delay,
                }
            }
            Trouble::Attempt(failure) | Trouble::Fatal(failure) => {
                self.0.metrics.failed(&failure.code);
                // Points of an older version, or of an earlier attempt, must go.
                let points = points
                    || document.version > 1
                    || document.rebuild
                    || has_chunks(document.status)
                    || document.attempt() > 1;
                let event = self.0.ids.next::<EventId>();
                Outcome::Failed {
                    id: document.id,
                    failure,
                    points,
                    event,
                }
            }
        }
    }

    fn wait(
        &self,
        document: &Claimed,
        failure: Failure,
        after: Option<Duration>,
        passed: &[Passed],
    ) -> Outcome {
        self.0.metrics.waits.inc();
        let delay = self
            .0
            .config
            .backoff()
            .delay(document.waits + 1, self.dice());
        let delay = after.map_or(delay, |after| {
            after.max(delay).min(self.0.config.backoff_most)
        });
        Outcome::Waiting {
            id: document.id,
            passed: passed.to_vec(),
            failure,
            delay,
        }
    }

    /// Ends the claim on documents.
    async fn settle(&self, claim: Uuid, outcomes: &[Outcome]) -> Result<(), store::Error> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let settled = self
            .0
            .store
            .settle(claim, outcomes, self.0.clock.now())
            .await?;
        if settled.len() < outcomes.len()
            || outcomes
                .iter()
                .any(|it| matches!(it, Outcome::Failed { points: true, .. }))
        {
            self.0.wake.wake();
        }
        self.0.relay.wake();
        Ok(())
    }

    /// A random number that spreads waits.
    fn dice(&self) -> u32 {
        self.0.ids.next::<Uuid>().as_u128() as u32
    }
}

/// This service at its background work.
fn caller(tenant: TenantId, deadline: Duration) -> Caller {
    Caller::service(SERVICE, tenant).within(deadline)
}
