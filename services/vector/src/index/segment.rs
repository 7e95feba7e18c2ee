use std::collections::HashMap;

use super::bits::Bits;
use super::columns::Columns;
use super::postings::Postings;

/// Points that were indexed together; never changed, only replaced.
#[derive(Debug)]
pub struct Segment {
    pub(super) columns: Columns,
    /// By the number of the sparse vector.
    pub(super) sparse: Vec<Postings>,
    pub(super) dense: Option<DenseBlock>,
}

/// Dense vectors at length one, for the slots that have any.
///
/// # Shapes
/// `rows`: `[slots.len(), dimension]` row-major; `slots` ascends.
#[derive(Debug)]
pub(super) struct DenseBlock {
    pub(super) dimension: usize,
    pub(super) slots: Vec<u16>,
    pub(super) rows: Vec<f32>,
}

impl DenseBlock {
    /// Slots with their vectors.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.slots
            .iter()
            .map(|slot| usize::from(*slot))
            .zip(self.rows.chunks_exact(self.dimension))
    }
}

impl Segment {
    /// Number of points, dead ones included.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells each point the key of its row, in the order of the points.
    ///
    /// # Panics
    /// Debug builds check that there is a key for every point.
    pub fn set_keys(&mut self, keys: Vec<i64>) {
        debug_assert_eq!(keys.len(), self.len());
        self.columns.keys = keys;
    }

    /// The points' ids, by slot.
    pub fn ids(&self) -> &[touchstone_types::ChunkId] {
        &self.columns.ids
    }

    pub(super) fn bytes(&self) -> usize {
        let dense = self
            .dense
            .as_ref()
            .map_or(0, |d| d.rows.capacity() * 4 + d.slots.capacity() * 2);
        self.columns.bytes() + dense + self.sparse.iter().map(Postings::bytes).sum::<usize>()
    }
}

/// Which points of a segment are dead, and what they took with them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tombstones {
    dead: Bits,
    count: usize,
    /// By sparse vector: how many dead points stand in the list of a term.
    terms: Vec<HashMap<u32, u32>>,
}

impl Tombstones {
    pub(super) fn none(segment: &Segment) -> Self {
        Self {
            dead: Bits::none(segment.len()),
            count: 0,
            terms: vec![HashMap::new(); segment.sparse.len()],
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn is_dead(&self, slot: usize) -> bool {
        self.count > 0 && self.dead.has(slot)
    }

    /// Dead points in the list of a term.
    pub(super) fn in_list(&self, sparse: usize, term: u32) -> usize {
        if self.count == 0 {
            return 0;
        }
        self.terms[sparse]
            .get(&term)
            .map_or(0, |count| *count as usize)
    }

    /// Marks `slots` (ascending, alive so far) as dead and counts their terms.
    pub(super) fn bury(&mut self, segment: &Segment, slots: &[u16]) {
        let (Some(first), Some(last)) = (slots.first(), slots.last()) else {
            return;
        };
        let mut fresh = Bits::none(segment.len());
        for slot in slots {
            self.dead.set(usize::from(*slot));
            fresh.set(usize::from(*slot));
        }
        self.count += slots.len();
        for (postings, counts) in segment.sparse.iter().zip(&mut self.terms) {
            for (index, term) in postings.terms().iter().enumerate() {
                let list = postings.list_at(index).slots;
                let from = list.partition_point(|slot| slot < first);
                let gone = list[from..]
                    .iter()
                    .take_while(|slot| *slot <= last)
                    .filter(|slot| fresh.has(usize::from(**slot)))
                    .count();
                if gone > 0 {
                    *counts.entry(*term).or_default() += gone as u32;
                }
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.dead.bytes()
            + self
                .terms
                .iter()
                .map(|map| map.capacity() * 9)
                .sum::<usize>()
    }
}
