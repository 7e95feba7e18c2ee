//! A block bootstrap over seconds.
//!
//! Requests of the same second are alike, and so are seconds that follow each other; resampling single
//! requests would take that for evidence. Blocks of seconds are drawn instead, from each side for itself.
//!
//! # Source   Künsch, *The jackknife and the bootstrap for general stationary observations*, 1989.

use std::collections::BTreeMap;

use crate::arrivals::Random;
use crate::measure::Sparse;

/// Seconds of a block: longer than what follows from each other within services.
const BLOCK: usize = 5;

/// How sure a difference has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Draws.
    pub draws: usize,
    /// Chance of a false alarm, of all tests together.
    pub alpha: f64,
    /// How many tests there are.
    pub tests: usize,
    /// Factor on the width of the interval. The plain interval is too narrow for high percentiles of
    /// short runs; this one was chosen on pairs of runs that do not differ.
    pub widening: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            draws: 400,
            alpha: 0.05,
            tests: 4,
            widening: 1.25,
            seed: 1,
        }
    }
}

/// The seconds of one side, runs one after the other.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Bounds of the buckets that occur.
    values: Vec<u64>,
    /// Of each second: places in `values`, and counts.
    seconds: Vec<Vec<(u32, u64)>>,
}

impl Side {
    /// From the histograms of seconds.
    pub fn new<'a>(seconds: impl Iterator<Item = &'a Sparse> + Clone) -> Self {
        let mut places: BTreeMap<u64, u32> = seconds
            .clone()
            .flat_map(|second| second.0.iter().map(|(value, _)| (*value, 0)))
            .collect();
        for (place, own) in places.values_mut().enumerate() {
            *own = place as u32;
        }
        let place = |value: &u64| places.get(value).copied().unwrap_or_default();
        let seconds = seconds.map(|second| {
            second
                .0
                .iter()
                .map(|(value, count)| (place(value), *count))
                .collect()
        });
        Self {
            seconds: seconds.collect(),
            values: places.keys().copied().collect(),
        }
    }

    /// How many seconds.
    pub const fn len(&self) -> usize {
        self.seconds.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.seconds.is_empty()
    }

    fn whole(&self) -> Vec<u64> {
        let mut counts = vec![0; self.values.len()];
        for second in &self.seconds {
            add(&mut counts, second);
        }
        counts
    }

    fn resampled(&self, random: &mut Random, counts: &mut [u64]) {
        counts.fill(0);
        let length = self.seconds.len();
        let mut left = length;
        while left > 0 {
            // Blocks go round the end, so that the last seconds are drawn as often as others.
            let begin = random.below(length as u64) as usize;
            for at in 0..BLOCK.min(left) {
                add(counts, &self.seconds[(begin + at) % length]);
            }
            left -= BLOCK.min(left);
        }
    }

    /// Requests a second, and quantiles, of counts.
    fn statistics(&self, counts: &[u64], quantiles: &[f64]) -> Vec<f64> {
        let total: u64 = counts.iter().sum();
        let mut statistics = vec![total as f64 / self.seconds.len().max(1) as f64];
        for quantile in quantiles {
            let wanted = (quantile * total as f64).ceil().max(1.0) as u64;
            let mut seen = 0;
            let place = counts.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            statistics.push(place.map_or(f64::NAN, |place| self.values[place] as f64));
        }
        statistics
    }
}

fn add(counts: &mut [u64], second: &[(u32, u64)]) {
    for &(place, count) in second {
        counts[place as usize] += count;
    }
}

/// How one statistic differs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
    /// Least ratio of after to before that is plausible.
    pub low: f64,
    /// Largest one.
    pub high: f64,
}

impl Bootstrap {
    /// Intervals of the ratio of requests a second, then of each quantile.
    pub fn ratios(&self, before: &Side, after: &Side, quantiles: &[f64]) -> Vec<Interval> {
        let mut random = Random::new(self.seed, 0);
        let whole_before = before.statistics(&before.whole(), quantiles);
        let whole_after = after.statistics(&after.whole(), quantiles);
        let mut logs: Vec<Vec<f64>> = vec![Vec::with_capacity(self.draws); quantiles.len() + 1];
        let (mut counts_before, mut counts_after) = (before.whole(), after.whole());
        for _ in 0..self.draws {
            before.resampled(&mut random, &mut counts_before);
            after.resampled(&mut random, &mut counts_after);
            let drawn_before = before.statistics(&counts_before, quantiles);
            let drawn_after = after.statistics(&counts_after, quantiles);
            for (at, log) in logs.iter_mut().enumerate() {
                log.push((drawn_after[at] / drawn_before[at]).ln());
            }
        }
        let tail = self.alpha / self.tests as f64 / 2.0;
        logs.iter_mut()
            .enumerate()
            .map(|(at, log)| {
                log.sort_by(f64::total_cmp);
                let middle = (whole_after[at] / whole_before[at]).ln();
                let place = |share: f64| log[((log.len() - 1) as f64 * share).round() as usize];
                let (low, high) = (place(tail), place(1.0 - tail));
                Interval {
                    before: whole_before[at],
                    after: whole_after[at],
                    low: (middle - (middle - low).max(0.0) * self.widening).exp(),
                    high: (middle + (high - middle).max(0.0) * self.widening).exp(),
                }
            })
            .collect()
    }
}
