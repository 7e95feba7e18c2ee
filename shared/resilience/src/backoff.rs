//! Exponential backoff with full jitter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::random::Draws;

/// Waits between attempts: uniform between nothing and an exponentially growing ceiling, so that
/// callers that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backoff {
    /// Ceiling of the first wait.
    #[serde(with = "humantime_serde")]
    pub base: Duration,
    /// Largest ceiling.
    #[serde(with = "humantime_serde")]
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(25),
            most: Duration::from_millis(250),
        }
    }
}

impl Backoff {
    /// The ceiling after `failures` attempts (from 1 on).
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.most)
    }

    /// The wait after `failures` attempts (from 1 on).
    pub fn wait(&self, failures: u32, draws: &Draws) -> Duration {
        draws.up_to(self.ceiling(failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_the_most() {
        let backoff = Backoff::default();
        let ceilings: Vec<u128> = (1..=6).map(|n| backoff.ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [25, 50, 100, 200, 250, 250]);
        assert_eq!(backoff.ceiling(u32::MAX).as_millis(), 250);
    }

    #[test]
    fn waits_fill_the_ceiling_and_repeat_by_seed() {
        let backoff = Backoff::default();
        let waits = |seed| -> Vec<Duration> {
            let draws = Draws::new(seed);
            (0..1000).map(|_| backoff.wait(3, &draws)).collect()
        };
        let drawn = waits(11);
        assert_eq!(drawn, waits(11));
        assert!(drawn.iter().all(|wait| *wait < backoff.ceiling(3)));
        assert!(drawn.iter().any(|wait| *wait < Duration::from_millis(5)));
        assert!(drawn.iter().any(|wait| *wait > Duration::from_millis(95)));
    }
}
