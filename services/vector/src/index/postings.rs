/// A weight of a term in a point, on its way into [`Postings`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) term: u32,
    pub(super) slot: u16,
    pub(super) weight: f32,
}

/// Inverted lists of one sparse vector: for each term the slots and weights of its points.
///
/// # Shapes
/// `terms` ascends; the list of `terms[i]` is `ends[i - 1]..ends[i]` of `slots` (ascending) and
/// `weights`. Six bytes per posting.
#[derive(Debug, Default)]
pub(super) struct Postings {
    terms: Vec<u32>,
    ends: Vec<u32>,
    slots: Vec<u16>,
    weights: Vec<f32>,
}

/// The points of one term.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a> {
    pub(super) slots: &'a [u16],
    pub(super) weights: &'a [f32],
}

impl Postings {
    /// Inverts entries that come in ascending order of their slots.
    pub(super) fn from_entries(mut entries: Vec<Entry>) -> Self {
        // Stable, so that the slots of a term stay ascending.
        entries.sort_by_key(|entry| entry.term);
        let mut postings = Self {
            slots: entries.iter().map(|entry| entry.slot).collect(),
            weights: entries.iter().map(|entry| entry.weight).collect(),
            ..Self::default()
        };
        for run in entries.chunk_by(|a, b| a.term == b.term) {
            postings.terms.push(run[0].term);
            postings
                .ends
                .push(postings.ends.last().copied().unwrap_or(0) + run.len() as u32);
        }
        postings.shrink();
        postings
    }

    /// Room for `postings` of about `terms`.
    pub(super) fn with_capacity(terms: usize, postings: usize) -> Self {
        Self {
            terms: Vec::with_capacity(terms),
            ends: Vec::with_capacity(terms),
            slots: Vec::with_capacity(postings),
            weights: Vec::with_capacity(postings),
        }
    }

    /// Appends to the list of `term`, which must be the last term or a later one.
    pub(super) fn append(&mut self, term: u32, list: impl Iterator<Item = (u16, f32)>) {
        let before = self.slots.len();
        for (slot, weight) in list {
            self.slots.push(slot);
            self.weights.push(weight);
        }
        if self.slots.len() == before {
            return;
        }
        let end = self.slots.len() as u32;
        match (self.terms.last(), self.ends.last_mut()) {
            (Some(last), Some(last_end)) if *last == term => *last_end = end,
            _ => {
                self.terms.push(term);
                self.ends.push(end);
            }
        }
    }

    pub(super) fn shrink(&mut self) {
        self.terms.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.slots.shrink_to_fit();
        self.weights.shrink_to_fit();
    }

    pub(super) fn terms(&self) -> &[u32] {
        &self.terms
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The list of a term.
    pub(super) fn list(&self, term: u32) -> Option<List<'_>> {
        self.terms
            .binary_search(&term)
            .ok()
            .map(|index| self.list_at(index))
    }

    /// The list of the `index`th term.
    pub(super) fn list_at(&self, index: usize) -> List<'_> {
        let start = if index == 0 {
            0
        } else {
            self.ends[index - 1] as usize
        };
        let range = start..self.ends[index] as usize;
        List {
            slots: &self.slots[range.clone()],
            weights: &self.weights[range],
        }
    }

    pub(super) fn bytes(&self) -> usize {
        (self.terms.capacity() + self.ends.capacity() + self.weights.capacity()) * 4
            + self.slots.capacity() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverts_and_keeps_slots_ascending() {
        let entry = |term, slot, weight| Entry { term, slot, weight };
        let postings = Postings::from_entries(vec![
            entry(9, 0, 1.0),
            entry(2, 0, 2.0),
            entry(9, 1, 3.0),
            entry(u32::MAX, 2, 4.0),
        ]);
        assert_eq!(postings.terms(), [2, 9, u32::MAX]);
        let list = postings.list(9).unwrap();
        assert_eq!((list.slots, list.weights), (&[0, 1][..], &[1.0, 3.0][..]));
        assert!(postings.list(3).is_none());
        assert_eq!(postings.list(u32::MAX).unwrap().slots, [2]);
    }
}
