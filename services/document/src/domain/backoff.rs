//! How long to wait before the next try.

use std::time::Duration;

/// Exponential backoff with full jitter over its upper half.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// First wait.
    pub first: Duration,
    /// Longest wait.
    pub most: Duration,
}

impl Backoff {
    /// The wait after `failures` failures (from 1); `dice` is a random number that spreads tries
    /// over the upper half of the interval.
    pub fn delay(self, failures: u32, dice: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.most);
        full.mul_f64(0.5 + 0.5 * f64::from(dice) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(100),
        most: Duration::from_secs(15),
    };

    #[test]
    fn doubles_until_the_longest_wait() {
        let waits: Vec<_> = (1..=9)
            .map(|n| BACKOFF.delay(n, u32::MAX).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 15000]);
    }

    proptest! {
        #[test]
        fn stays_between_half_and_the_longest(failures in 0_u32.., dice in 0_u32..) {
            let delay = BACKOFF.delay(failures, dice);
            prop_assert!(delay >= BACKOFF.first / 2);
            prop_assert!(delay <= BACKOFF.most);
        }
    }
}
