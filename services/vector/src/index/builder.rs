use touchstone_types::SparseVector;

use super::columns::{ColumnsBuilder, Facts};
use super::postings::{Entry, Postings};
use super::segment::{DenseBlock, Segment};
use crate::domain::normalised;

/// Collects points for a [`Segment`].
#[derive(Debug)]
pub struct SegmentBuilder {
    columns: ColumnsBuilder,
    sparse: Vec<Vec<Entry>>,
    dense: Option<DenseBlock>,
}

impl SegmentBuilder {
    /// A builder for `sparse` sparse vectors per point.
    pub fn new(sparse: usize) -> Self {
        Self {
            columns: ColumnsBuilder::new(),
            sparse: vec![Vec::new(); sparse],
            dense: None,
        }
    }

    /// Number of points so far.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a point. All dense vectors of a segment have the same length and are not zero.
    pub fn push<'a>(
        &mut self,
        facts: Facts,
        sparse: impl Iterator<Item = (usize, &'a SparseVector)>,
        dense: Option<&[f32]>,
    ) {
        let slot = self.columns.len() as u16;
        self.columns.push(facts);
        for (number, vector) in sparse {
            let weights = vector.iter().filter(|(_, weight)| *weight != 0.0);
            self.sparse[number].extend(weights.map(|(term, weight)| Entry { term, slot, weight }));
        }
        if let Some(vector) = dense {
            let block = self.dense.get_or_insert_with(|| DenseBlock {
                dimension: vector.len(),
                slots: Vec::new(),
                rows: Vec::new(),
            });
            block.slots.push(slot);
            block.rows.extend(normalised(vector));
        }
    }

    /// Makes the segment.
    pub fn build(self) -> Segment {
        let dense = self.dense.map(|mut block| {
            block.slots.shrink_to_fit();
            block.rows.shrink_to_fit();
            block
        });
        Segment {
            columns: self.columns.finish(),
            sparse: self
                .sparse
                .into_iter()
                .map(Postings::from_entries)
                .collect(),
            dense,
        }
    }
}
