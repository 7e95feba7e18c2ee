//! Peak EWMA and the power of two choices.
//!
//! The load of an instance is its expected time to first frame times the calls it is given,
//! counting the next one. The expectation jumps to a peak at once and forgets it slowly, so that
//! an instance that turns slow loses traffic with its first slow answer. (Finagle's `p2c + peak
//! EWMA`; Mitzenmacher: *The power of two choices in randomized load balancing*, 2001.)
//!
//! Fading alone takes the longer, the faster the others are: after a failure that counts as 500 ms
//! an instance beside one of 1 ms would be left out for half a minute. What is older than twice the
//! decay is therefore forgotten, and one call at a time finds out anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::random::Draws;
use crate::time::{Instant, micros};

/// How expectations move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time in which a peak decays to 37 %.
    #[serde(with = "humantime_serde")]
    pub decay: Duration,
    /// What an instance is expected to take before it was asked.
    #[serde(with = "humantime_serde")]
    pub first_guess: Duration,
    /// What a failure counts as: failing fast must not look fast.
    #[serde(with = "humantime_serde")]
    pub penalty: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            decay: Duration::from_secs(5),
            first_guess: Duration::from_millis(30),
            penalty: Duration::from_millis(500),
        }
    }
}

/// The load of one instance.
#[derive(Debug)]
pub struct Load {
    config: Config,
    /// Expected microseconds (high half) as of a millisecond (low half, wraps after 49 days).
    expected: AtomicU64,
    pending: AtomicU32,
}

/// A call under way; ends when dropped.
#[derive(Debug)]
pub struct Pending(Arc<Load>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Load {
    /// An instance that was not asked yet.
    pub fn new(config: Config, now: Instant) -> Arc<Self> {
        let guess = micros(config.first_guess);
        Arc::new(Self {
            config,
            expected: AtomicU64::new(pack(guess as f64, now)),
            pending: AtomicU32::new(0),
        })
    }

    /// Counts a call until the value is dropped.
    pub fn begin(self: &Arc<Self>) -> Pending {
        self.pending.fetch_add(1, Ordering::AcqRel);
        Pending(Arc::clone(self))
    }

    /// Takes the time to the first frame of an answer.
    pub fn observe(&self, now: Instant, took: Duration) {
        let sample = micros(took) as f64;
        let updated = self
            .expected
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                let (known, age) = unpack(word, now);
                let weight = (-age.as_secs_f64() / self.config.decay.as_secs_f64()).exp();
                let moved = if sample >= known || self.is_forgotten(age) {
                    sample
                } else {
                    known * weight + sample * (1.0 - weight)
                };
                Some(pack(moved, now))
            });
        debug_assert!(updated.is_ok(), "the closure always updates");
    }

    /// Takes a call that was given up after `took`: it would have taken longer. Says nothing when
    /// more was expected anyway.
    pub fn at_least(&self, now: Instant, took: Duration) {
        if took > self.expected(now) {
            self.observe(now, took);
        }
    }

    /// Takes a failure.
    pub fn fail(&self, now: Instant) {
        self.observe(now, self.config.penalty);
    }

    /// Calls under way.
    pub fn pending(&self) -> u32 {
        self.pending.load(Ordering::Acquire)
    }

    /// Expected time to the first frame.
    pub fn expected(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(self.expected_micros(now) / 1e6)
    }

    /// What one more call would cost: smaller is better. Nothing, when what was known is forgotten
    /// and nobody is finding out.
    pub fn cost(&self, now: Instant) -> f64 {
        let (_, age) = unpack(self.expected.load(Ordering::Acquire), now);
        match self.pending() {
            0 if self.is_forgotten(age) => 0.0,
            pending => self.expected_micros(now) * f64::from(pending + 1),
        }
    }

    fn is_forgotten(&self, age: Duration) -> bool {
        age >= self.config.decay * 2
    }

    /// What is expected fades while nothing is heard, so that an instance that nobody chose is
    /// tried again.
    fn expected_micros(&self, now: Instant) -> f64 {
        let (known, age) = unpack(self.expected.load(Ordering::Acquire), now);
        known * (-age.as_secs_f64() / self.config.decay.as_secs_f64()).exp()
    }
}

fn pack(expected_micros: f64, now: Instant) -> u64 {
    let expected = expected_micros.clamp(1.0, f64::from(u32::MAX)) as u64;
    let millis = (now.as_micros() / 1000) & u64::from(u32::MAX);
    (expected << 32) | millis
}

fn unpack(word: u64, now: Instant) -> (f64, Duration) {
    let then = word as u32;
    let age = ((now.as_micros() / 1000) as u32).wrapping_sub(then);
    // An age beyond half of the range is a clock that another thread read a moment later.
    let age = if age > u32::MAX / 2 { 0 } else { age };
    ((word >> 32) as f64, Duration::from_millis(u64::from(age)))
}

