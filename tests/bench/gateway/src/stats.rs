//! Medians, spreads, and ratios that are not told when they would mislead.

use serde::Serialize;

/// Widest spread of a ratio's rounds, `(largest - smallest) / median`, that is still told.
pub const WIDEST: f64 = 0.35;

/// What the rounds of one contestant say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The middle.
    pub median: f64,
    /// `(largest - smallest) / median`.
    pub spread: f64,
    /// Every round, in order.
    pub rounds: Vec<f64>,
}

impl Summary {
    /// Of at least one round.
    pub fn of(rounds: &[f64]) -> Self {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = median_of_sorted(&sorted);
        let width = match (sorted.first(), sorted.last()) {
            (Some(first), Some(last)) => last - first,
            _ => f64::NAN,
        };
        Self {
            median,
            spread: width / median,
            rounds: rounds.to_vec(),
        }
    }

    /// Of `self` to `other`, round by round: what slows a whole round down cancels out.
    pub fn over(&self, other: &Self) -> Ratio {
        let rounds: Vec<f64> = self
            .rounds
            .iter()
            .zip(&other.rounds)
            .map(|(own, other)| own / other)
            .collect();
        let summary = Self::of(&rounds);
        // One disturbed round of five must not hide four good ones: the middle half decides.
        let middle = Self::of(middle_half(&rounds).as_slice());
        Ratio {
            valid: middle.spread <= WIDEST,
            median: summary.median,
            spread: summary.spread,
        }
    }
}

/// A ratio of two contestants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// The middle of the rounds' ratios.
    pub median: f64,
    /// `(largest - smallest) / median`.
    pub spread: f64,
    /// Whether the middle half of the rounds agrees to within [`WIDEST`].
    pub valid: bool,
}

fn middle_half(rounds: &[f64]) -> Vec<f64> {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    sorted[cut..sorted.len() - cut].to_vec()
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// The value below which the share `at` of the values lies.
pub fn percentile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * at).ceil() as usize;
    values
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_of_rounds_that_agree_is_told_though_both_drift() {
        let own = Summary::of(&[10.0, 20.0, 30.0]);
        let ratio = own.over(&Summary::of(&[5.0, 10.0, 15.0]));
        assert_eq!((ratio.median, ratio.spread, ratio.valid), (2.0, 0.0, true));
    }

    #[test]
    fn a_ratio_of_rounds_that_disagree_is_not_told() {
        let own = Summary::of(&[10.0, 10.0, 10.0, 10.0, 10.0]);
        assert!(!own.over(&Summary::of(&[5.0, 7.0, 10.0, 14.0, 20.0])).valid);
        // One outlier of five is survived.
        assert!(
            own.over(&Summary::of(&[10.0, 10.0, 10.0, 10.0, 90.0]))
                .valid
        );
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((Summary::of(&[3.0, 1.0, 2.0]).median - 2.0).abs() < 1e-9);
        assert!((Summary::of(&[4.0, 1.0, 2.0, 3.0]).median - 2.5).abs() < 1e-9);
        assert!((percentile(&mut [1.0, 2.0, 3.0, 4.0], 0.5) - 2.0).abs() < 1e-9);
    }
}
