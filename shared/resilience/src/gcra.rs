//! Generic cell rate algorithm (GCRA) over several windows at once.
//!
//! A window of limit N, period P and burst B admits at most **N + B in any trailing P**: the burst,
//! and the refill during the period. It never shows the double burst of fixed windows, and it is
//! not a promise of N per trailing period; [`crate::window`] makes that one.
//!
//! The state is one number per window, the *theoretical arrival time* (TAT) in microseconds, so that
//! a script in a store can do the same in one trip: exact in doubles below 2^53. The arithmetic is
//! whole numbers only, so that two implementations can be compared bit by bit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Instant, micros};

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Units that refill in a period.
    pub limit: u64,
    /// The period.
    #[serde(with = "humantime_serde")]
    pub period: Duration,
    /// Units that may be spent at once.
    pub burst: u64,
}

impl Window {
    /// Microseconds in which one unit refills, rounded up: a rate is never above its limit.
    pub fn emission_micros(&self) -> u64 {
        micros(self.period).div_ceil(self.limit.max(1)).max(1)
    }

    /// How far ahead of now the TAT may be, in microseconds.
    pub fn tolerance_micros(&self) -> u64 {
        self.emission_micros().saturating_mul(self.burst)
    }

    /// Most units that are admitted in any trailing period.
    pub const fn bound(&self) -> u64 {
        self.limit.saturating_add(self.burst)
    }
}

/// Limits that are decided together: a request passes all of them or is charged to none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gcra {
    windows: Box<[Window]>,
}

/// What is remembered of one key: the TAT of each window, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(pub Box<[u64]>);

/// The answer for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Charged to every window.
    Admitted,
    /// Charged to none.
    Denied {
        /// Position of the window that makes the caller wait longest.
        window: usize,
        /// When the same request passes; `None` when it costs more than a burst and never will.
        retry_after: Option<Duration>,
    },
}

impl Verdict {
    /// Whether the request may go on.
    pub const fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted)
    }
}

/// Where a key stands in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Units that may be spent now.
    pub remaining: u64,
    /// Time until the whole burst is there again.
    pub reset: Duration,
}

impl Gcra {
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
        State(vec![0; self.windows.len()].into())
    }

    /// Decides on a request of `cost` units; a denial changes nothing.
    pub fn decide(&self, state: &mut State, now: Instant, cost: u64) -> Verdict {
        let now = now.as_micros();
        let mut worst: Option<(usize, Option<u64>)> = None;
        for (position, (window, tat)) in self.pairs(state).enumerate() {
            let wait = charged(window, *tat, now, cost)
                .saturating_sub(now)
                .saturating_sub(window.tolerance_micros());
            if wait == 0 {
                continue;
            }
            let wait = (cost <= window.burst).then_some(wait);
            let longer = match (worst, wait) {
                (None, _) => true,
                (Some((_, Some(known))), Some(wait)) => wait > known,
                (Some((_, known)), wait) => known.is_some() && wait.is_none(),
            };
            if longer {
                worst = Some((position, wait));
            }
        }
        if let Some((window, wait)) = worst {
            return Verdict::Denied {
                window,
                retry_after: wait.map(Duration::from_micros),
            };
        }
        self.charge(state, now, cost);
        Verdict::Admitted
    }

    /// Charges `cost` whatever the limits say: what was used beyond a reservation, or a debit that
    /// another tier has already allowed.
    pub fn debit(&self, state: &mut State, now: Instant, cost: u64) {
        self.charge(state, now.as_micros(), cost);
    }

    /// Gives back `cost` units of an earlier charge, e.g. the unused part of a reservation.
    pub fn refund(&self, state: &mut State, cost: u64) {
        for (window, tat) in self.windows.iter().zip(&mut state.0) {
            *tat = tat.saturating_sub(window.emission_micros().saturating_mul(cost));
        }
    }

    /// Where a key stands in the window at `position`; an unknown position stands at nothing.
    pub fn standing(&self, state: &State, now: Instant, position: usize) -> Standing {
        let (Some(window), Some(tat)) = (self.windows.get(position), state.0.get(position)) else {
            return Standing {
                remaining: 0,
                reset: Duration::ZERO,
            };
        };
        let ahead = tat.saturating_sub(now.as_micros());
        let free = window.tolerance_micros().saturating_sub(ahead);
        Standing {
            remaining: free / window.emission_micros(),
            reset: Duration::from_micros(ahead),
        }
    }

    /// When the key can be forgotten: every window is full again.
    pub fn idle_at(&self, state: &State) -> Instant {
        Instant::from_micros(state.0.iter().copied().max().unwrap_or(0))
    }

    fn charge(&self, state: &mut State, now: u64, cost: u64) {
        for (window, tat) in self.windows.iter().zip(&mut state.0) {
            *tat = charged(window, *tat, now, cost);
        }
    }

    fn pairs<'a>(&'a self, state: &'a State) -> impl Iterator<Item = (&'a Window, &'a u64)> {
        self.windows.iter().zip(&state.0)
    }
}

