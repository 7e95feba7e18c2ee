//! Points in Qdrant, over gRPC.
//!
//! [`requests`] is the only place that builds requests about points, and every one of them starts
//! from a [`Reach`](requests::Reach), which begins with the tenant.

mod collections;
mod connection;
mod filter;
mod payload;
mod reading;
mod requests;
mod trial;

pub use connection::{MINIMUM_VERSION, Options};
pub(crate) use connection::{Verdict, is_qdrant, verdict};
pub(crate) use trial::trial;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use async_trait::async_trait;
use touchstone_api::vector::{Point, QueryResponse, ScrollResponse};
use touchstone_lifecycle::Lifecycle;

use self::connection::Connection;
use self::requests::Reach;
use super::check::check_points;
use super::{Page, ScopedFilter, Search, VectorStore};
use crate::domain::{CollectionName, Definition, TenantScope};
use crate::error::Error;
use crate::metrics::Metrics;

/// Points in Qdrant.
///
/// A collection of ours is a collection of Qdrant with the configured prefix; tenants share it
/// and are parted by a payload index that Qdrant lays its segments out by. What a collection is
/// (model, names of the sparse vectors) stands in Qdrant's own metadata of it, so that nothing
/// but Qdrant has to be backed up.
#[derive(Clone, Debug)]
pub struct QdrantStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    options: Options,
    metrics: Metrics,
    /// What was seen of collections, so that a read does not ask for the definition first. It
    /// also tells a collection that was never made from one that was lost.
    seen: RwLock<BTreeMap<CollectionName, Definition>>,
}

impl QdrantStore {
    /// Prepares the connection to `uri`; nothing is sent yet. The gate `qdrant` of `life` opens
    /// when the server has answered and is new enough.
    ///
    /// # Errors
    /// [`Error::Uri`] when the URI does not parse.
    pub fn open(
        uri: &str,
        options: Options,
        life: &Lifecycle,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let connection = Connection::open(uri, &options)?;
        connection.watch(life);
        Ok(Self {
            inner: Arc::new(Inner {
                connection,
                options,
                metrics,
                seen: RwLock::default(),
            }),
        })
    }

    /// Whether the server answered the last time it was asked.
    pub fn is_ready(&self) -> bool {
        self.inner.connection.is_ready()
    }

    /// Whether the server answers now.
    pub async fn ping(&self) -> bool {
        self.inner.connection.version().await.is_ok()
    }

    /// Writes a snapshot of a collection on the server's own disk; gives its name.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`], or the server's.
    pub async fn snapshot(&self, name: &CollectionName) -> Result<String, Error> {
        self.known(name).await?;
        let taken = self
            .inner
            .connection
            .write(
                "snapshot",
                self.native(name),
                |client, request| async move { client.create_snapshot(request).await },
            )
            .await
            .map_err(|error| self.explain(name, error))?;
        let description = taken.snapshot_description.unwrap_or_default();
        Ok(description.name)
    }

    /// The name that Qdrant knows.
    fn native(&self, name: &CollectionName) -> String {
        format!("{}{name}", self.inner.options.prefix)
    }

    /// A collection's definition, from memory or from the server.
    async fn known(&self, name: &CollectionName) -> Result<Definition, Error> {
        if let Some(definition) = self.remembered(name) {
            return Ok(definition);
        }
        self.definition(name)
            .await?
            .ok_or_else(|| Error::UnknownCollection(name.to_string()))
    }

    fn remembered(&self, name: &CollectionName) -> Option<Definition> {
        let seen = self
            .inner
            .seen
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        seen.get(name).cloned()
    }

    fn remember(&self, name: &CollectionName, definition: &Definition) {
        let mut seen = self
            .inner
            .seen
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        seen.insert(name.clone(), definition.clone());
    }

    fn forget(&self, name: &CollectionName) {
        let mut seen = self
            .inner
            .seen
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        seen.remove(name);
    }

    /// Tells a collection that vanished from one that never was.
    fn explain(&self, name: &CollectionName, error: Error) -> Error {
        match error {
            Error::Qdrant { ref source, .. } if connection::is_not_found(source) => {
                if self.remembered(name).is_some() {
                    Error::CollectionLost(name.to_string())
                } else {
                    Error::UnknownCollection(name.to_string())
                }
            }
            other => other,
        }
    }

