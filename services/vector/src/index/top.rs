use std::cmp::Ordering;
use std::collections::BinaryHeap;

use touchstone_types::ChunkId;

use super::snapshot::Location;
use crate::domain::best_first;

/// A point with its score.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) score: f32,
    pub(super) id: ChunkId,
    pub(super) location: Location,
}

impl Ord for Candidate {
    /// Better candidates are smaller.
    fn cmp(&self, other: &Self) -> Ordering {
        best_first((self.score, self.id), (other.score, other.id))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// The best candidates seen so far.
#[derive(Debug)]
pub(super) struct Top {
    limit: usize,
    /// The worst of them is on top.
    heap: BinaryHeap<Candidate>,
}

impl Top {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            heap: BinaryHeap::with_capacity(limit.min(1024) + 1),
        }
    }

    /// Scores below this one need not be offered.
    pub(super) fn floor(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() == self.limit => worst.score,
            _ => f32::NEG_INFINITY,
        }
    }

    pub(super) fn offer(&mut self, candidate: Candidate) {
        if self.heap.len() < self.limit {
            self.heap.push(candidate);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && candidate < *worst
        {
            *worst = candidate;
        }
    }

    pub(super) fn absorb(&mut self, other: Self) {
        for candidate in other.heap {
            self.offer(candidate);
        }
    }

    /// Best first.
    pub(super) fn into_sorted(self) -> Vec<Candidate> {
        self.heap.into_sorted_vec()
    }
}
