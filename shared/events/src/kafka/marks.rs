//! The partitions that a member of a group holds, and how far it is in each.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::watermark::Watermark;
use crate::queue::Ticket;

/// Partitions of one topic that are ours now.
#[derive(Debug, Default)]
pub struct Marks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    partitions: HashMap<i32, Held>,
    /// Grows with every assignment, so that work of an earlier one is known.
    generation: u64,
    /// Partitions whose log is shorter than it was: the cluster lost it.
    lost: BTreeSet<i32>,
}

#[derive(Debug)]
struct Held {
    generation: u64,
    offsets: Watermark,
    committed: Option<i64>,
}

impl Held {
    fn new(generation: u64) -> Self {
        Self {
            generation,
            offsets: Watermark::default(),
            committed: None,
        }
    }
}

/// The place of an event in its partition.
#[derive(Debug)]
pub struct Slot {
    marks: Arc<Marks>,
    partition: i32,
    generation: u64,
    offset: i64,
}

impl Ticket for Slot {
    fn done(self) {
        self.marks.finish(&self);
    }

    fn is_stale(&self) -> bool {
        let state = self.marks.state();
        let held = state.partitions.get(&self.partition);
        held.is_none_or(|held| held.generation != self.generation)
    }
}

impl Marks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Partitions became ours.
    pub fn assign(&self, partitions: impl IntoIterator<Item = i32>) {
        let mut state = self.state();
        state.generation += 1;
        let generation = state.generation;
        for partition in partitions {
            state.partitions.insert(partition, Held::new(generation));
        }
    }

    /// Partitions are no longer ours: what is in work for them counts no more.
    pub fn revoke(&self, partitions: impl IntoIterator<Item = i32>) {
        let mut state = self.state();
        for partition in partitions {
            state.partitions.remove(&partition);
        }
    }

    /// An event was read from a partition of ours. None when the partition has to be read from
    /// its beginning instead.
    pub fn take(self: &Arc<Self>, partition: i32, offset: i64) -> Option<Slot> {
        let mut state = self.state();
        let held = state.partitions.get_mut(&partition)?;
        if held.offsets.has_passed(offset) {
            state.lost.insert(partition);
            return None;
        }
        let generation = held.generation;
        held.offsets.take(offset);
        Some(Slot {
            marks: Arc::clone(self),
            partition,
            generation,
            offset,
        })
    }

    /// The log of a partition of ours ends here.
    pub fn compare(&self, partition: i32, end: i64) {
        let mut state = self.state();
        let held = state.partitions.get(&partition);
        if held.and_then(|held| held.offsets.mark()) > Some(end) {
            state.lost.insert(partition);
        }
    }

    /// Partitions that have to be read from their beginning; they count as assigned anew.
    pub fn lost(&self) -> Vec<i32> {
        let lost = std::mem::take(&mut self.state().lost);
        let mut ours = self.partitions();
        ours.retain(|partition| lost.contains(partition));
        if !ours.is_empty() {
            self.assign(ours.iter().copied());
        }
        ours
    }

    fn finish(&self, slot: &Slot) {
        let mut state = self.state();
        if let Some(held) = state.partitions.get_mut(&slot.partition)
            && held.generation == slot.generation
        {
            held.offsets.finish(slot.offset);
        }
    }

    /// Partitions whose mark moved since it was committed, with their marks.
    pub fn uncommitted(&self) -> Vec<(i32, i64)> {
        let state = self.state();
        let moved = |(&partition, held): (&i32, &Held)| {
            let mark = held.offsets.mark()?;
            (held.committed != Some(mark)).then_some((partition, mark))
        };
        state.partitions.iter().filter_map(moved).collect()
    }

    /// The group knows this mark.
    pub fn committed(&self, partition: i32, mark: i64) {
        if let Some(held) = self.state().partitions.get_mut(&partition) {
            held.committed = Some(mark);
        }
    }

    /// The mark of a partition of ours.
    pub fn mark(&self, partition: i32) -> Option<i64> {
        self.state().partitions.get(&partition)?.offsets.mark()
    }

    /// Counts assignments.
    pub fn generation(&self) -> u64 {
        self.state().generation
    }

    /// The partitions that are ours.
    pub fn partitions(&self) -> Vec<i32> {
        self.state().partitions.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_an_earlier_assignment_moves_no_mark() {
        let marks = Arc::new(Marks::default());
        marks.assign([0, 1]);
        let (early, other) = (marks.take(0, 5).unwrap(), marks.take(1, 8).unwrap());
        marks.revoke([0]);
        assert!(early.is_stale() && !other.is_stale());
        marks.assign([0]);
        let again = marks.take(0, 5).unwrap();
        assert!(
            early.is_stale(),
            "the partition came back, the work did not"
        );
        early.done();
        assert_eq!(marks.uncommitted(), []);
        again.done();
        other.done();
        let mut moved = marks.uncommitted();
        moved.sort_unstable();
        assert_eq!(moved, [(0, 6), (1, 9)]);
        marks.committed(0, 6);
        assert_eq!(marks.uncommitted(), [(1, 9)]);
        assert_eq!(marks.take(7, 1).map(|slot| slot.offset), None);
    }

    #[test]
    fn a_log_that_lost_its_end_is_read_from_its_beginning() {
        let marks = Arc::new(Marks::default());
        marks.assign([0, 1, 2]);
        let old = marks.take(0, 50).unwrap();
        marks.take(1, 7).unwrap().done();
        marks.take(2, 7).unwrap().done();
        assert!(marks.take(0, 3).is_none());
        marks.compare(1, 5);
        marks.compare(2, 8);
        let mut lost = marks.lost();
        lost.sort_unstable();
        assert_eq!((lost, marks.lost()), (vec![0, 1], Vec::new()));
        assert!(old.is_stale());
        old.done();
        assert_eq!(marks.mark(0), None);
        marks.take(0, 0).unwrap().done();
        assert_eq!((marks.mark(0), marks.mark(2)), (Some(1), Some(8)));
    }
}
