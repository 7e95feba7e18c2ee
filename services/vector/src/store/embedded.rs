use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use touchstone_api::vector::{Payload, Point, QueryResponse, ScoredPoint, ScrollResponse};
use touchstone_lifecycle::{Gate, Lifecycle};
use touchstone_types::{ChunkId, Clock, TenantId};

use super::check::signals;
use super::index_map::IndexMap;
use super::payloads::{Part, Payloads};
use super::row::Entry;
use super::sqlite::Rows;
use super::writes::Batch;
use super::{Page, ScopedFilter, Search, VectorStore};
use crate::domain::{CollectionName, Definition, TenantScope};
use crate::error::Error;
use crate::index::{CompiledFilter, Hit, Plan, search};
use crate::metrics::Metrics;
use crate::pool::{CpuPool, Stop};

/// Points as rows of SQLite, and an exact index of them in memory.
///
/// A write commits its rows first and swaps the next snapshot in before it answers; both happen
/// in a task of their own, which a caller who leaves does not cut in two. One write runs at a
/// time. Readers take the present snapshot and never wait.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) rows: Rows,
    pub(super) payloads: Payloads,
    pub(super) index: IndexMap,
    pub(super) pool: CpuPool,
    /// By name.
    pub(super) collections: RwLock<BTreeMap<CollectionName, Arc<Entry>>>,
    /// Bounds the writes that wait for their turn, which hold their points in memory.
    write_places: Arc<Semaphore>,
    /// Held from the look at a snapshot to the swap of the next.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Key of the next row.
    pub(super) next_key: AtomicI64,
    pub(super) state: watch::Sender<State>,
    pub(super) gate: Gate,
    pub(super) life: Lifecycle,
    pub(super) metrics: Metrics,
    pub(super) clock: Arc<dyn Clock>,
}

/// Writes that may wait for their turn, the one at work included.
const MAX_WRITES: usize = 64;
/// Points that are searched where the call is: less work than to wake another thread.
const SEARCHED_AT_ONCE: usize = 1000;
/// How long a call waits for the load before it is sent away.
const LOAD_PATIENCE: Duration = Duration::from_secs(2);

/// Whether the index can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is being built.
    Loading,
    /// It stands.
    Ready,
    /// The rows could not be loaded.
    Failed,
}

impl EmbeddedStore {
    /// Opens the rows at `uri` and begins to load the index in the background; the gate `index`
    /// of `life` opens when it stands. About `payload_bytes` of payloads are kept in memory.
    ///
    /// # Errors
    /// When the rows cannot be opened.
    pub async fn open(
        uri: &str,
        payload_bytes: u64,
        pool: CpuPool,
        life: &Lifecycle,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let rows = Rows::open(uri).await?;
        let entries = rows.collections().await?;
        let collections = entries
            .into_iter()
            .map(|entry| (entry.name.clone(), Arc::new(entry)))
            .collect();
        let store = Self {
            inner: Arc::new(Inner {
                rows,
                payloads: Payloads::new(payload_bytes),
                index: IndexMap::new(metrics.clone()),
                pool,
                collections: RwLock::new(collections),
                write_places: Arc::new(Semaphore::new(MAX_WRITES)),
                turn: tokio::sync::Mutex::default(),
                next_key: AtomicI64::new(1),
                state: watch::Sender::new(State::Loading),
                gate: life.gate("index"),
                life: life.clone(),
                metrics,
                clock,
            }),
        };
        store.begin_load();
        Ok(store)
    }

    /// Whether the index stands.
    pub fn is_ready(&self) -> bool {
        *self.inner.state.borrow() == State::Ready
    }

    /// About how much memory the index takes.
    pub fn index_bytes(&self) -> usize {
        self.inner.index.bytes()
    }

    /// Whether the rows answer.
    pub async fn ping(&self) -> bool {
        self.inner.rows.ping().await.is_ok()
    }

