//! Histograms of durations, and their form for sending and keeping.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest duration that is told apart from longer ones.
const LONGEST_MICROS: u64 = 3_600_000_000;
/// Digits that are kept: every value is right to one part in a thousand.
const DIGITS: u8 = 3;

/// Durations in microseconds, right to one part in a thousand, up to an hour.
#[derive(Clone, Debug)]
pub struct Durations(Histogram<u64>);

impl Default for Durations {
    fn default() -> Self {
        // Both arguments are in the range that the library documents.
        let histogram = Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS);
        Self(histogram.unwrap_or_else(|_| Histogram::new_from(&EMPTY)))
    }
}

static EMPTY: std::sync::LazyLock<Histogram<u64>> = std::sync::LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "3 digits are always possible")]
    Histogram::new(DIGITS).expect("3 digits")
});

impl Durations {
    /// One more.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(LONGEST_MICROS);
        self.0.saturating_record(micros);
    }

    /// Those of another.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// Takes up what was sent.
    pub fn merge_sparse(&mut self, sparse: &Sparse) {
        for &(value, count) in &sparse.0 {
            self.0.saturating_record_n(value, count);
        }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The least duration that the share `q` of them does not exceed; zero when there are none.
    pub fn quantile(&self, q: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(q))
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// The shortest; zero when there are none.
    pub fn min(&self) -> Duration {
        Duration::from_micros(if self.0.is_empty() { 0 } else { self.0.min() })
    }

    /// The mean; zero when there are none.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }

    /// The share of them that is not longer.
    pub fn share_within(&self, limit: Duration) -> f64 {
        if self.0.is_empty() {
            return 1.0;
        }
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        self.0.count_between(0, micros) as f64 / self.0.len() as f64
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Their form for sending.
    pub fn sparse(&self) -> Sparse {
        if self.0.is_empty() {
            return Sparse::default();
        }
        let each = self.0.iter_recorded();
        Sparse(
            each.map(|step| (step.value_iterated_to(), step.count_at_value()))
                .collect(),
        )
    }

    /// The library's own value, for its formats.
    pub const fn raw(&self) -> &Histogram<u64> {
        &self.0
    }
}

/// The values of a histogram that occurred, with their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sparse(pub Vec<(u64, u64)>);

impl Sparse {
    /// As a histogram.
    pub fn dense(&self) -> Durations {
        let mut durations = Durations::default();
        durations.merge_sparse(self);
        durations
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn merging_what_was_sent_loses_nothing(micros in proptest::collection::vec(0_u64..4_000_000_000, 0..200)) {
            let mut whole = Durations::default();
            let mut parts = [Durations::default(), Durations::default()];
            for (at, &micros) in micros.iter().enumerate() {
                whole.record(Duration::from_micros(micros));
                parts[at % 2].record(Duration::from_micros(micros));
            }
            let mut merged = Durations::default();
            for part in &parts {
                merged.merge_sparse(&part.sparse());
            }
            prop_assert_eq!(merged.sparse(), whole.sparse());
            prop_assert_eq!(merged.count(), micros.len() as u64);
            prop_assert_eq!(merged.quantile(0.9), whole.quantile(0.9));
        }

        #[test]
        fn every_value_is_right_to_one_part_in_a_thousand(micros in 1_u64..3_600_000_000) {
            let mut durations = Durations::default();
            durations.record(Duration::from_micros(micros));
            let told = durations.quantile(0.5).as_micros() as f64;
            prop_assert!((told / micros as f64 - 1.0).abs() <= 0.001);
        }
    }
}