fn charged(window: &Window, tat: u64, now: u64, cost: u64) -> u64 {
    let refill = window.emission_micros().saturating_mul(cost);
    tat.max(now).saturating_add(refill)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn minute(limit: u64, burst: u64) -> Window {
        Window {
            limit,
            period: 60 * SECOND,
            burst,
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn a_burst_passes_and_then_one_unit_per_emission() {
        let gcra = Gcra::new([minute(60, 3)]);
        let mut state = gcra.fresh();
        for left in [2, 1, 0] {
            assert!(gcra.decide(&mut state, at(0), 1).is_admitted());
            assert_eq!(gcra.standing(&state, at(0), 0).remaining, left);
        }
        let denied = Verdict::Denied {
            window: 0,
            retry_after: Some(SECOND),
        };
        assert_eq!(gcra.decide(&mut state, at(0), 1), denied);
        assert!(!gcra.decide(&mut state, at(999), 1).is_admitted());
        assert!(gcra.decide(&mut state, at(1000), 1).is_admitted());
        assert_eq!(
            gcra.standing(&state, at(1000), 0),
            Standing {
                remaining: 0,
                reset: 3 * SECOND
            }
        );
        assert_eq!(gcra.idle_at(&state), at(4000));
    }

    #[test]
    fn a_denial_of_one_window_charges_no_other() {
        let gcra = Gcra::new([minute(60, 60), minute(1, 1)]);
        let mut state = gcra.fresh();
        assert!(gcra.decide(&mut state, at(0), 1).is_admitted());
        let before = state.clone();
        let denied = Verdict::Denied {
            window: 1,
            retry_after: Some(60 * SECOND),
        };
        assert_eq!(gcra.decide(&mut state, at(0), 1), denied);
        assert_eq!(state, before);
    }

    #[test]
    fn batches_cost_their_items_and_too_large_ones_never_pass() {
        let gcra = Gcra::new([minute(60, 10)]);
        let mut state = gcra.fresh();
        assert!(gcra.decide(&mut state, at(0), 7).is_admitted());
        let later = Verdict::Denied {
            window: 0,
            retry_after: Some(SECOND),
        };
        assert_eq!(gcra.decide(&mut state, at(0), 4), later);
        let never = Verdict::Denied {
            window: 0,
            retry_after: None,
        };
        assert_eq!(gcra.decide(&mut state, at(0), 11), never);
        gcra.refund(&mut state, 7);
        assert!(gcra.decide(&mut state, at(0), 10).is_admitted());
        gcra.debit(&mut state, at(0), 2);
        assert_eq!(
            gcra.standing(&state, at(0), 0),
            Standing {
                remaining: 0,
                reset: 12 * SECOND
            }
        );
    }

    #[test]
    fn the_state_travels_as_plain_numbers() {
        let gcra = Gcra::new([minute(60, 3), minute(7, 1)]);
        let mut state = gcra.fresh();
        gcra.decide(&mut state, at(5000), 1);
        let text = serde_json::to_string(&state).unwrap();
        // 60 s / 7 is rounded up to whole microseconds.
        assert_eq!(text, "[6000000,13571429]");
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }
}
