use std::collections::BTreeSet;

use rayon::prelude::*;
use touchstone_types::{ChunkId, SparseVector};

use super::bits::Bits;
use super::filter::CompiledFilter;
use super::segment::{DenseBlock, Segment};
use super::snapshot::{Location, Part, Snapshot};
use super::top::{Candidate, Top};
use crate::domain::idf;

/// Marks a slot without a dense vector among scores.
const ABSENT: f32 = f32::NEG_INFINITY;

/// One signal of a search.
#[derive(Clone, Debug)]
pub enum Signal {
    /// Cosine; the vector has length one.
    Dense(Vec<f32>),
    /// Dot product with IDF against the sparse vectors of this number.
    Sparse(usize, SparseVector),
}

/// A search.
#[derive(Debug)]
pub struct Plan {
    /// What to score.
    pub signals: Vec<Signal>,
    /// Best points per signal.
    pub limit: usize,
    /// Which points.
    pub filter: CompiledFilter,
    /// Score what any signal found on every signal.
    pub complete: bool,
}

/// A point and its score on one signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Point.
    pub id: ChunkId,
    /// Key of its row.
    pub key: i64,
    /// Its score.
    pub score: f32,
}

/// A sparse query with the IDF of this snapshot in its weights.
type Weighted = Vec<(u32, f32)>;

