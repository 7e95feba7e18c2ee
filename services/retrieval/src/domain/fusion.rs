//! Many signals, one score.

/// How signals become one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fusion {
    /// Weighted sum of min-max normalised scores.
    WeightedSum,
    /// Weighted reciprocal rank fusion with this constant.
    Rrf(f32),
}

/// The scores of all candidates on one signal.
#[derive(Clone, Copy, Debug)]
pub struct Signal<'a> {
    /// Its weight; weights need not add up to one.
    pub weight: f32,
    /// One score per candidate, in the candidates' order.
    pub scores: &'a [f32],
}

/// Fuses signals into one score per candidate, 0 to 1.
///
/// # Shapes
/// Every signal has a score for each of `count` candidates; a missing one counts as the lowest.
///
/// # Source
/// Bruch, Gai, Ingber, *An Analysis of Fusion Functions for Hybrid Retrieval*, 2023 (convex
/// combination); Cormack, Clarke, Büttcher, *Reciprocal Rank Fusion*, 2009.
pub fn fuse(method: Fusion, signals: &[Signal<'_>], count: usize) -> Vec<f32> {
    let mut fused = vec![0.0; count];
    let total: f32 = signals.iter().map(|signal| signal.weight.max(0.0)).sum();
    if total <= 0.0 {
        return fused;
    }
    for signal in signals.iter().filter(|signal| signal.weight > 0.0) {
        let share = signal.weight / total;
        let parts = match method {
            Fusion::WeightedSum => min_max(signal.scores, count),
            Fusion::Rrf(constant) => reciprocal_ranks(signal.scores, count, constant),
        };
        for (sum, part) in fused.iter_mut().zip(parts) {
            *sum += share * part;
        }
    }
    fused
}

/// Scores stretched to 0..1. When all are equal they say nothing, unless they are all positive.
fn min_max(scores: &[f32], count: usize) -> Vec<f32> {
    let finite = |score: f32| {
        if score.is_finite() {
            score
        } else {
            f32::NEG_INFINITY
        }
    };
    let known = || scores.iter().copied().filter(|score| score.is_finite());
    let low = known().fold(f32::INFINITY, f32::min);
    let high = known().fold(f32::NEG_INFINITY, f32::max);
    let stretch = |score: f32| {
        if score < low || low > high {
            0.0
        } else if high > low {
            (score - low) / (high - low)
        } else {
            f32::from(u8::from(high > 0.0))
        }
    };
    (0..count)
        .map(|at| scores.get(at).map_or(0.0, |score| stretch(finite(*score))))
        .collect()
}

/// `constant / (constant + rank)`, so that the first rank gets about one; equal scores share a rank.
fn reciprocal_ranks(scores: &[f32], count: usize, constant: f32) -> Vec<f32> {
    let mut order: Vec<usize> = (0..count.min(scores.len())).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut parts = vec![0.0; count];
    let mut rank = 0;
    for (place, candidate) in order.iter().enumerate() {
        let differs = place > 0
            && scores[order[place - 1]]
                .total_cmp(&scores[*candidate])
                .is_ne();
        if differs {
            rank = place;
        }
        parts[*candidate] = (constant + 1.0) / (constant + 1.0 + rank as f32);
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weighted_sum_stretches_each_signal() {
        let signals = [
            Signal {
                weight: 0.7,
                scores: &[10.0, 0.0, 5.0],
            },
            Signal {
                weight: 0.3,
                scores: &[0.0, 0.2, 0.1],
            },
        ];
        let fused = fuse(Fusion::WeightedSum, &signals, 3);
        for (score, expected) in fused.iter().zip([0.7, 0.3, 0.5]) {
            assert!((score - expected).abs() < 1e-6, "{fused:?}");
        }
    }

    #[test]
    fn a_signal_of_weight_zero_changes_nothing() {
        let one = Signal {
            weight: 0.7,
            scores: &[3.0, 1.0, 2.0],
        };
        let noise = Signal {
            weight: 0.0,
            scores: &[0.0, 9.0, 1.0],
        };
        for method in [Fusion::WeightedSum, Fusion::Rrf(60.0)] {
            assert_eq!(fuse(method, &[one, noise], 3), fuse(method, &[one], 3));
        }
    }

    #[test]
    fn a_single_candidate_gets_the_full_score() {
        let fused = fuse(
            Fusion::WeightedSum,
            &[Signal {
                weight: 1.0,
                scores: &[4.2],
            }],
            1,
        );
        assert!((fused[0] - 1.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn fused_scores_stay_in_range_and_keep_the_order_of_a_lone_signal(
            scores in prop::collection::vec(-5.0_f32..50.0, 1..40), rrf in any::<bool>()
        ) {
            let method = if rrf { Fusion::Rrf(60.0) } else { Fusion::WeightedSum };
            let fused = fuse(method, &[Signal { weight: 0.4, scores: &scores }], scores.len());
            for (a, score) in scores.iter().enumerate() {
                prop_assert!((0.0..=1.0 + 1e-5).contains(&fused[a]));
                for (b, other) in scores.iter().enumerate() {
                    prop_assert!(score <= other || fused[a] >= fused[b]);
                }
            }
        }

        #[test]
        fn better_on_every_signal_is_better_fused(
            pairs in prop::collection::vec((0.0_f32..9.0, 0.0_f32..1.0), 2..30), rrf in any::<bool>()
        ) {
            let (first, second): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let method = if rrf { Fusion::Rrf(60.0) } else { Fusion::WeightedSum };
            let signals = [
                Signal { weight: 0.7, scores: &first },
                Signal { weight: 0.3, scores: &second },
            ];
            let fused = fuse(method, &signals, pairs.len());
            for a in 0..pairs.len() {
                for b in 0..pairs.len() {
                    if first[a] >= first[b] && second[a] >= second[b] {
                        prop_assert!(fused[a] >= fused[b] - 1e-6);
                    }
                }
            }
        }
    }
}
