//! Monotonic time as a number.

use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, in microseconds since whatever start the owner of the clock chose.
///
/// Policies take it as an argument and never read a clock. Monotonic time of a process and the
/// microseconds of a Redis server's `TIME` both fit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Instant(u64);

impl Instant {
    /// The start.
    pub const ZERO: Self = Self(0);

    /// So many microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(micros(later)))
    }
}

/// Whole microseconds of a duration; what is longer than 584,000 years is cut.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The monotonic clock that the layers read; follows tokio's paused time in tests.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic {
    start: tokio::time::Instant,
}

impl Monotonic {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }

    /// The present instant.
    pub fn now(&self) -> Instant {
        Instant(micros(self.start.elapsed()))
    }

    /// What an instant of tokio's is on this clock; instants before its start are its start.
    pub fn at(&self, instant: tokio::time::Instant) -> Instant {
        Instant(micros(instant.saturating_duration_since(self.start)))
    }
}

impl Default for Monotonic {
    fn default() -> Self {
        Self::start()
    }
}
