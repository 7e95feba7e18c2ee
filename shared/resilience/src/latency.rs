//! Quantiles of the last ten to twenty seconds, without a lock.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::time::{Instant, micros};

/// Cells per doubling: a quantile is at most 1/16 above the truth.
const CELLS_PER_DOUBLING: usize = 16;
/// The last cell begins above 18 hours.
const CELLS: usize = 544;
const PERIOD_MICROS: u64 = 10_000_000;
/// Fewer samples say nothing about quantiles.
const LEAST_SAMPLES: u64 = 20;
/// How long a computed quantile is used again.
const FRESH_MICROS: u64 = 100_000;

type Cells = [AtomicU32; CELLS];

/// Times that an upstream took, and what is usual.
pub struct Latency {
    /// The present period and the one before, by parity.
    periods: Box<[Cells; 2]>,
    period: AtomicU64,
    computed_at: AtomicU64,
    typical: AtomicU64,
    late: AtomicU64,
}

impl Latency {
    /// No samples.
    pub fn new() -> Self {
        let cells = || std::array::from_fn(|_| AtomicU32::new(0));
        Self {
            periods: Box::new([cells(), cells()]),
            period: AtomicU64::new(0),
            computed_at: AtomicU64::new(u64::MAX),
            typical: AtomicU64::new(0),
            late: AtomicU64::new(0),
        }
    }

    /// Takes a sample.
    pub fn record(&self, now: Instant, took: Duration) {
        let period = self.turn(now);
        let cell = &self.periods[(period % 2) as usize][cell_of(micros(took))];
        cell.fetch_add(1, Ordering::Relaxed);
    }

    /// The median; `None` while there are too few samples.
    pub fn typical(&self, now: Instant) -> Option<Duration> {
        self.refresh(now);
        present(&self.typical)
    }

    /// The 95th percentile; `None` while there are too few samples.
    pub fn late(&self, now: Instant) -> Option<Duration> {
        self.refresh(now);
        present(&self.late)
    }

    /// A quantile, computed anew.
    pub fn quantile(&self, now: Instant, share: f64) -> Option<Duration> {
        self.turn(now);
        let count = |cell: usize| -> u64 {
            let counts = self.periods.iter().map(|cells| &cells[cell]);
            counts.map(|n| u64::from(n.load(Ordering::Relaxed))).sum()
        };
        let total: u64 = (0..CELLS).map(count).sum();
        if total < LEAST_SAMPLES {
            return None;
        }
        let rank = ((total as f64 * share).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        let cell = (0..CELLS).find(|cell| {
            seen += count(*cell);
            seen >= rank
        })?;
        Some(Duration::from_micros(end_of(cell)))
    }

    fn refresh(&self, now: Instant) {
        let now_micros = now.as_micros();
        let computed_at = self.computed_at.load(Ordering::Relaxed);
        let is_fresh = computed_at <= now_micros && now_micros - computed_at < FRESH_MICROS;
        if is_fresh {
            return;
        }
        self.computed_at.store(now_micros, Ordering::Relaxed);
        for (share, cache) in [(0.5, &self.typical), (0.95, &self.late)] {
            let quantile = self.quantile(now, share).map_or(0, micros);
            cache.store(quantile, Ordering::Relaxed);
        }
    }

    /// Empties the periods that have passed; tells the present one.
    fn turn(&self, now: Instant) -> u64 {
        let period = now.as_micros() / PERIOD_MICROS;
        let known = self.period.load(Ordering::Acquire);
        if period > known {
            let turned =
                self.period
                    .compare_exchange(known, period, Ordering::AcqRel, Ordering::Acquire);
            if turned.is_ok() {
                let clear = |parity: u64| {
                    for cell in &self.periods[(parity % 2) as usize] {
                        cell.store(0, Ordering::Relaxed);
                    }
                };
                clear(period);
                if period > known + 1 {
                    clear(period + 1);
                }
            }
        }
        period.max(known)
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latency").finish_non_exhaustive()
    }
}

fn present(cache: &AtomicU64) -> Option<Duration> {
    match cache.load(Ordering::Relaxed) {
        0 => None,
        micros => Some(Duration::from_micros(micros)),
    }
}

fn cell_of(micros: u64) -> usize {
    let small = CELLS_PER_DOUBLING as u64;
    if micros < small {
        return micros as usize;
    }
    let doubling = micros.ilog2() as usize;
    let within = (micros >> (doubling - 4)) as usize - CELLS_PER_DOUBLING;
    ((doubling - 3) * CELLS_PER_DOUBLING + within).min(CELLS - 1)
}

/// The largest value of a cell.
fn end_of(cell: usize) -> u64 {
    if cell < CELLS_PER_DOUBLING {
        return cell as u64;
    }
    let shift = cell / CELLS_PER_DOUBLING - 1;
    let within = (cell % CELLS_PER_DOUBLING + CELLS_PER_DOUBLING) as u64;
    ((within + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn quantiles_need_samples_and_forget_old_ones() {
        let latency = Latency::new();
        for n in 1..=19 {
            latency.record(at(0), Duration::from_millis(n));
        }
        assert_eq!(latency.typical(at(0)), None);
        latency.record(at(0), Duration::from_millis(20));
        let typical = latency.typical(at(1)).unwrap();
        assert!(
            (10_000..10_700).contains(&typical.as_micros()),
            "{typical:?}"
        );
        let late = latency.late(at(1)).unwrap();
        assert!((19_000..20_300).contains(&late.as_micros()), "{late:?}");
        assert!(latency.typical(at(19)).is_some());
        assert_eq!(latency.typical(at(20)), None);
    }

    proptest! {
        #[test]
        fn quantiles_are_at_most_a_sixteenth_above_the_sorted_ones(
            mut samples in prop::collection::vec(0u64..100_000_000, 20..200),
            share in 0.01f64..1.0,
        ) {
            let latency = Latency::new();
            for sample in &samples {
                latency.record(at(0), Duration::from_micros(*sample));
            }
            samples.sort_unstable();
            let rank = (samples.len() as f64 * share).ceil() as usize;
            let exact = samples[rank.clamp(1, samples.len()) - 1];
            let told = latency.quantile(at(0), share).unwrap().as_micros() as u64;
            prop_assert!(told >= exact && told <= exact + exact / 16, "{told} for {exact}");
        }
    }
}