/// The better of two that were drawn among `count` candidates by `cost`; `None` stands for a
/// candidate that cannot be chosen. Falls back to the best of all when both that were drawn cannot.
pub fn choose(count: usize, draws: &Draws, cost: impl Fn(usize) -> Option<f64>) -> Option<usize> {
    let first = draws.below(count);
    let better = |one: usize, other: usize| match (cost(one), cost(other)) {
        (Some(a), Some(b)) => Some(if a <= b { one } else { other }),
        (Some(_), None) => Some(one),
        (None, Some(_)) => Some(other),
        (None, None) => None,
    };
    let chosen = match count {
        0 => return None,
        1 => return cost(0).map(|_| 0),
        _ => {
            let second = (first + 1 + draws.below(count - 1)) % count;
            better(first, second)
        }
    };
    chosen.or_else(|| {
        (0..count)
            .filter_map(|n| cost(n).map(|cost| (n, cost)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(n, _)| n)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn peaks_count_at_once_and_fade_slowly() {
        let load = Load::new(Config::default(), at(0));
        load.observe(at(0), Duration::from_millis(40));
        load.observe(at(1), Duration::from_secs(2));
        assert_eq!(load.expected(at(1)), Duration::from_secs(2));
        load.observe(at(6), Duration::from_millis(40));
        // 2 s * e^-1 + 0.04 s * (1 - e^-1)
        let expected = load.expected(at(6)).as_millis();
        assert!((755..766).contains(&expected), "{expected}");
        assert!(load.expected(at(60)) < Duration::from_millis(1));
    }

    #[test]
    fn calls_that_were_given_up_only_raise_what_is_expected() {
        let load = Load::new(Config::default(), at(0));
        load.observe(at(0), Duration::from_millis(40));
        load.at_least(at(0), Duration::from_millis(5));
        assert_eq!(load.expected(at(0)), Duration::from_millis(40));
        load.at_least(at(0), Duration::from_millis(900));
        assert_eq!(load.expected(at(0)), Duration::from_millis(900));
    }

    #[test]
    fn cost_grows_with_the_calls_under_way() {
        let load = Load::new(Config::default(), at(0));
        let idle = load.cost(at(0));
        let calls = [load.begin(), load.begin()];
        assert!((load.cost(at(0)) / idle - 3.0).abs() < 1e-9);
        drop(calls);
        assert_eq!(load.pending(), 0);
    }

    #[test]
    fn an_instance_that_fails_fast_is_avoided() {
        let (good, bad) = (
            Load::new(Config::default(), at(0)),
            Load::new(Config::default(), at(0)),
        );
        good.observe(at(0), Duration::from_millis(50));
        bad.fail(at(0));
        assert!(bad.cost(at(1)) > 9.0 * good.cost(at(1)));
    }

    #[test]
    fn an_instance_that_failed_is_tried_again_by_one_call_at_a_time_however_fast_the_others_are() {
        let (good, bad) = (
            Load::new(Config::default(), at(0)),
            Load::new(Config::default(), at(0)),
        );
        bad.fail(at(0));
        let answers = |now| good.observe(now, Duration::from_micros(100));
        (1..=10).for_each(|second| answers(at(second)));
        assert!(bad.cost(at(9)) > good.cost(at(9)));
        assert!(bad.cost(at(10)) < good.cost(at(10)));
        let trial = bad.begin();
        assert!(bad.cost(at(10)) > good.cost(at(10)), "one at a time");
        drop(trial);
        bad.fail(at(10));
        assert!(bad.cost(at(19)) > good.cost(at(19)), "it failed again");
        bad.observe(at(20), Duration::from_micros(100));
        assert!(
            bad.expected(at(20)) <= Duration::from_micros(100),
            "it is back at once"
        );
    }

    #[test]
    fn choices_skip_what_cannot_be_chosen_and_spread_what_can() {
        let draws = Draws::new(5);
        let mut seen = [0; 5];
        for _ in 0..10_000 {
            // Only 2 and 4 are there.
            let cost = |n: usize| (n == 2 || n == 4).then_some(1.0);
            seen[choose(5, &draws, cost).unwrap()] += 1;
        }
        assert_eq!([seen[0], seen[1], seen[3]], [0, 0, 0]);
        assert!(seen[2] > 3000 && seen[4] > 3000, "{seen:?}");
        assert_eq!(choose(0, &draws, |_| Some(1.0)), None);
        assert_eq!(choose(3, &draws, |_| None), None);
        assert_eq!(choose(1, &draws, |_| Some(1.0)), Some(0));
    }

    #[test]
    fn load_spreads_by_speed() {
        // Three instances in a closed loop, one of them ten times slower.
        let draws = Draws::new(9);
        let loads: Vec<_> = (0..3)
            .map(|_| Load::new(Config::default(), at(0)))
            .collect();
        let times = [10u64, 10, 100];
        let mut under_way: Vec<(u64, usize, Pending)> = Vec::new();
        let mut served = [0u32; 3];
        for millis in 0..20_000u64 {
            let now = Instant::from_micros(millis * 1000);
            under_way.retain(|(end, n, _)| {
                if *end <= millis {
                    loads[*n].observe(now, Duration::from_millis(times[*n]));
                }
                *end > millis
            });
            if under_way.len() < 6 {
                let n = choose(3, &draws, |n| Some(loads[n].cost(now))).unwrap();
                served[n] += 1;
                under_way.push((millis + times[n], n, loads[n].begin()));
            }
        }
        let share = f64::from(served[2]) / f64::from(served.iter().sum::<u32>());
        assert!(share < 0.05, "{served:?}");
        assert!(served[2] > 0, "a slow instance is still tried: {served:?}");
    }
}
