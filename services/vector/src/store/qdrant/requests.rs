//! Every request about points, each with the tenant's wall in it.
//!
//! Qdrant cannot part tenants for us: whoever has the key sees everything. So there is one door:
//! a [`Reach`] cannot be made without a scope, its filter begins with the tenant, and nothing
//! else in the service builds a request that touches points.

use qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use qdrant_client::qdrant::start_from::Value as StartValue;
use qdrant_client::qdrant::{
    Condition, CountPoints, DeletePoints, Filter, IdfParams, OrderBy, PointId, PointStruct,
    PointsSelector, Query, QueryBatchPoints, QueryPoints, ScrollPoints, SearchParams, StartFrom,
    UpsertPoints, VectorInput, WithPayloadSelector, WithVectorsSelector,
};
use touchstone_api::vector::Point;
use touchstone_types::{ChunkId, TenantId};

use super::filter::conditions;
use super::payload::{DENSE, encode, field, point_id};
use crate::domain::{Definition, TenantScope};
use crate::index::Signal;
use crate::store::ScopedFilter;

/// Points of one tenant in one collection, narrowed by a filter.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    collection: String,
    tenant: TenantId,
    filter: Filter,
}

impl Reach {
    /// `None` when the filter can match nothing.
    pub(super) fn new(collection: String, scoped: &ScopedFilter) -> Option<Self> {
        let tenant = scoped.scope().tenant();
        let mut must = vec![owned_by(tenant)];
        must.extend(conditions(scoped.filter())?);
        Some(Self {
            collection,
            tenant,
            filter: Filter::must(must),
        })
    }

    /// Only these of them.
    pub(super) fn only(&self, chunks: impl IntoIterator<Item = ChunkId>) -> Self {
        let ids = chunks
            .into_iter()
            .map(|chunk| native_id(self.tenant, chunk))
            .collect::<Vec<PointId>>();
        let mut narrowed = self.clone();
        narrowed.filter.must.push(Condition::has_id(ids));
        narrowed
    }

    pub(super) fn count(&self) -> CountPoints {
        CountPoints {
            collection_name: self.collection.clone(),
            filter: Some(self.filter.clone()),
            exact: Some(true),
            ..CountPoints::default()
        }
    }

    pub(super) fn delete(&self) -> DeletePoints {
        DeletePoints {
            collection_name: self.collection.clone(),
            wait: Some(true),
            points: Some(PointsSelector {
                points_selector_one_of: Some(PointsSelectorOneOf::Filter(self.filter.clone())),
            }),
            ..DeletePoints::default()
        }
    }

    /// The best `limit` points of each signal.
    pub(super) fn search(
        &self,
        definition: &Definition,
        signals: &[&Signal],
        limit: usize,
        exact: bool,
    ) -> QueryBatchPoints {
        let query = |signal: &&Signal| self.query(definition, signal, limit, exact);
        QueryBatchPoints {
            collection_name: self.collection.clone(),
            query_points: signals.iter().map(query).collect(),
            ..QueryBatchPoints::default()
        }
    }

    fn query(
        &self,
        definition: &Definition,
        signal: &Signal,
        limit: usize,
        exact: bool,
    ) -> QueryPoints {
        let (input, using, idf) = match signal {
            Signal::Dense(vector) => (VectorInput::new_dense(vector.clone()), DENSE, None),
            Signal::Sparse(number, vector) => {
                let (indices, values): (Vec<u32>, Vec<f32>) =
                    vector.iter().filter(|(_, weight)| *weight != 0.0).unzip();
                let input = VectorInput::new_sparse(indices, values);
                // Frequencies are those of the tenant, whatever narrows the query.
                let idf = IdfParams {
                    corpus: Some(Filter::must([owned_by(self.tenant)])),
                };
                (input, definition.sparse[*number].as_str(), Some(idf))
            }
        };
        QueryPoints {
            collection_name: self.collection.clone(),
            query: Some(Query::from(input)),
            using: Some(using.to_owned()),
            filter: Some(self.filter.clone()),
            params: Some(SearchParams {
                exact: Some(exact),
                idf,
                ..SearchParams::default()
            }),
            limit: Some(limit as u64),
            with_payload: Some(only_id()),
            ..QueryPoints::default()
        }
    }

    /// The first `limit` chunks in the order of their ranks.
    pub(super) fn chunks(&self, from_rank: Option<i64>, limit: usize) -> ScrollPoints {
        ScrollPoints {
            collection_name: self.collection.clone(),
            filter: Some(self.filter.clone()),
            limit: Some(whole(limit)),
            with_payload: Some(only_id()),
            order_by: Some(OrderBy {
                key: field::RANK.to_owned(),
                start_from: from_rank.map(|rank| StartFrom {
                    value: Some(StartValue::Integer(rank)),
                }),
                ..OrderBy::default()
            }),
            ..ScrollPoints::default()
        }
    }

