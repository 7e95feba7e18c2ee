//! Strict windows: never more than N in any trailing period.
//!
//! A period is cut into [`SUB_BUCKETS`] parts. A request counts in the part that it falls into, and
//! every part that touches the trailing period counts in full: the present one and the
//! [`SUB_BUCKETS`] before it. That over-counts by at most one part, so the limit is never exceeded
//! and at least `N * 12 / 13` (92.3 %) is admitted under constant demand. One window is a ring of 13
//! counters.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gcra::{Standing, Verdict};
use crate::time::{Instant, micros};

/// Parts that a period is cut into.
pub const SUB_BUCKETS: usize = 12;
const SLOTS: usize = SUB_BUCKETS + 1;

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Units in any trailing period.
    pub limit: u32,
    /// The period.
    #[serde(with = "humantime_serde")]
    pub period: Duration,
}

impl Window {
    /// Microseconds of a part, rounded up: the ring never covers less than the period.
    pub fn part_micros(&self) -> u64 {
        micros(self.period).div_ceil(SUB_BUCKETS as u64).max(1)
    }
}

/// Limits that are decided together: a request passes all of them or is charged to none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strict {
    windows: Box<[Window]>,
}

/// What is remembered of one key: a ring per window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(pub Box<[Ring]>);

/// The counters of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Number of the latest part, counted from the clock's start.
    pub part: u64,
    /// Units per part; part `n` is at `n % 13`.
    pub counts: [u32; SLOTS],
}

impl Ring {
    /// Forgets the parts that `part` leaves behind. Time that runs backwards stays in the latest
    /// part.
    fn advance(&mut self, part: u64) {
        let gone = part.saturating_sub(self.part);
        if gone >= SLOTS as u64 {
            self.counts = [0; SLOTS];
        } else {
            for step in 1..=gone {
                self.counts[slot(self.part + step)] = 0;
            }
        }
        self.part = self.part.max(part);
    }

    fn sum(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// How many of the oldest parts must be forgotten until at most `most` units are left.
    fn parts_until(&self, most: u64) -> u64 {
        let mut sum = self.sum();
        let mut parts = 0;
        while sum > most && parts < SLOTS as u64 {
            parts += 1;
            // The part after the latest one shares its slot with the oldest.
            sum -= u64::from(self.counts[slot(self.part + parts)]);
        }
        parts
    }

    fn add(&mut self, cost: u64) {
        let count = &mut self.counts[slot(self.part)];
        *count = count.saturating_add(u32::try_from(cost).unwrap_or(u32::MAX));
    }
}

const fn slot(part: u64) -> usize {
    (part % SLOTS as u64) as usize
}

impl Strict {
    /// Limits that are decided together.
    pub fn new(windows: impl Into<Box<[Window]>>) -> Self {
        Self {
            windows: windows.into(),
        }
    }

    /// The limits, in order.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The state of a key that has spent nothing.
    pub fn fresh(&self) -> State {
        State(vec![Ring::default(); self.windows.len()].into())
    }

    /// Decides on a request of `cost` units; a denial charges nothing.
    pub fn decide(&self, state: &mut State, now: Instant, cost: u64) -> Verdict {
        self.advance(state, now);
        let mut worst: Option<(usize, Option<Duration>)> = None;
        for (position, (window, ring)) in self.windows.iter().zip(&state.0).enumerate() {
            let limit = u64::from(window.limit);
            if ring.sum().saturating_add(cost) <= limit {
                continue;
            }
            let wait = limit.checked_sub(cost).map(|most| {
                let end = (ring.part + ring.parts_until(most)) * window.part_micros();
                Instant::from_micros(end).since(now)
            });
            let longer = match (worst, wait) {
                (None, _) => true,
                (Some((_, Some(known))), Some(wait)) => wait > known,
                (Some((_, known)), wait) => known.is_some() && wait.is_none(),
            };
            if longer {
                worst = Some((position, wait));
            }
        }
        if let Some((window, retry_after)) = worst {
            return Verdict::Denied {
                window,
                retry_after,
            };
        }
        state.0.iter_mut().for_each(|ring| ring.add(cost));
        Verdict::Admitted
    }

    /// Charges `cost` whatever the limits say.
    pub fn debit(&self, state: &mut State, now: Instant, cost: u64) {
        self.advance(state, now);
        state.0.iter_mut().for_each(|ring| ring.add(cost));
    }

