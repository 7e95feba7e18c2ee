use std::collections::BTreeMap;
use std::time::Instant;

use touchstone_api::retrieval::{Dropped, Explain, Stage, StageCandidate};
use touchstone_types::ChunkId;

use crate::metrics::{Metrics, StageLabels};

/// Keeps the time of every stage, and its candidates when they are to be explained.
#[derive(Debug)]
pub(super) struct Trace {
    metrics: Metrics,
    stages: Option<Vec<Stage>>,
}

impl Trace {
    pub(super) fn new(metrics: Metrics, explain: bool) -> Self {
        Self {
            metrics,
            stages: explain.then(Vec::new),
        }
    }

    /// Ends a stage that began at `since`; `candidates` and `dropped` are asked only when needed.
    pub(super) fn stage(
        &mut self,
        name: &'static str,
        since: Instant,
        note: Option<String>,
        candidates: impl FnOnce() -> Vec<StageCandidate>,
        dropped: impl FnOnce() -> Vec<Dropped>,
    ) {
        let spent = since.elapsed();
        let seconds = spent.as_secs_f64();
        self.metrics
            .stage_seconds
            .get_or_create(&StageLabels { stage: name })
            .observe(seconds);
        if let Some(stages) = &mut self.stages {
            stages.push(Stage {
                name: name.to_owned(),
                duration_ms: seconds * 1e3,
                candidates: candidates(),
                dropped: dropped(),
                note,
            });
        }
    }

    pub(super) fn explain(self, weights: BTreeMap<String, f32>) -> Option<Explain> {
        self.stages.map(|stages| Explain { stages, weights })
    }
}

/// Candidates with their scores, best first, ties by id.
pub(super) fn ordered(scored: impl Iterator<Item = (ChunkId, f32)>) -> Vec<StageCandidate> {
    let mut list: Vec<StageCandidate> = scored
        .map(|(chunk_id, score)| StageCandidate { chunk_id, score })
        .collect();
    list.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then(a.chunk_id.cmp(&b.chunk_id))
    });
    list
}
