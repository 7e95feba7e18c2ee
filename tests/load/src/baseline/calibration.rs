//! How often the verdict is right: on runs of a service that is imagined, and on runs drawn from long
//! recordings of a real one.

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

/// Seconds that stay together when runs are drawn from a recording: several times as long as the blocks
/// of the verdict, so that what follows from each other in it does so in the runs as well.
const STRETCH: usize = 30;

/// Histograms of the seconds of a recording, in stretches that were measured without a break.
#[derive(Clone, Debug, Default)]
pub struct Recording(Vec<Vec<Sparse>>);

impl Recording {
    /// From runs, each of seconds without a break.
    pub fn new<'a>(runs: impl Iterator<Item = &'a [Sparse]>) -> Self {
        let stretches = runs.flat_map(|run| run.chunks_exact(STRETCH));
        Self(stretches.map(<[Sparse]>::to_vec).collect())
    }

    /// Its length in seconds.
    pub const fn seconds(&self) -> usize {
        self.0.len() * STRETCH
    }

    fn side(&self, stretches: &[usize]) -> Side {
        let seconds = stretches.iter().flat_map(|at| &self.0[*at]);
        Side::new(seconds)
    }
}

/// Of pairs of runs of `seconds` that are drawn from recordings, how many are told to differ. No second is
/// drawn twice in a pair; with one recording both runs are drawn from it. `None` when it is too short.
pub fn told_of_recordings(
    pairs: u64,
    seconds: usize,
    (before, after): (&Recording, Option<&Recording>),
    only_p99: bool,
) -> Option<u64> {
    let each = seconds.div_ceil(STRETCH).max(1);
    let wanted = if after.is_some() { each } else { each * 2 };
    if before.0.len() < wanted || after.is_some_and(|after| after.0.len() < each) {
        return None;
    }
    let differs = |pair: &u64| {
        let mut random = Random::new(*pair, 10);
        let first = shuffled(before.0.len(), &mut random);
        let (one, other) = match after {
            Some(after) => {
                let second = shuffled(after.0.len(), &mut random);
                (before.side(&first[..each]), after.side(&second[..each]))
            }
            None => (
                before.side(&first[..each]),
                before.side(&first[each..each * 2]),
            ),
        };
        is_told(&one, &other, only_p99)
    };
    Some((0..pairs).filter(differs).count() as u64)
}

fn shuffled(count: usize, random: &mut Random) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    for at in (1..count).rev() {
        places.swap(at, random.below(at as u64 + 1) as usize);
    }
    places
}

/// Whether the verdict says that two sides differ.
fn is_told(before: &Side, after: &Side, only_p99: bool) -> bool {
    let bootstrap = Bootstrap {
        draws: 200,
        ..Bootstrap::default()
    };
    let ratios = bootstrap.ratios(before, after, &[0.5, 0.95, 0.99]);
    let looked_at = if only_p99 { &ratios[3..] } else { &ratios[1..] };
    looked_at.iter().any(|ratio| {
        (ratio.low > 1.0 || ratio.high < 1.0) && (ratio.after / ratio.before - 1.0).abs() >= 0.02
    })
}

/// Of pairs of runs, the second of which is `slower` by that factor, how many are told to differ in a
/// quantile, or in the 99th percentile when only that is looked at.
pub fn told(pairs: u64, imagined: Imagined, slower: f64, only_p99: bool) -> u64 {
    let differs = |pair: &u64| {
        let mut random = Random::new(*pair, 9);
        let before = imagined.side(&mut random, 1.0);
        let after = imagined.side(&mut random, slower);
        is_told(&before, &after, only_p99)
    };
    (0..pairs).filter(differs).count() as u64
}