    /// Gives back units that were charged at `charged_at`, as far as that part is remembered.
    pub fn refund(&self, state: &mut State, charged_at: Instant, cost: u64) {
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        for (window, ring) in self.windows.iter().zip(&mut state.0) {
            let part = charged_at.as_micros() / window.part_micros();
            if part <= ring.part && ring.part - part < SLOTS as u64 {
                let count = &mut ring.counts[slot(part)];
                *count = count.saturating_sub(cost);
            }
        }
    }

    /// Most units that a request could be charged now.
    pub fn available(&self, state: &mut State, now: Instant) -> u64 {
        self.advance(state, now);
        let free =
            |(window, ring): (&Window, &Ring)| u64::from(window.limit).saturating_sub(ring.sum());
        let free = self.windows.iter().zip(&state.0).map(free);
        free.min().unwrap_or(u64::MAX)
    }

    /// Where a key stands in the window at `position`; an unknown position stands at nothing.
    pub fn standing(&self, state: &State, now: Instant, position: usize) -> Standing {
        let (Some(window), Some(ring)) = (self.windows.get(position), state.0.get(position)) else {
            return Standing {
                remaining: 0,
                reset: Duration::ZERO,
            };
        };
        let mut ring = *ring;
        ring.advance(now.as_micros() / window.part_micros());
        let end = (ring.part + ring.parts_until(0)) * window.part_micros();
        Standing {
            remaining: u64::from(window.limit).saturating_sub(ring.sum()),
            reset: match ring.sum() {
                0 => Duration::ZERO,
                _ => Instant::from_micros(end).since(now),
            },
        }
    }

    /// When the first part of any window ends: nothing that is charged now counts in another part
    /// before that.
    pub fn part_end(&self, now: Instant) -> Instant {
        let ends = self.windows.iter().map(|window| {
            let part = window.part_micros();
            (now.as_micros() / part + 1) * part
        });
        Instant::from_micros(ends.min().unwrap_or(u64::MAX))
    }

    fn advance(&self, state: &mut State, now: Instant) {
        for (window, ring) in self.windows.iter().zip(&mut state.0) {
            ring.advance(now.as_micros() / window.part_micros());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn per_minute(limit: u32) -> Strict {
        Strict::new([Window {
            limit,
            period: 60 * SECOND,
        }])
    }

    #[test]
    fn units_come_back_when_their_part_has_left_the_period() {
        let strict = per_minute(10);
        let mut state = strict.fresh();
        assert!(strict.decide(&mut state, at(1), 6).is_admitted());
        assert!(strict.decide(&mut state, at(7), 4).is_admitted());
        // The part from 0 s to 5 s touches trailing minutes until 65 s.
        let denied = Verdict::Denied {
            window: 0,
            retry_after: Some(57 * SECOND),
        };
        assert_eq!(strict.decide(&mut state, at(8), 1), denied);
        assert!(!strict.decide(&mut state, at(64), 1).is_admitted());
        assert!(strict.decide(&mut state, at(65), 6).is_admitted());
        let standing = Standing {
            remaining: 0,
            reset: 65 * SECOND,
        };
        assert_eq!(strict.standing(&state, at(65), 0), standing);
    }

    #[test]
    fn denials_charge_nothing_and_refunds_find_their_part() {
        let strict = Strict::new([
            Window {
                limit: 10,
                period: 60 * SECOND,
            },
            Window {
                limit: 3,
                period: 3600 * SECOND,
            },
        ]);
        let mut state = strict.fresh();
        assert!(strict.decide(&mut state, at(2), 3).is_admitted());
        let before = state.clone();
        let denied = Verdict::Denied {
            window: 1,
            retry_after: Some(3898 * SECOND),
        };
        assert_eq!(strict.decide(&mut state, at(2), 1), denied);
        assert_eq!(state, before);
        strict.refund(&mut state, at(2), 2);
        assert_eq!(strict.available(&mut state, at(2)), 2);
        let never = Verdict::Denied {
            window: 1,
            retry_after: None,
        };
        assert_eq!(strict.decide(&mut state, at(2), 4), never);
    }

    #[test]
    fn a_clock_that_runs_backwards_frees_nothing() {
        let strict = per_minute(5);
        let mut state = strict.fresh();
        assert!(strict.decide(&mut state, at(500), 5).is_admitted());
        assert!(!strict.decide(&mut state, at(20), 1).is_admitted());
        assert_eq!(strict.part_end(at(21)), at(25));
    }
}
