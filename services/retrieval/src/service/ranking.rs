//! The stages that need no other service: from candidates to ranked hits.

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, Utc};
use touchstone_api::embedding::{BM25, CHARS, DENSE};
use touchstone_api::retrieval::{Dropped, StageCandidate};
use touchstone_text::Language;
use touchstone_text::grams::GramQuery;
use touchstone_text::relevance::Question;
use touchstone_types::ChunkId;

use super::gather::Candidate;
use super::trace::{Trace, ordered};
use crate::domain::confidence::{Evidence, confidence};
use crate::domain::diversity::{Sketch, mmr, near_duplicates};
use crate::domain::fusion::{Fusion, Signal, fuse};
use crate::domain::rerank::{FeatureWeights, Features, Passage, measure, score};

const SECONDS_PER_DAY: f32 = 86_400.0;

/// What the ranking is told to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) text: String,
    pub(super) language: Language,
    pub(super) fusion: Fusion,
    /// Weights of the signals in force.
    pub(super) weights: BTreeMap<&'static str, f32>,
    /// Weights of the features; absent: no rerank.
    pub(super) features: Option<FeatureWeights>,
    pub(super) rerank_depth: usize,
    pub(super) lambda: f32,
    pub(super) near_duplicate: f32,
    pub(super) now: DateTime<Utc>,
}

/// A ranked candidate.
#[derive(Clone, Debug)]
pub(super) struct Ranked {
    pub(super) candidate: Candidate,
    pub(super) score: f32,
    pub(super) scores: BTreeMap<String, f32>,
}

/// Every candidate that was kept, best first, and how sure the first one is.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    pub(super) hits: Vec<Ranked>,
    pub(super) confidence: f32,
}

/// Ranks candidates. Depends on the candidates and the plan alone, never on how many are asked for.
pub(super) fn rank(plan: &Plan, candidates: Vec<Candidate>, trace: &mut Trace) -> Ranking {
    if candidates.is_empty() {
        return Ranking::default();
    }
    let signals = score_signals(plan, &candidates, trace);
    let fused = fuse_signals(plan, &candidates, &signals, trace);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let by = |scores: &[f32], a: usize, b: usize| {
        scores[b]
            .total_cmp(&scores[a])
            .then(candidates[a].id.cmp(&candidates[b].id))
    };
    order.sort_by(|a, b| by(&fused, *a, *b));
    let (last, features) = rerank(plan, &candidates, &fused, &order, trace);
    order.sort_by(|a, b| by(&last, *a, *b));
    let confidence = estimate(plan, &candidates, &last, &order, features);
    let order = diversify(plan, &candidates, &last, order, trace);
    let mut slots: Vec<Option<Candidate>> = candidates.into_iter().map(Some).collect();
    let hits = order
        .into_iter()
        .filter_map(|(at, score)| {
            let mut scores: BTreeMap<String, f32> = signals
                .iter()
                .map(|(name, values)| ((*name).to_owned(), values[at]))
                .collect();
            scores.insert("fused".to_owned(), fused[at]);
            if plan.features.is_some() {
                scores.insert("reranked".to_owned(), last[at]);
            }
            Some(Ranked {
                candidate: slots[at].take()?,
                score,
                scores,
            })
        })
        .collect();
    Ranking { hits, confidence }
}

