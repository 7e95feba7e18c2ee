//! How often the verdict is right, on runs of a service that is imagined.

use std::time::Duration;

use super::{Bootstrap, Side};
use crate::arrivals::Random;
use crate::measure::{Durations, Sparse};

/// A run of an imagined service: log-normal durations around a level that wanders from second to second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imagined {
    /// Its length.
    pub seconds: usize,
    /// Requests a second.
    pub rate: usize,
}

impl Imagined {
    fn side(self, random: &mut Random, slower: f64) -> Side {
        let mut level = 0.0_f64;
        let seconds: Vec<Sparse> = (0..self.seconds)
            .map(|_| {
                level = 0.7 * level + 0.04 * random.normal();
                let mut durations = Durations::default();
                for _ in 0..self.rate {
                    let millis = random.log_normal(20.0, 0.6) * level.exp() * slower;
                    durations.record(Duration::from_secs_f64(millis / 1e3));
                }
                durations.sparse()
            })
            .collect();
        Side::new(seconds.iter())
    }
}

/// Of pairs of runs, the second of which is `slower` by that factor, how many are told to differ in a
/// quantile, or in the 99th percentile when only that is looked at.
pub fn told(pairs: u64, imagined: Imagined, slower: f64, only_p99: bool) -> u64 {
    let bootstrap = Bootstrap {
        draws: 200,
        ..Bootstrap::default()
    };
    let differs = |pair: &u64| {
        let mut random = Random::new(*pair, 9);
        let before = imagined.side(&mut random, 1.0);
        let after = imagined.side(&mut random, slower);
        let ratios = bootstrap.ratios(&before, &after, &[0.5, 0.95, 0.99]);
        let looked_at = if only_p99 { &ratios[3..] } else { &ratios[1..] };
        looked_at.iter().any(|ratio| {
            (ratio.low > 1.0 || ratio.high < 1.0)
                && (ratio.after / ratio.before - 1.0).abs() >= 0.02
        })
    };
    (0..pairs).filter(differs).count() as u64
}
