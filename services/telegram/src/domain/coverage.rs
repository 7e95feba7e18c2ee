//! Which numbers of a channel are accounted for.

/// Closed intervals of numbers, ascending, never touching each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(Vec<(i32, i32)>);

impl Coverage {
    /// Coverage of intervals in any order, overlapping or not.
    pub fn from_intervals(intervals: impl IntoIterator<Item = (i32, i32)>) -> Self {
        let mut coverage = Self::default();
        for (low, high) in intervals {
            coverage.add(low, high);
        }
        coverage
    }

    /// Adds all numbers from `low` to `high`; nothing when `low > high`.
    pub fn add(&mut self, low: i32, high: i32) {
        if low > high {
            return;
        }
        // Those that touch or overlap are consecutive.
        let start = self
            .0
            .partition_point(|(_, end)| *end < low.saturating_sub(1));
        let end = self
            .0
            .partition_point(|(begin, _)| *begin <= high.saturating_add(1));
        let (mut low, mut high) = (low, high);
        if start < end {
            low = low.min(self.0[start].0);
            high = high.max(self.0[end - 1].1);
        }
        self.0.splice(start..end, [(low, high)]);
    }

    /// The intervals, ascending.
    pub fn intervals(&self) -> &[(i32, i32)] {
        &self.0
    }

    /// Whether a number is accounted for.
    pub fn contains(&self, number: i32) -> bool {
        let at = self.0.partition_point(|(_, end)| *end < number);
        self.0.get(at).is_some_and(|(begin, _)| *begin <= number)
    }

    /// What is missing from `low` to `high`, ascending.
    pub fn gaps(&self, low: i32, high: i32) -> Vec<(i32, i32)> {
        let mut gaps = Vec::new();
        let mut next = low;
        for (begin, end) in &self.0 {
            if *begin > high {
                break;
            }
            if *begin > next {
                gaps.push((next, begin - 1));
            }
            if *end >= high {
                return gaps;
            }
            next = next.max(end + 1);
        }
        if next <= high {
            gaps.push((next, high));
        }
        gaps
    }

    /// How many numbers are accounted for.
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .map(|(begin, end)| u64::from(begin.abs_diff(*end)) + 1)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_melt_into_one() {
        let coverage = Coverage::from_intervals([(5, 6), (1, 2), (9, 9), (3, 4)]);
        assert_eq!(coverage.intervals(), [(1, 6), (9, 9)]);
        assert_eq!(coverage.gaps(1, 12), [(7, 8), (10, 12)]);
        assert_eq!(coverage.gaps(2, 5), []);
        assert_eq!(coverage.count(), 7);
        let all = Coverage::from_intervals([(1, i32::MAX)]);
        assert_eq!(all.gaps(1, i32::MAX), []);
    }

    proptest! {
        #[test]
        fn coverage_is_a_set_of_numbers(
            intervals in prop::collection::vec((1..60_i32, 0..8_i32), 0..20),
        ) {
            let intervals: Vec<_> = intervals.iter().map(|(low, more)| (*low, low + more)).collect();
            let set: std::collections::BTreeSet<i32> =
                intervals.iter().flat_map(|(low, high)| *low..=*high).collect();
            let coverage = Coverage::from_intervals(intervals);
            prop_assert_eq!(coverage.count(), set.len() as u64);
            for number in 0..80 {
                prop_assert_eq!(coverage.contains(number), set.contains(&number));
            }
            let gaps: Vec<i32> =
                coverage.gaps(1, 70).iter().flat_map(|(low, high)| *low..=*high).collect();
            let missing: Vec<i32> = (1..=70).filter(|number| !set.contains(number)).collect();
            prop_assert_eq!(gaps, missing);
            for pair in coverage.intervals().windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0);
            }
        }
    }
}
