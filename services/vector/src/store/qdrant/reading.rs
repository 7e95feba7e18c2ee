//! Queries, counts and lists.

use std::collections::{BTreeMap, BTreeSet};

use qdrant_client::qdrant::{BatchResult, QueryBatchPoints};
use touchstone_api::vector::{Payload, Point, QueryResponse, ScoredPoint, ScrollResponse};
use touchstone_types::ChunkId;

use super::QdrantStore;
use super::payload::{chunk, decode, rank};
use super::requests::Reach;
use crate::domain::{Definition, best_first};
use crate::error::Error;
use crate::index::Signal;
use crate::store::check::signals;
use crate::store::{Page, ScopedFilter, Search};

/// Hits that are fetched beyond the limit at first, to see whether a tie goes on behind it.
const TIE_MARGIN: usize = 8;
/// How many times more are fetched when it does.
const TIE_GROWTH: usize = 4;
/// Most hits that are fetched to follow a tie; past them it is broken by Qdrant's own order.
const MAX_TIES: usize = 65_536;

impl QdrantStore {
    pub(super) async fn search(
        &self,
        scoped: &ScopedFilter,
        definition: &Definition,
        wanted: Search,
    ) -> Result<QueryResponse, Error> {
        let name = scoped.scope().collection();
        let signals = signals(name, definition, wanted.queries)?;
        let Some(reach) = self.reach(scoped) else {
            return Ok(QueryResponse {
                results: vec![Vec::new(); signals.len()],
                payloads: BTreeMap::new(),
            });
        };
        let mut results = self
            .best(&reach, definition, &signals, wanted.limit)
            .await?;
        let found: BTreeSet<ChunkId> = results.iter().flatten().map(|hit| hit.id).collect();
        let complete = async {
            if wanted.complete_scores {
                self.complete(&reach, definition, &signals, &found, &mut results)
                    .await?;
            }
            Ok::<_, Error>(())
        };
        let payloads = async {
            if wanted.with_payload {
                self.payloads(&reach, definition, &found).await
            } else {
                Ok(BTreeMap::new())
            }
        };
        let ((), payloads) = tokio::try_join!(complete, payloads)?;
        if wanted.with_payload {
            // What was deleted since it was found is not shown any more.
            for list in &mut results {
                list.retain(|hit| payloads.contains_key(&hit.id));
            }
        }
        Ok(QueryResponse { results, payloads })
    }

    /// The best points of each signal, in order, ties followed to their end.
    async fn best(
        &self,
        reach: &Reach,
        definition: &Definition,
        signals: &[Signal],
        limit: usize,
    ) -> Result<Vec<Vec<ScoredPoint>>, Error> {
        let mut results = vec![Vec::new(); signals.len()];
        let mut open: Vec<usize> = (0..signals.len())
            .filter(|number| !is_blank(&signals[*number]))
            .collect();
        let mut ask = limit + TIE_MARGIN;
        while !open.is_empty() {
            let asked: Vec<&Signal> = open.iter().map(|number| &signals[*number]).collect();
            let request = reach.search(definition, &asked, ask, self.inner.options.exact);
            let lists = self.batch(request).await?;
            let mut still = Vec::new();
            for (number, list) in open.into_iter().zip(lists) {
                let whole = list.result.len() < ask;
                let mut hits = scored(list)?;
                if matches!(signals[number], Signal::Sparse(..)) {
                    hits.retain(|hit| hit.score > 0.0);
                }
                let tied = hits.len() >= ask && hits[limit - 1].score <= hits[ask - 1].score;
                if tied && !whole && ask < MAX_TIES {
                    still.push(number);
                    continue;
                }
                hits.truncate(limit);
                results[number] = hits;
            }
            open = still;
            ask = (ask * TIE_GROWTH).min(MAX_TIES);
        }
        Ok(results)
    }

    /// Appends to each list, scored and in order, the points that only other lists hold.
    async fn complete(
        &self,
        reach: &Reach,
        definition: &Definition,
        signals: &[Signal],
        found: &BTreeSet<ChunkId>,
        results: &mut [Vec<ScoredPoint>],
    ) -> Result<(), Error> {
        let missing: Vec<BTreeSet<ChunkId>> = results
            .iter()
            .map(|list| {
                let known: BTreeSet<ChunkId> = list.iter().map(|hit| hit.id).collect();
                found.difference(&known).copied().collect()
            })
            .collect();
        let score = async |number: usize| {
            let rest = &missing[number];
            let mut scores: BTreeMap<ChunkId, f32> = rest.iter().map(|id| (*id, 0.0)).collect();
            if !rest.is_empty() && !is_blank(&signals[number]) {
                let only = reach.only(rest.iter().copied());
                let request = only.search(definition, &[&signals[number]], rest.len(), true);
                for list in self.batch(request).await? {
                    scores.extend(scored(list)?.into_iter().map(|hit| (hit.id, hit.score)));
                }
            }
            let mut hits: Vec<ScoredPoint> = scores
                .into_iter()
                .map(|(id, score)| ScoredPoint { id, score })
                .collect();
            hits.sort_by(|a, b| best_first((a.score, a.id), (b.score, b.id)));
            Ok::<_, Error>(hits)
        };
        let rests = futures_util::future::try_join_all((0..signals.len()).map(score)).await?;
        for (list, rest) in results.iter_mut().zip(rests) {
            list.extend(rest);
        }
        Ok(())
    }

    async fn payloads(
        &self,
        reach: &Reach,
        definition: &Definition,
        chunks: &BTreeSet<ChunkId>,
    ) -> Result<BTreeMap<ChunkId, Payload>, Error> {
        let points = self.fetch(reach, definition, chunks, false).await?;
        Ok(points
            .into_values()
            .map(|point| (point.id, point.payload))
            .collect())
    }

