use std::sync::Arc;

use touchstone_api::vector::{
    Collection, CollectionList, CreateCollectionRequest, DenseConfig, Filter, Point, QueryRequest,
    QueryResponse, ScrollRequest, ScrollResponse,
};
use touchstone_identity::Caller;
use touchstone_types::Role;

use crate::domain::{CollectionName, Definition, Dense, TenantScope};
use crate::error::Error;
use crate::store::{Page, ScopedFilter, Search, VectorStore};

/// Most points of a write.
const MAX_POINTS: usize = 1000;
/// Most signals of a query.
const MAX_QUERIES: usize = 8;
/// Most points of a list.
const MAX_LIMIT: usize = 1000;
/// Points of a page unless asked otherwise.
const DEFAULT_PAGE: usize = 100;
/// Most documents that a filter names.
const MAX_DOCUMENTS: usize = 1000;
/// Most values of the other lists of a filter.
const MAX_VALUES: usize = 100;

/// The service: requests become calls on the caller's own part of a collection.
#[derive(Clone, Debug)]
pub struct Vector {
    store: Arc<dyn VectorStore>,
}

impl Vector {
    /// A service on a store.
    pub fn new(store: Arc<dyn VectorStore>) -> Self {
        Self { store }
    }

    /// Creates a collection or confirms that it is as described.
    pub async fn create(
        &self,
        caller: &Caller,
        name: &str,
        request: CreateCollectionRequest,
    ) -> Result<Collection, Error> {
        if caller.role != Role::Admin {
            return Err(Error::Forbidden(
                "collections are made by administrators and services",
            ));
        }
        let name = CollectionName::parse(name)?;
        let wanted = Definition {
            dense: request.dense.map(|dense| Dense {
                model: dense.model,
                dimension: dense.dimension,
            }),
            sparse: request.sparse,
        };
        let definition = self.store.ensure(&name, wanted).await?;
        self.seen_by(caller, name, definition).await
    }

    /// Removes a collection with the points of all tenants: for background work of services only.
    pub async fn remove(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        // A service that acts for a user carries the user's id, its own work carries none.
        if !caller.is_service() || !caller.user.as_uuid().is_nil() {
            return Err(Error::Forbidden(
                "a collection is shared by all tenants; only a service may remove it",
            ));
        }
        let name = known(name)?;
        if self.store.remove(&name).await? {
            Ok(())
        } else {
            Err(unknown(&name))
        }
    }

    /// A collection as the caller sees it.
    pub async fn get(&self, caller: &Caller, name: &str) -> Result<Collection, Error> {
        let name = known(name)?;
        let definition = self
            .store
            .definition(&name)
            .await?
            .ok_or_else(|| unknown(&name))?;
        self.seen_by(caller, name, definition).await
    }

    /// All collections as the caller sees them.
    pub async fn list(&self, caller: &Caller) -> Result<CollectionList, Error> {
        let mut items = Vec::new();
        for (name, definition) in self.store.definitions().await? {
            match self.seen_by(caller, name, definition).await {
                // Removed in the meantime.
                Err(Error::UnknownCollection(_)) => {}
                seen => items.push(seen?),
            }
        }
        Ok(CollectionList { items })
    }

    /// Writes points.
    pub async fn upsert(
        &self,
        caller: &Caller,
        name: &str,
        points: Vec<Point>,
    ) -> Result<usize, Error> {
        in_range("points", points.len(), MAX_POINTS)?;
        self.store.upsert(&scope(caller, name)?, points).await
    }

    /// Finds the best points of each signal.
    pub async fn query(
        &self,
        caller: &Caller,
        name: &str,
        request: QueryRequest,
    ) -> Result<QueryResponse, Error> {
        in_range("queries", request.queries.len(), MAX_QUERIES)?;
        in_range("limit", request.limit, MAX_LIMIT)?;
        let search = Search {
            queries: request.queries,
            limit: request.limit,
            complete_scores: request.complete_scores,
            with_payload: request.with_payload,
        };
        self.store
            .query(&narrow(caller, name, request.filter)?, search)
            .await
    }

    /// Counts points.
    pub async fn count(&self, caller: &Caller, name: &str, filter: Filter) -> Result<u64, Error> {
        self.store.count(&narrow(caller, name, filter)?).await
    }

    /// Lists points, ascending by id.
    pub async fn scroll(
        &self,
        caller: &Caller,
        name: &str,
        request: ScrollRequest,
    ) -> Result<ScrollResponse, Error> {
        let limit = request.limit.unwrap_or(DEFAULT_PAGE);
        in_range("limit", limit, MAX_LIMIT)?;
        let page = Page {
            after: request.after,
            limit,
            with_vectors: request.with_vectors,
        };
        self.store
            .scroll(&narrow(caller, name, request.filter)?, page)
            .await
    }

    /// Removes the points of documents.
    pub async fn delete(&self, caller: &Caller, name: &str, filter: Filter) -> Result<u64, Error> {
        if filter.document_ids.as_ref().is_none_or(Vec::is_empty) {
            return Err(Error::UnboundedDeletion);
        }
        self.store.delete(&narrow(caller, name, filter)?).await
    }

    async fn seen_by(
        &self,
        caller: &Caller,
        name: CollectionName,
        definition: Definition,
    ) -> Result<Collection, Error> {
        let scope = TenantScope::new(caller.tenant, name);
        let points = self
            .store
            .count(&ScopedFilter::new(scope.clone(), Filter::default()))
            .await?;
        Ok(Collection {
            name: scope.collection().to_string(),
            dense: definition.dense.map(|dense| DenseConfig {
                model: dense.model,
                dimension: dense.dimension,
            }),
            sparse: definition.sparse,
            points,
        })
    }
}

/// The caller's part of a collection: the one place where a request gets its tenant.
fn scope(caller: &Caller, name: &str) -> Result<TenantScope, Error> {
    Ok(TenantScope::new(caller.tenant, known(name)?))
}

fn narrow(caller: &Caller, name: &str, filter: Filter) -> Result<ScopedFilter, Error> {
    let at_most = |field, length: usize, most: usize| {
        let reason = || format!("must have at most {most} values");
        if length > most {
            Err(Error::invalid(field, reason()))
        } else {
            Ok(())
        }
    };
    let length = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
    at_most(
        "filter.document_ids",
        filter.document_ids.as_ref().map_or(0, Vec::len),
        MAX_DOCUMENTS,
    )?;
    at_most("filter.languages", length(&filter.languages), MAX_VALUES)?;
    at_most(
        "filter.sources",
        filter.sources.as_ref().map_or(0, Vec::len),
        MAX_VALUES,
    )?;
    at_most("filter.metadata", filter.metadata.len(), MAX_VALUES)?;
    Ok(ScopedFilter::new(scope(caller, name)?, filter))
}

/// A name that cannot exist is an unknown one.
fn known(name: &str) -> Result<CollectionName, Error> {
    let shown = || name.chars().take(64).collect();
    CollectionName::parse(name).map_err(|_| Error::UnknownCollection(shown()))
}

fn unknown(name: &CollectionName) -> Error {
    Error::UnknownCollection(name.to_string())
}

fn in_range(field: &'static str, value: usize, most: usize) -> Result<(), Error> {
    if (1..=most).contains(&value) {
        Ok(())
    } else if field == "limit" {
        Err(Error::invalid(field, format!("must be 1 to {most}")))
    } else {
        Err(Error::invalid(
            field,
            format!("must have 1 to {most} items"),
        ))
    }
}
