//! The same semantics, written as plainly as possible.

use std::collections::{BTreeMap, BTreeSet};

use touchstone_api::vector::{Filter, Point, QueryVector, ScoredPoint};
use touchstone_types::{ChunkId, SparseVector, TenantId};

/// Every point by tenant and id.
#[derive(Clone, Debug, Default)]
pub struct Oracle(pub BTreeMap<(TenantId, ChunkId), Point>);

impl Oracle {
    pub fn upsert(&mut self, tenant: TenantId, points: &[Point]) {
        for point in points {
            self.0.insert((tenant, point.id), point.clone());
        }
    }

    pub fn delete(&mut self, tenant: TenantId, filter: &Filter) -> u64 {
        let before = self.0.len();
        self.0
            .retain(|(owner, _), point| *owner != tenant || !passes(point, filter));
        (before - self.0.len()) as u64
    }

    /// A tenant's points, ascending by id.
    pub fn points(&self, tenant: TenantId, filter: &Filter) -> Vec<Point> {
        let own = self.0.iter().filter(|((owner, _), _)| *owner == tenant);
        own.map(|(_, point)| point)
            .filter(|point| passes(point, filter))
            .cloned()
            .collect()
    }

    pub fn query(
        &self,
        tenant: TenantId,
        queries: &[QueryVector],
        limit: usize,
        filter: &Filter,
        complete: bool,
    ) -> Vec<Vec<ScoredPoint>> {
        let everything = self.points(tenant, &Filter::default());
        let candidates = self.points(tenant, filter);
        let scored: Vec<Vec<(ScoredPoint, bool)>> = queries
            .iter()
            .map(|query| scores(query, &everything, &candidates))
            .collect();
        let mut lists: Vec<Vec<ScoredPoint>> = scored
            .iter()
            .map(|list| {
                let hits = list.iter().filter(|(_, found)| *found).map(|(hit, _)| *hit);
                let mut hits: Vec<ScoredPoint> = hits.collect();
                sort(&mut hits);
                hits.truncate(limit);
                hits
            })
            .collect();
        if complete {
            let union: BTreeSet<ChunkId> = lists.iter().flatten().map(|hit| hit.id).collect();
            for (list, scored) in lists.iter_mut().zip(&scored) {
                let known: BTreeSet<ChunkId> = list.iter().map(|hit| hit.id).collect();
                let rest = scored.iter().map(|(hit, _)| *hit);
                let mut rest: Vec<ScoredPoint> = rest
                    .filter(|hit| union.contains(&hit.id) && !known.contains(&hit.id))
                    .collect();
                sort(&mut rest);
                list.extend(rest);
            }
        }
        lists
    }
}

fn sort(hits: &mut [ScoredPoint]) {
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
}

/// Score of every candidate, and whether the signal finds it.
fn scores(
    query: &QueryVector,
    everything: &[Point],
    candidates: &[Point],
) -> Vec<(ScoredPoint, bool)> {
    let score = |point: &Point| match query {
        QueryVector::Sparse(query) => {
            let weight = |point: &Point, term: u32| {
                let vector: Option<&SparseVector> = point.sparse.get(&query.name);
                vector
                    .and_then(|vector| vector.iter().find(|(index, _)| *index == term))
                    .map_or(0.0, |(_, weight)| weight)
            };
            let mut sum = 0.0_f32;
            for (term, q) in query.vector.iter() {
                let n = everything
                    .iter()
                    .filter(|point| weight(point, term) != 0.0)
                    .count() as f64;
                let all = everything.len() as f64;
                let idf = (((all - n + 0.5) / (n + 0.5)).ln_1p()) as f32;
                sum += (q * idf) * weight(point, term);
            }
            (sum, sum > 0.0)
        }
        QueryVector::Dense(query) => point.dense.as_ref().map_or((0.0, false), |vector| {
            let (query, vector) = (unit(query), unit(vector));
            let cosine: f32 = query.iter().zip(&vector).map(|(x, y)| x * y).sum();
            (cosine + 0.0, true)
        }),
    };
    let scored = |point: &Point| {
        let (score, found) = score(point);
        (
            ScoredPoint {
                id: point.id,
                score,
            },
            found,
        )
    };
    candidates.iter().map(scored).collect()
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let norm = vector
        .iter()
        .map(|x| f64::from(*x) * f64::from(*x))
        .sum::<f64>()
        .sqrt();
    vector
        .iter()
        .map(|x| (f64::from(*x) / norm) as f32)
        .collect()
}

fn passes(point: &Point, filter: &Filter) -> bool {
    let payload = &point.payload;
    filter
        .document_ids
        .as_ref()
        .is_none_or(|ids| ids.contains(&payload.document_id))
        && filter
            .version
            .is_none_or(|version| payload.version == version)
        && filter
            .version_below
            .is_none_or(|version| payload.version < version)
        && filter
            .languages
            .as_ref()
            .is_none_or(|codes| codes.contains(&payload.language))
        && filter
            .sources
            .as_ref()
            .is_none_or(|sources| sources.contains(&payload.source))
        && filter
            .created_after
            .is_none_or(|time| payload.created_at >= time)
        && filter
            .created_before
            .is_none_or(|time| payload.created_at < time)
        && filter
            .metadata
            .iter()
            .all(|(name, value)| payload.metadata.get(name) == Some(value))
}