    /// Runs a write to its end, whether or not the caller waits for it.
    async fn write<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let started = Instant::now();
        let place = Arc::clone(&self.inner.write_places).try_acquire_owned();
        let place = place.map_err(|_| Error::Overloaded)?;
        let (sender, answer) = tokio::sync::oneshot::channel();
        let work = work(Arc::clone(&self.inner));
        self.inner.life.spawn("vector.write", async move {
            // An error means that the caller has gone.
            let _ = sender.send(work.await);
            drop(place);
        });
        let result = answer.await.map_err(|_| Error::Stopping)?;
        self.inner
            .metrics
            .write_seconds
            .observe(started.elapsed().as_secs_f64());
        result
    }
}

impl Inner {
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        let collections = self
            .collections
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        collections.values().cloned().collect()
    }

    pub(super) fn entry(&self, name: &CollectionName) -> Option<Arc<Entry>> {
        let collections = self
            .collections
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        collections.get(name).cloned()
    }

    pub(super) fn set_entry(&self, entry: Entry) {
        let mut collections = self
            .collections
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        collections.insert(entry.name.clone(), Arc::new(entry));
    }

    /// Payloads of these rows; those of rows that are gone are missing.
    async fn payloads_of(
        &self,
        collection: i64,
        tenant: TenantId,
        wanted: BTreeMap<ChunkId, i64>,
    ) -> Result<BTreeMap<ChunkId, Payload>, Error> {
        let part = Part { collection, tenant };
        let found = self.payloads.find(part, wanted);
        if found.missing.is_empty() {
            return Ok(found.payloads);
        }
        let keys: Vec<i64> = found.missing.values().copied().collect();
        let read = self.rows.payloads(collection, tenant, &keys).await?;
        Ok(self.payloads.complete(part, found, read))
    }

    /// The collection of a call on points.
    pub(super) async fn target(&self, name: &CollectionName) -> Result<Arc<Entry>, Error> {
        let mut state = self.state.subscribe();
        let loaded = state.wait_for(|state| *state != State::Loading);
        match tokio::time::timeout(LOAD_PATIENCE, loaded).await {
            Ok(Ok(state)) if *state == State::Ready => {}
            Ok(Ok(_)) => return Err(Error::LoadFailed),
            Ok(Err(_)) | Err(_) => return Err(Error::Loading),
        }
        self.entry(name)
            .ok_or_else(|| Error::UnknownCollection(name.to_string()))
    }
}

#[async_trait]
impl VectorStore for EmbeddedStore {
    async fn ensure(&self, name: &CollectionName, wanted: Definition) -> Result<Definition, Error> {
        wanted.validate()?;
        let name = name.clone();
        self.write(|inner| inner.ensure(name, wanted)).await
    }

    async fn definition(&self, name: &CollectionName) -> Result<Option<Definition>, Error> {
        Ok(self.inner.entry(name).map(|entry| entry.definition.clone()))
    }

    async fn definitions(&self) -> Result<Vec<(CollectionName, Definition)>, Error> {
        let entries = self.inner.entries();
        Ok(entries
            .iter()
            .map(|entry| (entry.name.clone(), entry.definition.clone()))
            .collect())
    }

    async fn remove(&self, name: &CollectionName) -> Result<bool, Error> {
        let name = name.clone();
        let removed = self.write(|inner| inner.remove(name)).await?;
        if removed && *self.inner.state.borrow() == State::Failed {
            // The damaged row may be gone now.
            self.begin_load();
        }
        Ok(removed)
    }

    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<usize, Error> {
        let entry = self.inner.target(scope.collection()).await?;
        let batch = self
            .inner
            .pool
            .run(move |_| Batch::prepare(&entry, points))
            .await??;
        let scope = scope.clone();
        self.write(|inner| inner.upsert(scope, batch)).await
    }

