//! Hedging: a second attempt when the first is later than usual.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::{self, Budget};
use crate::latency::Latency;
use crate::time::Instant;

/// When a second attempt is worth its cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Second attempts per call; 0 turns them off.
    pub share: f64,
    /// Shortest wait before a second attempt.
    #[serde(with = "humantime_serde")]
    pub least_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            share: 0.05,
            least_wait: Duration::from_millis(1),
        }
    }
}

/// Hedging of one upstream: after its own 95th percentile, for at most 5 % of the calls.
#[derive(Debug)]
pub struct Hedge {
    config: Config,
    budget: Budget,
}

impl Hedge {
    /// No call was hedged yet.
    pub fn new(config: Config) -> Self {
        let budget = budget::Config {
            share: config.share,
            floor_per_second: 0,
        };
        Self {
            config,
            budget: Budget::new(budget),
        }
    }

    /// Counts a call, and tells how long to wait for it before a second attempt; `None` while too
    /// little is known of what is usual, and when there shall be none.
    pub fn wait(&self, now: Instant, latency: &Latency) -> Option<Duration> {
        if self.config.share <= 0.0 {
            return None;
        }
        self.budget.deposit(now);
        let late = latency.late(now)?;
        Some(late.max(self.config.least_wait))
    }

    /// Whether the second attempt may start; takes it from the budget.
    pub fn may_start(&self, now: Instant) -> bool {
        self.budget.withdraw(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_in_twenty_is_hedged_after_the_95th_percentile() {
        let (hedge, latency) = (Hedge::new(Config::default()), Latency::new());
        let now = Instant::ZERO;
        assert_eq!(hedge.wait(now, &latency), None);
        for n in 1..=100 {
            latency.record(now, Duration::from_millis(n));
        }
        let later = Instant::from_micros(200_000);
        let wait = hedge.wait(later, &latency).unwrap();
        assert!((95..=101).contains(&wait.as_millis()), "{wait:?}");
        for _ in 2..100 {
            hedge.wait(later, &latency);
        }
        let started = (0..100).filter(|_| hedge.may_start(later)).count();
        assert_eq!(started, 5);
    }
}