    /// What a scoped filter reaches; `None` when it can match nothing.
    fn reach(&self, scoped: &ScopedFilter) -> Option<Reach> {
        Reach::new(self.native(scoped.scope().collection()), scoped)
    }
}

#[async_trait]
impl VectorStore for QdrantStore {
    async fn ensure(&self, name: &CollectionName, wanted: Definition) -> Result<Definition, Error> {
        wanted.validate()?;
        let definition = Box::pin(self.make_or_confirm(name, wanted)).await?;
        self.remember(name, &definition);
        Ok(definition)
    }

    async fn definition(&self, name: &CollectionName) -> Result<Option<Definition>, Error> {
        match self.read_definition(name).await {
            Ok(Some(definition)) => {
                self.remember(name, &definition);
                Ok(Some(definition))
            }
            Ok(None) if self.remembered(name).is_some() => {
                Err(Error::CollectionLost(name.to_string()))
            }
            other => other,
        }
    }

    async fn definitions(&self) -> Result<Vec<(CollectionName, Definition)>, Error> {
        let mut definitions = Vec::new();
        for name in self.names().await? {
            // One that was removed in the meantime is left out.
            if let Some(definition) = self.read_definition(&name).await? {
                definitions.push((name, definition));
            }
        }
        Ok(definitions)
    }

    async fn remove(&self, name: &CollectionName) -> Result<bool, Error> {
        let there = self.drop_collection(name).await?;
        // A lost collection is gone on purpose from now on.
        self.forget(name);
        Ok(there)
    }

    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<usize, Error> {
        let started = Instant::now();
        let name = scope.collection();
        let definition = self.known(name).await?;
        check_points(name, &definition, &points)?;
        let count = points.len();
        let request = requests::upsert(self.native(name), scope, &definition, points);
        self.inner
            .connection
            .write("upsert", request, |client, request| async move {
                client.upsert_points(request).await
            })
            .await
            .map_err(|error| self.explain(name, error))?;
        self.inner.metrics.upserted.inc_by(count as u64);
        self.inner
            .metrics
            .write_seconds
            .observe(started.elapsed().as_secs_f64());
        Ok(count)
    }

    async fn query(&self, scoped: &ScopedFilter, wanted: Search) -> Result<QueryResponse, Error> {
        let started = Instant::now();
        let name = scoped.scope().collection();
        let definition = self.known(name).await?;
        let answer = self
            .search(scoped, &definition, wanted)
            .await
            .map_err(|error| self.explain(name, error))?;
        self.inner
            .metrics
            .query_seconds
            .observe(started.elapsed().as_secs_f64());
        Ok(answer)
    }

    async fn count(&self, scoped: &ScopedFilter) -> Result<u64, Error> {
        let name = scoped.scope().collection();
        self.known(name).await?;
        let Some(reach) = self.reach(scoped) else {
            return Ok(0);
        };
        self.count_reach(&reach)
            .await
            .map_err(|error| self.explain(name, error))
    }

    async fn scroll(&self, scoped: &ScopedFilter, page: Page) -> Result<ScrollResponse, Error> {
        let name = scoped.scope().collection();
        let definition = self.known(name).await?;
        self.page(scoped, &definition, page)
            .await
            .map_err(|error| self.explain(name, error))
    }

    async fn delete(&self, scoped: &ScopedFilter) -> Result<u64, Error> {
        let started = Instant::now();
        let name = scoped.scope().collection();
        self.known(name).await?;
        let Some(reach) = self.reach(scoped) else {
            return Ok(0);
        };
        let removed = async {
            let there = self.count_reach(&reach).await?;
            if there > 0 {
                self.inner
                    .connection
                    .write("delete", reach.delete(), |client, request| async move {
                        client.delete_points(request).await
                    })
                    .await?;
            }
            Ok(there)
        };
        let removed = removed.await.map_err(|error| self.explain(name, error))?;
        self.inner.metrics.deleted.inc_by(removed);
        self.inner
            .metrics
            .write_seconds
            .observe(started.elapsed().as_secs_f64());
        Ok(removed)
    }
}