    async fn query(&self, scoped: &ScopedFilter, wanted: Search) -> Result<QueryResponse, Error> {
        let started = Instant::now();
        let (inner, tenant) = (&self.inner, scoped.scope().tenant());
        let entry = inner.target(scoped.scope().collection()).await?;
        let signals = signals(&entry.name, &entry.definition, wanted.queries)?;
        let snapshot = inner.index.get(entry.key, tenant);
        let plan = Plan {
            signals,
            limit: wanted.limit,
            filter: CompiledFilter::new(scoped.filter()),
            complete: wanted.complete_scores,
        };
        let small = snapshot.len() <= SEARCHED_AT_ONCE;
        let look = move |stop: &Stop| search(&snapshot, &plan, &|| stop.requested());
        let lists = if small {
            CpuPool::run_here(look)
        } else {
            inner.pool.run(look).await
        };
        let lists = lists?.ok_or(Error::Stopping)?;
        let mut payloads = BTreeMap::new();
        let mut gone = BTreeSet::new();
        if wanted.with_payload {
            let keys: BTreeMap<ChunkId, i64> = lists
                .iter()
                .flatten()
                .map(|hit| (hit.id, hit.key))
                .collect();
            gone = keys.keys().copied().collect();
            payloads = inner.payloads_of(entry.key, tenant, keys).await?;
            gone.retain(|id| !payloads.contains_key(id));
        }
        // What was deleted since the snapshot was taken is not shown any more.
        let scored = |hit: Hit| ScoredPoint {
            id: hit.id,
            score: hit.score,
        };
        let keep = |list: Vec<Hit>| {
            list.into_iter()
                .filter(|hit| !gone.contains(&hit.id))
                .map(scored)
                .collect()
        };
        let results = lists.into_iter().map(keep).collect();
        inner
            .metrics
            .query_seconds
            .observe(started.elapsed().as_secs_f64());
        Ok(QueryResponse { results, payloads })
    }

    async fn count(&self, scoped: &ScopedFilter) -> Result<u64, Error> {
        let entry = self.inner.target(scoped.scope().collection()).await?;
        let snapshot = self.inner.index.get(entry.key, scoped.scope().tenant());
        let filter = CompiledFilter::new(scoped.filter());
        if filter.is_open() {
            return Ok(snapshot.len() as u64);
        }
        self.inner
            .pool
            .run(move |_| snapshot.count(&filter) as u64)
            .await
    }

    async fn scroll(&self, scoped: &ScopedFilter, page: Page) -> Result<ScrollResponse, Error> {
        let (inner, tenant) = (&self.inner, scoped.scope().tenant());
        let entry = inner.target(scoped.scope().collection()).await?;
        let snapshot = inner.index.get(entry.key, tenant);
        let filter = CompiledFilter::new(scoped.filter());
        let list = move |_: &_| {
            let mut found = snapshot.page(&filter, page.after, page.limit + 1);
            let more = found.len() > page.limit;
            found.truncate(page.limit);
            let ids: Vec<ChunkId> = found
                .iter()
                .map(|location| snapshot.id(*location))
                .collect();
            let keys: Vec<i64> = found
                .iter()
                .map(|location| snapshot.key(*location))
                .collect();
            (ids, keys, more)
        };
        let (ids, keys, more) = inner.pool.run(list).await?;
        let mut payloads = inner.rows.payloads(entry.key, tenant, &keys).await?;
        let mut vectors = BTreeMap::new();
        if page.with_vectors {
            vectors = inner.rows.vectors(&entry, tenant, &keys).await?;
        }
        let mut point = |id: &ChunkId| -> Option<Point> {
            let payload: Payload = payloads.remove(id)?;
            let vectors = vectors.remove(id).unwrap_or_default();
            Some(Point {
                id: *id,
                payload,
                dense: vectors.dense,
                sparse: vectors.sparse,
            })
        };
        let next = ids.last().copied().filter(|_| more);
        Ok(ScrollResponse {
            points: ids.iter().filter_map(&mut point).collect(),
            next,
        })
    }

    async fn delete(&self, scoped: &ScopedFilter) -> Result<u64, Error> {
        self.inner.target(scoped.scope().collection()).await?;
        let scoped = scoped.clone();
        self.write(|inner| inner.delete(scoped)).await
    }
}