/// Answers a search exactly: per signal the best points, score descending, then id ascending.
///
/// Sparse signals return points with a score above zero only; a point without a dense vector
/// scores zero on a dense signal and is never found by it.
///
/// # Cancellation
/// Asks `stopped` before each segment and gives `None` once it says yes.
pub fn search(
    snapshot: &Snapshot,
    plan: &Plan,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Option<Vec<Vec<Hit>>> {
    let weights: Vec<Weighted> = plan
        .signals
        .iter()
        .map(|signal| weighted(snapshot, signal))
        .collect();
    let scans: Vec<Scan> = snapshot
        .parts
        .par_iter()
        .enumerate()
        .map(|(number, part)| (!stopped()).then(|| scan(number as u32, part, plan, &weights)))
        .collect::<Option<_>>()?;

    let mut scores = Vec::with_capacity(scans.len());
    let mut tops: Vec<Top> = plan.signals.iter().map(|_| Top::new(plan.limit)).collect();
    for scan in scans {
        for (top, found) in tops.iter_mut().zip(scan.tops) {
            top.absorb(found);
        }
        scores.push(scan.scores);
    }
    let mut results: Vec<Vec<Candidate>> = tops.into_iter().map(Top::into_sorted).collect();
    if plan.complete {
        complete(snapshot, &scores, &mut results);
    }
    let hit = |candidate: Candidate| Hit {
        id: candidate.id,
        key: snapshot.key(candidate.location),
        score: candidate.score,
    };
    Some(
        results
            .into_iter()
            .map(|list| list.into_iter().map(hit).collect())
            .collect(),
    )
}

/// Multiplies the query's weights by the IDF among the tenant's own living points.
fn weighted(snapshot: &Snapshot, signal: &Signal) -> Weighted {
    let Signal::Sparse(number, vector) = signal else {
        return Weighted::new();
    };
    let points = snapshot.len();
    let weigh = |(term, weight): (u32, f32)| {
        let with_term: usize = snapshot
            .parts
            .iter()
            .filter_map(|part| {
                let list = part.segment.sparse[*number].list(term)?;
                Some(list.slots.len() - part.graves.in_list(*number, term))
            })
            .sum();
        (with_term > 0).then(|| (term, weight * idf(points, with_term)))
    };
    vector.iter().filter_map(weigh).collect()
}

/// What one segment has to say.
struct Scan {
    /// Per signal, per slot; dead and filtered slots included.
    scores: Vec<Vec<f32>>,
    tops: Vec<Top>,
}

fn scan(number: u32, part: &Part, plan: &Plan, weights: &[Weighted]) -> Scan {
    let allowed = plan.filter.slots(&part.segment, &part.graves);
    let mut scan = Scan {
        scores: Vec::new(),
        tops: Vec::new(),
    };
    if allowed.as_ref().is_some_and(|slots| slots.count() == 0) {
        scan.scores = vec![Vec::new(); plan.signals.len()];
        return scan;
    }
    for (signal, weights) in plan.signals.iter().zip(weights) {
        let (scores, above) = match signal {
            Signal::Sparse(name, _) => (sparse_scores(&part.segment, *name, weights), 0.0),
            Signal::Dense(query) => (dense_scores(&part.segment, query), ABSENT),
        };
        scan.tops.push(best(
            number,
            part,
            &scores,
            above,
            plan.limit,
            allowed.as_ref(),
        ));
        scan.scores.push(scores);
    }
    scan
}

/// Adds up term by term, ascending: the sum of a point is the same in every segmentation.
fn sparse_scores(segment: &Segment, number: usize, weights: &[(u32, f32)]) -> Vec<f32> {
    let mut scores = vec![0.0_f32; segment.len()];
    for (term, query) in weights {
        let Some(list) = segment.sparse[number].list(*term) else {
            continue;
        };
        for (slot, weight) in list.slots.iter().zip(list.weights) {
            scores[usize::from(*slot)] += query * weight;
        }
    }
    scores
}

fn dense_scores(segment: &Segment, query: &[f32]) -> Vec<f32> {
    let mut scores = vec![ABSENT; segment.len()];
    for (slot, row) in segment.dense.iter().flat_map(DenseBlock::iter) {
        // Adding zero turns a negative zero into the plain one, which orders as it prints.
        scores[slot] = dot(query, row) + 0.0;
    }
    scores
}

/// Dot product with sixteen running sums, which the compiler keeps in vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a_blocks, b_blocks) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_blocks
        .remainder()
        .iter()
        .zip(b_blocks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_blocks.zip(b_blocks) {
        for lane in 0..16 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn best(
    number: u32,
    part: &Part,
    scores: &[f32],
    above: f32,
    limit: usize,
    allowed: Option<&Bits>,
) -> Top {
    let ids = &part.segment.columns.ids;
    let mut top = Top::new(limit);
    let mut floor = top.floor();
    for (slot, score) in scores.iter().enumerate() {
        if *score > above && *score >= floor && allowed.is_none_or(|slots| slots.has(slot)) {
            let location = Location {
                part: number,
                slot: slot as u16,
            };
            top.offer(Candidate {
                score: *score,
                id: ids[slot],
                location,
            });
            floor = top.floor();
        }
    }
    top
}

/// Appends to each list, scored and in order, the points that only other lists hold.
fn complete(snapshot: &Snapshot, scores: &[Vec<Vec<f32>>], results: &mut [Vec<Candidate>]) {
    let all: BTreeSet<Location> = results
        .iter()
        .flatten()
        .map(|candidate| candidate.location)
        .collect();
    for (signal, list) in results.iter_mut().enumerate() {
        let known: BTreeSet<Location> = list.iter().map(|candidate| candidate.location).collect();
        let mut rest: Vec<Candidate> = all
            .difference(&known)
            .map(|location| {
                let score = scores[location.part as usize][signal][usize::from(location.slot)];
                let score = if score == ABSENT { 0.0 } else { score };
                Candidate {
                    score,
                    id: snapshot.id(*location),
                    location: *location,
                }
            })
            .collect();
        rest.sort_unstable();
        list.extend(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_product_takes_every_length() {
        for length in [0, 1, 15, 16, 17, 384] {
            let a: Vec<f32> = (0..length).map(|i| i as f32).collect();
            let plain: f32 = a.iter().map(|x| x * 2.0).sum();
            assert!((dot(&a, &vec![2.0; length]) - plain).abs() <= plain * 1e-6);
        }
    }
}