    /// Points by id; those that are gone are missing.
    async fn fetch(
        &self,
        reach: &Reach,
        definition: &Definition,
        chunks: &BTreeSet<ChunkId>,
        with_vectors: bool,
    ) -> Result<BTreeMap<ChunkId, Point>, Error> {
        if chunks.is_empty() {
            return Ok(BTreeMap::new());
        }
        let request = reach
            .only(chunks.iter().copied())
            .points(chunks.len(), with_vectors);
        let answer = self
            .inner
            .connection
            .read("read points", request, |client, request| async move {
                client.scroll(request).await
            })
            .await?;
        answer
            .result
            .into_iter()
            .map(|point| {
                let point = decode(definition, point, with_vectors)?;
                Ok((point.id, point))
            })
            .collect()
    }

    pub(super) async fn count_reach(&self, reach: &Reach) -> Result<u64, Error> {
        let answer = self
            .inner
            .connection
            .read("count", reach.count(), |client, request| async move {
                client.count(request).await
            })
            .await?;
        Ok(answer.result.unwrap_or_default().count)
    }

    /// A page of points, ascending by id.
    pub(super) async fn page(
        &self,
        scoped: &ScopedFilter,
        definition: &Definition,
        page: Page,
    ) -> Result<ScrollResponse, Error> {
        let Some(reach) = self.reach(scoped) else {
            return Ok(ScrollResponse {
                points: Vec::new(),
                next: None,
            });
        };
        let mut chunks = self.chunks_after(&reach, page).await?;
        let more = chunks.len() > page.limit;
        chunks.truncate(page.limit);
        let next = chunks.last().copied().filter(|_| more);
        let wanted: BTreeSet<ChunkId> = chunks.into_iter().collect();
        let points = self
            .fetch(&reach, definition, &wanted, page.with_vectors)
            .await?;
        Ok(ScrollResponse {
            points: points.into_values().collect(),
            next,
        })
    }

    /// The chunks of a page and one more, if there is one.
    ///
    /// Qdrant sorts by rank, and only roughly: ids that begin alike share a rank. So the last rank
    /// of an answer that was cut is left out, and more is fetched until enough is left.
    async fn chunks_after(&self, reach: &Reach, page: Page) -> Result<Vec<ChunkId>, Error> {
        let want = page.limit + 1;
        let mut ask = want + TIE_MARGIN;
        loop {
            let request = reach.chunks(page.after.map(rank), ask);
            let answer = self
                .inner
                .connection
                .read("list", request, |client, request| async move {
                    client.scroll(request).await
                })
                .await?;
            let whole = answer.result.len() < ask;
            let mut chunks = answer
                .result
                .iter()
                .map(|point| chunk(&point.payload))
                .collect::<Result<Vec<_>, _>>()?;
            chunks.sort_unstable();
            if let Some(last) = chunks.last().map(|last| rank(*last)).filter(|_| !whole) {
                chunks.retain(|chunk| rank(*chunk) < last);
            }
            if let Some(after) = page.after {
                chunks.retain(|chunk| *chunk > after);
            }
            if whole || chunks.len() >= want {
                chunks.truncate(want);
                return Ok(chunks);
            }
            ask *= TIE_GROWTH;
        }
    }

    async fn batch(&self, request: QueryBatchPoints) -> Result<Vec<BatchResult>, Error> {
        let answer = self
            .inner
            .connection
            .read("query", request, |client, request| async move {
                client.query_batch(request).await
            })
            .await?;
        Ok(answer.result)
    }
}

/// A sparse query without a weight finds nothing; Qdrant would refuse it.
fn is_blank(signal: &Signal) -> bool {
    match signal {
        Signal::Sparse(_, vector) => vector.values.iter().all(|weight| *weight == 0.0),
        Signal::Dense(_) => false,
    }
}

/// Hits in our order.
fn scored(list: BatchResult) -> Result<Vec<ScoredPoint>, Error> {
    let mut hits = list
        .result
        .iter()
        .map(|hit| {
            Ok(ScoredPoint {
                id: chunk(&hit.payload)?,
                score: settled(hit.score),
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    hits.sort_by(|a, b| best_first((a.score, a.id), (b.score, b.id)));
    Ok(hits)
}

/// Rounds the last four bits away (a share of 10⁻⁶): Qdrant adds a point's terms up in an order
/// that depends on its segments, so that equal points differ in these bits and would not tie.
fn settled(score: f32) -> f32 {
    const NOISE: u32 = 0xF;
    let rounded = f32::from_bits((score.to_bits().saturating_add(NOISE / 2 + 1)) & !NOISE);
    // Adding zero turns a negative zero into the plain one.
    if rounded.is_finite() {
        rounded + 0.0
    } else {
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settling_makes_ties_of_noise_and_moves_a_score_by_less_than_the_contract_allows() {
        let score = 7.123_456_f32;
        let noisy = f32::from_bits(score.to_bits() ^ 1);
        assert_eq!(settled(score).to_bits(), settled(noisy).to_bits());
        for score in [1e-30_f32, 0.1, 1.0, 3.3, 1e6, -2.7, -1e-20] {
            let moved = (settled(score) - score).abs();
            assert!(moved <= score.abs() * 1e-6, "{score}");
            assert_eq!(settled(score).to_bits(), settled(settled(score)).to_bits());
        }
        assert_eq!(settled(1.0).to_bits(), 1.0_f32.to_bits());
        assert_eq!(settled(-0.0).to_bits(), 0.0_f32.to_bits());
    }
}
