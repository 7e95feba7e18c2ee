//! Retry budget: retries in proportion to calls, so that they cannot multiply an outage.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tally::{SECONDS, Tally};
use crate::time::Instant;

const CALLS: u32 = 0;
const RETRIES: u32 = 1;

/// How many retries a number of calls allows, over ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Retries per call.
    pub share: f64,
    /// Retries per second that are allowed without any calls.
    pub floor_per_second: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            share: 0.2,
            floor_per_second: 10,
        }
    }
}

/// The budget of one upstream.
#[derive(Debug)]
pub struct Budget {
    config: Config,
    tally: Tally,
    /// Serialises withdrawals only, so that two retries cannot take the last place; calls are
    /// counted without it.
    withdrawing: Mutex<()>,
    refused: AtomicU64,
}

impl Budget {
    /// A budget that nothing was taken from.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            tally: Tally::default(),
            withdrawing: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Counts a first attempt.
    pub fn deposit(&self, now: Instant) {
        self.tally.add(now, CALLS);
    }

    /// Takes a retry, if one is left.
    pub fn withdraw(&self, now: Instant) -> bool {
        let _withdrawing = self
            .withdrawing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let allowed = self.balance(now) >= 1.0;
        if allowed {
            self.tally.add(now, RETRIES);
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    /// Retries that are left.
    pub fn balance(&self, now: Instant) -> f64 {
        let [calls, retries, _] = self.tally.totals(now);
        let floor = u64::from(self.config.floor_per_second) * SECONDS;
        floor as f64 + calls as f64 * self.config.share - retries as f64
    }

    /// How often no retry was left.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Time over which calls and retries count.
    pub const WINDOW: Duration = Duration::from_secs(SECONDS);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn take_all(budget: &Budget, now: Instant) -> usize {
        (0..10_000).take_while(|_| budget.withdraw(now)).count()
    }

    #[test]
    fn a_fifth_of_the_calls_and_the_floor_may_be_retried() {
        let budget = Budget::new(Config::default());
        assert_eq!(take_all(&budget, at(0)), 100);
        for _ in 0..1000 {
            budget.deposit(at(0));
        }
        assert_eq!(take_all(&budget, at(0)), 200);
        assert_eq!(budget.refused(), 2);
    }

    #[test]
    fn the_budget_comes_back_after_ten_seconds() {
        let budget = Budget::new(Config::default());
        assert_eq!(take_all(&budget, at(3)), 100);
        assert_eq!(take_all(&budget, at(12)), 0);
        assert_eq!(take_all(&budget, at(13)), 100);
    }
}
