use std::time::Duration;

/// Pauses that double from `first` up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub max: Duration,
}

impl Default for Backoff {
    /// 100 ms, 200 ms, … 5 s.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            max: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// The pause after the `failures`-th failure in a row, counted from 1.
    pub fn after(&self, failures: u32) -> Duration {
        let doubled = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound() {
        let backoff = Backoff::default();
        let millis = |failures| backoff.after(failures).as_millis();
        assert_eq!(
            [millis(1), millis(2), millis(3), millis(7)],
            [100, 200, 400, 5000]
        );
        assert_eq!([millis(0), millis(33), millis(u32::MAX)], [100, 5000, 5000]);
    }
}