type Signals = Vec<(&'static str, Vec<f32>)>;

fn score_signals(plan: &Plan, candidates: &[Candidate], trace: &mut Trace) -> Signals {
    let mut signals = Vec::new();
    let wanted = |name: &str| plan.weights.contains_key(name);
    if wanted(BM25) {
        signals.push((
            BM25,
            candidates.iter().map(|candidate| candidate.bm25).collect(),
        ));
    }
    if wanted(CHARS) {
        let since = Instant::now();
        let query = GramQuery::new(&plan.text, plan.language);
        let scores = query.score(
            candidates
                .iter()
                .map(|candidate| candidate.payload.text.as_str()),
        );
        trace.stage(CHARS, since, None, || list(candidates, &scores), Vec::new);
        signals.push((CHARS, scores));
    }
    if wanted(DENSE) {
        signals.push((
            DENSE,
            candidates.iter().map(|candidate| candidate.dense).collect(),
        ));
    }
    signals
}

fn fuse_signals(
    plan: &Plan,
    candidates: &[Candidate],
    signals: &Signals,
    trace: &mut Trace,
) -> Vec<f32> {
    let since = Instant::now();
    let weighed: Vec<Signal<'_>> = signals
        .iter()
        .map(|(name, scores)| Signal {
            weight: plan.weights.get(name).copied().unwrap_or(0.0),
            scores,
        })
        .collect();
    let fused = fuse(plan.fusion, &weighed, candidates.len());
    trace.stage("fuse", since, None, || list(candidates, &fused), Vec::new);
    fused
}

/// Scores after rerank for all, features for the reranked ones. Candidates beyond the depth keep
/// their places: without features their scores stay below those of the others.
fn rerank(
    plan: &Plan,
    candidates: &[Candidate],
    fused: &[f32],
    order: &[usize],
    trace: &mut Trace,
) -> (Vec<f32>, Vec<(usize, Features)>) {
    let Some(weights) = &plan.features else {
        return (fused.to_vec(), Vec::new());
    };
    let since = Instant::now();
    let top = &order[..order.len().min(plan.rerank_depth)];
    let features: Vec<(usize, Features)> = top
        .iter()
        .copied()
        .zip(measure_candidates(plan, candidates, top))
        .collect();
    let bare = Features::default();
    let mut scores: Vec<f32> = fused
        .iter()
        .map(|fused| score(*fused, &bare, weights))
        .collect();
    for (at, features) in &features {
        scores[*at] = score(fused[*at], features, weights);
    }
    trace.stage(
        "rerank",
        since,
        None,
        || list(candidates, &scores),
        Vec::new,
    );
    (scores, features)
}

fn measure_candidates(plan: &Plan, candidates: &[Candidate], which: &[usize]) -> Vec<Features> {
    let passages: Vec<Passage<'_>> = which
        .iter()
        .map(|at| {
            let payload = &candidates[*at].payload;
            let age = plan
                .now
                .signed_duration_since(payload.created_at)
                .num_seconds();
            Passage {
                text: &payload.text,
                title: &payload.title,
                heading: payload.heading.as_deref().unwrap_or_default(),
                language: Language::from_code(&payload.language),
                age_days: age as f32 / SECONDS_PER_DAY,
            }
        })
        .collect();
    measure(&mut Question::new(&plan.text), &passages)
}

fn estimate(
    plan: &Plan,
    candidates: &[Candidate],
    scores: &[f32],
    order: &[usize],
    features: Vec<(usize, Features)>,
) -> f32 {
    let first = order[0];
    let features = if features.is_empty() {
        let top = &order[..order.len().min(plan.rerank_depth)];
        top.iter()
            .copied()
            .zip(measure_candidates(plan, candidates, top))
            .collect()
    } else {
        features
    };
    let found = features
        .iter()
        .find(|(at, _)| *at == first)
        .map(|(_, features)| *features);
    let document = |at: usize| candidates[at].payload.document_id;
    let second = order.iter().find(|at| document(**at) != document(first));
    let second = second.map_or(0.0, |at| scores[*at]);
    let lead = if scores[first] > 0.0 {
        (scores[first] - second) / scores[first]
    } else {
        0.0
    };
    confidence(&Evidence {
        first: found.unwrap_or_default(),
        lead,
    })
}

fn diversify(
    plan: &Plan,
    candidates: &[Candidate],
    scores: &[f32],
    order: Vec<usize>,
    trace: &mut Trace,
) -> Vec<(usize, f32)> {
    let since = Instant::now();
    let sketches: Vec<Sketch> = order
        .iter()
        .map(|at| Sketch::of(&candidates[*at].payload.text))
        .collect();
    let copies = near_duplicates(&sketches, plan.near_duplicate);
    let mut dropped = Vec::new();
    let (mut kept, mut kept_sketches) = (Vec::new(), Vec::new());
    for ((at, sketch), copy) in order.iter().zip(sketches).zip(&copies) {
        if let Some(original) = copy {
            let original = candidates[order[*original]].id;
            let reason = format!("near-duplicate of `{original}`");
            dropped.push(Dropped {
                chunk_id: candidates[*at].id,
                reason,
            });
        } else {
            kept.push(*at);
            kept_sketches.push(sketch);
        }
    }
    let result: Vec<(usize, f32)> = if plan.lambda < 1.0 {
        let relevance: Vec<f32> = kept.iter().map(|at| scores[*at]).collect();
        mmr(&relevance, &kept_sketches, plan.lambda)
            .into_iter()
            .map(|(place, score)| (kept[place], score))
            .collect()
    } else {
        kept.into_iter().map(|at| (at, scores[at])).collect()
    };
    let note = if plan.lambda < 1.0 {
        format!("MMR, lambda {}", plan.lambda)
    } else {
        "near-duplicates only".to_owned()
    };
    let left = || {
        let entry = |(at, score): &(usize, f32)| StageCandidate {
            chunk_id: candidates[*at].id,
            score: *score,
        };
        result.iter().map(entry).collect()
    };
    trace.stage("diversify", since, Some(note), left, || dropped);
    result
}

fn list(candidates: &[Candidate], scores: &[f32]) -> Vec<StageCandidate> {
    ordered(ids(candidates).zip(scores.iter().copied()))
}

fn ids(candidates: &[Candidate]) -> impl Iterator<Item = ChunkId> + '_ {
    candidates.iter().map(|candidate| candidate.id)
}
