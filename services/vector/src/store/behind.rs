use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use touchstone_api::vector::{Point, QueryResponse, ScrollResponse};
use touchstone_types::ChunkId;

use super::{Page, ScopedFilter, Search, VectorStore};
use crate::domain::{CollectionName, Definition, TenantScope};
use crate::error::Error;

/// Points that are remembered; the oldest are found in spite of the fault beyond that.
const REMEMBERED: usize = 100_000;

/// A store whose queries do not find yet what was written lately, when that was asked for
/// (`stale_vectors`).
///
/// Only queries fall behind: counts and lists, by which writers see that they are done, do not.
#[derive(Debug)]
pub struct BehindStore {
    store: Arc<dyn VectorStore>,
    written: Mutex<VecDeque<Written>>,
}

/// Points of one write.
#[derive(Debug)]
struct Written {
    at: Instant,
    scope: TenantScope,
    points: Vec<ChunkId>,
}

impl BehindStore {
    /// `store`, which may fall behind.
    pub fn new(store: Arc<dyn VectorStore>) -> Self {
        Self {
            store,
            written: Mutex::default(),
        }
    }

    fn note(&self, scope: &TenantScope, points: Vec<ChunkId>) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.push_back(Written {
            at: Instant::now(),
            scope: scope.clone(),
            points,
        });
        let mut all: usize = written.iter().map(|own| own.points.len()).sum();
        while all > REMEMBERED {
            all -= written.pop_front().map_or(all, |own| own.points.len());
        }
    }

    /// What was written in the last `behind`.
    fn hidden(&self, scope: &TenantScope, behind: Duration) -> HashSet<ChunkId> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = written
            .iter()
            .rev()
            .take_while(|own| own.at.elapsed() < behind);
        lately
            .filter(|own| own.scope == *scope)
            .flat_map(|own| own.points.iter().copied())
            .collect()
    }
}

/// Takes what is hidden out of an answer to a query for that many more points than `limit`.
fn without(mut found: QueryResponse, hidden: &HashSet<ChunkId>, limit: usize) -> QueryResponse {
    for list in &mut found.results {
        list.retain(|point| !hidden.contains(&point.id));
    }
    // Points that a signal has only because another one found them stay if that one still does.
    let firsts = found
        .results
        .iter()
        .flat_map(|list| list.iter().take(limit));
    let kept: HashSet<ChunkId> = firsts.map(|point| point.id).collect();
    for list in &mut found.results {
        list.retain(|point| kept.contains(&point.id));
    }
    found.payloads.retain(|id, _| kept.contains(id));
    found
}

#[async_trait]
impl VectorStore for BehindStore {
    async fn ensure(&self, name: &CollectionName, wanted: Definition) -> Result<Definition, Error> {
        self.store.ensure(name, wanted).await
    }

    async fn definition(&self, name: &CollectionName) -> Result<Option<Definition>, Error> {
        self.store.definition(name).await
    }

    async fn definitions(&self) -> Result<Vec<(CollectionName, Definition)>, Error> {
        self.store.definitions().await
    }

    async fn remove(&self, name: &CollectionName) -> Result<bool, Error> {
        self.store.remove(name).await
    }

    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<usize, Error> {
        let ids = points.iter().map(|point| point.id).collect();
        let count = self.store.upsert(scope, points).await?;
        self.note(scope, ids);
        Ok(count)
    }

    async fn query(&self, scoped: &ScopedFilter, search: Search) -> Result<QueryResponse, Error> {
        let behind = touchstone_faults::vectors_are_behind();
        let hidden = behind.map(|behind| self.hidden(scoped.scope(), behind));
        let Some(hidden) = hidden.filter(|hidden| !hidden.is_empty()) else {
            return self.store.query(scoped, search).await;
        };
        let limit = search.limit;
        let wider = Search {
            limit: limit + hidden.len(),
            ..search
        };
        let found = self.store.query(scoped, wider).await?;
        Ok(without(found, &hidden, limit))
    }

    async fn count(&self, scoped: &ScopedFilter) -> Result<u64, Error> {
        self.store.count(scoped).await
    }

    async fn scroll(&self, scoped: &ScopedFilter, page: Page) -> Result<ScrollResponse, Error> {
        self.store.scroll(scoped, page).await
    }

    async fn delete(&self, scoped: &ScopedFilter) -> Result<u64, Error> {
        self.store.delete(scoped).await
    }
}

#[cfg(test)]
mod tests {
    use touchstone_api::vector::ScoredPoint;
    use touchstone_types::TenantId;
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> ChunkId {
        ChunkId::from_uuid(Uuid::from_u128(number))
    }

    fn list(numbers: &[u128]) -> Vec<ScoredPoint> {
        let scored = |number: &u128| ScoredPoint {
            id: id(*number),
            score: 1.0,
        };
        numbers.iter().map(scored).collect()
    }

    #[test]
    fn what_is_hidden_makes_room_for_what_comes_after_it() {
        let found = QueryResponse {
            results: vec![list(&[1, 2, 3, 4]), list(&[4, 5, 2, 1])],
            ..QueryResponse::default()
        };
        let left = without(found.clone(), &HashSet::from([id(1), id(4)]), 2);
        // 2 and 3 are the best two of the first signal, 5 and 2 those of the second.
        assert_eq!(left.results, [list(&[2, 3]), list(&[5, 2])]);
        let left = without(found, &HashSet::from([id(3)]), 1);
        assert_eq!(left.results, [list(&[1, 4]), list(&[4, 1])]);
    }

    #[tokio::test]
    async fn only_the_latest_points_of_a_scope_are_hidden_and_not_without_bound() {
        let name = || CollectionName::parse("chunks").unwrap();
        let of =
            |tenant: u128| TenantScope::new(TenantId::from_uuid(Uuid::from_u128(tenant)), name());
        let life = touchstone_lifecycle::Lifecycle::new();
        let store = crate::store::tests::open("sqlite::memory:", &life).await;
        let store = BehindStore::new(Arc::new(store));
        store.note(&of(1), vec![id(1), id(2)]);
        store.note(&of(2), vec![id(3)]);
        let long = Duration::from_hours(1);
        assert_eq!(store.hidden(&of(1), long), HashSet::from([id(1), id(2)]));
        assert_eq!(store.hidden(&of(2), long), HashSet::from([id(3)]));
        assert!(store.hidden(&of(1), Duration::ZERO).is_empty());
        store.note(&of(2), (0..REMEMBERED as u128).map(id).collect());
        assert!(store.hidden(&of(1), long).is_empty());
    }
}
