//! Where points live: the seam between the service and its backends.

mod backend;
mod behind;
mod check;
mod codec;
mod embedded;
mod index_map;
mod loader;
mod payloads;
mod qdrant;
mod row;
mod sqlite;
#[cfg(test)]
mod tests;
mod writes;

pub use backend::Backend;
pub use behind::BehindStore;
pub use embedded::EmbeddedStore;
pub use qdrant::{MINIMUM_VERSION, Options as QdrantOptions, QdrantStore};

pub(crate) use qdrant::{Verdict, is_qdrant, trial, verdict};

use std::fmt;

use async_trait::async_trait;
use touchstone_api::vector::{Filter, Point, QueryResponse, QueryVector, ScrollResponse};
use touchstone_types::ChunkId;

use crate::domain::{CollectionName, Definition, TenantScope};
use crate::error::Error;

/// A filter inside one tenant's part of a collection; made by [`ScopedFilter::new`] only.
#[derive(Clone, Debug)]
pub struct ScopedFilter {
    scope: TenantScope,
    filter: Filter,
}

impl ScopedFilter {
    /// Narrows a scope.
    pub const fn new(scope: TenantScope, filter: Filter) -> Self {
        Self { scope, filter }
    }

    /// Whose points, in which collection.
    pub const fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// Which of them.
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The signals.
    pub queries: Vec<QueryVector>,
    /// Best points per signal.
    pub limit: usize,
    /// Score every returned point on every signal.
    pub complete_scores: bool,
    /// Return payloads.
    pub with_payload: bool,
}

/// A page of points.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Continue after this point.
    pub after: Option<ChunkId>,
    /// Most points.
    pub limit: usize,
    /// Return vectors too.
    pub with_vectors: bool,
}

/// A store of points with an exact order of hits.
///
/// Every backend passes the same contract suite (`tests/it/contract.rs`): the same scores to 1e-5
/// (of the score, or absolute below 1), the same filters, the same order with ties broken by id; document frequencies are those of the
/// scope's tenant. Writes are durable and visible to every later call when they return, all or
/// nothing. Vectors are checked against the collection's definition by the store.
#[async_trait]
pub trait VectorStore: Send + Sync + fmt::Debug + 'static {
    /// Creates a collection or confirms that it is as wanted; gives what it is then.
    async fn ensure(&self, name: &CollectionName, wanted: Definition) -> Result<Definition, Error>;

    /// What a collection is.
    async fn definition(&self, name: &CollectionName) -> Result<Option<Definition>, Error>;

    /// All collections by name.
    async fn definitions(&self) -> Result<Vec<(CollectionName, Definition)>, Error>;

    /// Removes a collection with the points of all tenants; tells whether it was there.
    async fn remove(&self, name: &CollectionName) -> Result<bool, Error>;

    /// Writes points; those with a known id are overwritten.
    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<usize, Error>;

    /// Finds the best points of each signal.
    async fn query(&self, scoped: &ScopedFilter, search: Search) -> Result<QueryResponse, Error>;

    /// Counts points.
    async fn count(&self, scoped: &ScopedFilter) -> Result<u64, Error>;

    /// Lists points, ascending by id.
    async fn scroll(&self, scoped: &ScopedFilter, page: Page) -> Result<ScrollResponse, Error>;

    /// Removes points; tells how many.
    async fn delete(&self, scoped: &ScopedFilter) -> Result<u64, Error>;
}
