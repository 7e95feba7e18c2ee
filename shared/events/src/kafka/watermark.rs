//! Which offsets of a partition may be committed: everything below the first unfinished one.

use std::collections::VecDeque;

/// Offsets of one partition, taken in order and finished in any.
#[derive(Debug, Default)]
pub struct Watermark {
    /// Taken offsets from the first unfinished one on, and whether each is finished.
    taken: VecDeque<(i64, bool)>,
    /// The offset after the last one of which everything before is finished.
    mark: Option<i64>,
    /// The last offset that was taken.
    last: Option<i64>,
}

impl Watermark {
    /// An offset was read; they come in growing order, with gaps.
    pub fn take(&mut self, offset: i64) {
        self.taken.push_back((offset, false));
        self.last = Some(offset);
    }

    /// Whether an offset was read before, which tells that the log was lost and begins anew.
    pub fn has_passed(&self, offset: i64) -> bool {
        self.last.is_some_and(|last| offset <= last)
    }

    /// An offset is dealt with.
    pub fn finish(&mut self, offset: i64) {
        let Ok(at) = self
            .taken
            .binary_search_by_key(&offset, |(taken, _)| *taken)
        else {
            return;
        };
        if let Some((_, finished)) = self.taken.get_mut(at) {
            *finished = true;
        }
        while let Some((offset, true)) = self.taken.front().copied() {
            self.taken.pop_front();
            self.mark = Some(offset + 1);
        }
    }

    /// Where a successor has to begin; `None` while nothing is finished.
    pub const fn mark(&self) -> Option<i64> {
        self.mark
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_unfinished_offset_holds_the_mark() {
        let mut offsets = Watermark::default();
        [3, 4, 7, 9].into_iter().for_each(|it| offsets.take(it));
        let mut after = |offset| {
            offsets.finish(offset);
            offsets.mark()
        };
        assert_eq!(after(4), None);
        assert_eq!(after(9), None);
        assert_eq!(after(3), Some(5));
        assert_eq!(after(5), Some(5), "never taken");
        assert_eq!(after(7), Some(10));
    }

    proptest! {
        #[test]
        fn the_mark_is_the_first_unfinished_offset_whatever_the_order(
            order in Just((0_i64..40).collect::<Vec<_>>()).prop_shuffle(),
            finished in 0_usize..40,
        ) {
            let mut offsets = Watermark::default();
            (0..40).for_each(|offset| offsets.take(offset));
            let done = &order[..finished];
            done.iter().for_each(|&offset| offsets.finish(offset));
            let first_open = (0..40).find(|offset| !done.contains(offset)).unwrap_or(40);
            prop_assert_eq!(offsets.mark().unwrap_or(0), first_open);
        }
    }
}