    /// The points themselves, in no order.
    pub(super) fn points(&self, limit: usize, with_vectors: bool) -> ScrollPoints {
        ScrollPoints {
            collection_name: self.collection.clone(),
            filter: Some(self.filter.clone()),
            limit: Some(whole(limit)),
            with_payload: Some(WithPayloadSelector::from(true)),
            with_vectors: Some(WithVectorsSelector::from(with_vectors)),
            ..ScrollPoints::default()
        }
    }
}

/// Writes points that were checked into the scope's part of the collection. The answer comes when
/// they are applied: without waiting, the server says yes and may drop them.
pub(super) fn upsert(
    collection: String,
    scope: &TenantScope,
    definition: &Definition,
    points: Vec<Point>,
) -> UpsertPoints {
    let native = |point: Point| {
        let id = native_id(scope.tenant(), point.id);
        let (payload, vectors) = encode(scope.tenant(), definition, point);
        PointStruct::new(id, vectors, payload)
    };
    UpsertPoints {
        collection_name: collection,
        wait: Some(true),
        points: points.into_iter().map(native).collect(),
        ..UpsertPoints::default()
    }
}

/// The tenant's wall.
fn owned_by(tenant: TenantId) -> Condition {
    Condition::matches(field::TENANT, tenant.to_string())
}

fn native_id(tenant: TenantId, chunk: ChunkId) -> PointId {
    PointId::from(point_id(tenant, chunk).to_string())
}

fn only_id() -> WithPayloadSelector {
    WithPayloadSelector::from(vec![field::ID])
}

fn whole(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use qdrant_client::qdrant::condition::ConditionOneOf;
    use touchstone_api::vector::Filter as Wanted;
    use uuid::Uuid;

    use super::*;
    use crate::domain::CollectionName;

    fn tenant() -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(7))
    }

    fn reach(filter: Wanted) -> Option<Reach> {
        let scope = TenantScope::new(tenant(), CollectionName::parse("chunks").unwrap());
        Reach::new("chunks".to_owned(), &ScopedFilter::new(scope, filter))
    }

    /// Whether the first thing that a filter asks for is the tenant, and nothing weakens it.
    fn is_walled(filter: Option<&Filter>) -> bool {
        let filter = filter.unwrap();
        let wall = matches!(
            &filter.must[0].condition_one_of,
            Some(ConditionOneOf::Field(found)) if found.key == field::TENANT
        );
        wall && filter.must[0] == owned_by(tenant())
            && filter.should.is_empty()
            && filter.min_should.is_none()
    }

    #[test]
    fn every_request_about_points_begins_with_the_tenant() {
        let wide = Wanted {
            metadata: [(field::TENANT.to_owned(), "*".to_owned())].into(),
            version: Some(1),
            ..Wanted::default()
        };
        let definition = Definition {
            dense: None,
            sparse: vec!["bm25".to_owned()],
        };
        for filter in [Wanted::default(), wide] {
            let reach = reach(filter).unwrap();
            let only = reach.only([ChunkId::from_uuid(Uuid::from_u128(1))]);
            for reach in [reach, only] {
                assert!(is_walled(reach.count().filter.as_ref()));
                assert!(is_walled(reach.chunks(Some(1), 1).filter.as_ref()));
                assert!(is_walled(reach.points(1, true).filter.as_ref()));
                let selected = reach.delete().points.unwrap().points_selector_one_of;
                let Some(PointsSelectorOneOf::Filter(filter)) = selected else {
                    panic!("a deletion without a filter");
                };
                assert!(is_walled(Some(&filter)));
                let sparse = touchstone_types::SparseVector::from_pairs(vec![(1, 1.0)]);
                let signals = [Signal::Dense(vec![1.0]), Signal::Sparse(0, sparse)];
                let batch = reach.search(&definition, &signals.iter().collect::<Vec<_>>(), 1, true);
                for query in batch.query_points {
                    assert!(is_walled(query.filter.as_ref()));
                    if let Some(idf) = query.params.unwrap().idf {
                        assert!(is_walled(idf.corpus.as_ref()));
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_list_reaches_nothing() {
        let none = Wanted {
            document_ids: Some(Vec::new()),
            ..Wanted::default()
        };
        assert!(reach(none).is_none());
    }
}
