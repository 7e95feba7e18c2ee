//! Leases: a debit of several units at once, spent locally without a trip per request.
//!
//! A lease of a **strict** window ends with the part of the window that it was debited in, so what
//! is spent locally falls into the part that was charged, and N stays N. What was not spent goes
//! back with [`Strict::refund`](crate::window::Strict::refund). A lease of a **GCRA** window may be
//! spent up to its whole size after its charge, so that R holders together admit at most
//! N + B + R * size in a trailing period.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gcra::{Gcra, State as GcraState};
use crate::time::Instant;
use crate::window::{State as StrictState, Strict};

/// Units that were charged in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    charged_at: Instant,
    ends_at: Instant,
    left: u64,
}

impl Lease {
    /// A lease of `units` that were charged at `charged_at`. When the charge was made elsewhere,
    /// take both times of the side that is asked, as of *before* it was asked.
    pub const fn new(units: u64, charged_at: Instant, ends_at: Instant) -> Self {
        Self {
            charged_at,
            ends_at,
            left: units,
        }
    }

    /// Spends `cost` units, or nothing.
    pub fn spend(&mut self, now: Instant, cost: u64) -> bool {
        let covered = now < self.ends_at && cost <= self.left;
        if covered {
            self.left -= cost;
        }
        covered
    }

    /// Units that can still be spent.
    pub fn left(&self, now: Instant) -> u64 {
        if now < self.ends_at { self.left } else { 0 }
    }

    /// When it ends.
    pub const fn ends_at(&self) -> Instant {
        self.ends_at
    }

    /// When it was charged, and the units that go back.
    pub const fn rest(self) -> (Instant, u64) {
        (self.charged_at, self.left)
    }
}

/// Size of a lease: an eighth of a replica's share, at least one unit.
pub fn size(limit: u64, replicas: u64) -> u64 {
    (limit / (8 * replicas.max(1))).clamp(1, limit.max(1))
}

/// Leases up to `units` of what a strict window has left; `None` when it has nothing left.
pub fn of_strict(
    strict: &Strict,
    state: &mut StrictState,
    now: Instant,
    units: u64,
) -> Option<Lease> {
    let units = units.min(strict.available(state, now));
    if units == 0 {
        return None;
    }
    strict.debit(state, now, units);
    Some(Lease::new(units, now, strict.part_end(now)))
}

/// Leases `units` of a GCRA window for at most `term`; `None` when they are not there now.
pub fn of_gcra(
    gcra: &Gcra,
    state: &mut GcraState,
    now: Instant,
    units: u64,
    term: Duration,
) -> Option<Lease> {
    let admitted = gcra.decide(state, now, units).is_admitted();
    admitted.then(|| Lease::new(units, now, now + term))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gcra, window};

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_strict_lease_ends_with_its_part_and_gives_back_its_rest() {
        let strict = Strict::new([window::Window {
            limit: 10,
            period: MINUTE,
        }]);
        let mut state = strict.fresh();
        let mut lease = of_strict(&strict, &mut state, at(3), 8).unwrap();
        assert!(lease.spend(at(4), 5));
        assert!(!lease.spend(at(4), 4));
        assert_eq!(lease.left(at(4)), 3);
        assert!(!lease.spend(at(5), 1), "the part ended at 5 s");
        let (charged_at, rest) = lease.rest();
        strict.refund(&mut state, charged_at, rest);
        assert_eq!(strict.available(&mut state, at(5)), 5);
        assert_eq!(
            of_strict(&strict, &mut state, at(5), 8)
                .unwrap()
                .left(at(5)),
            5
        );
        assert_eq!(of_strict(&strict, &mut state, at(5), 8), None);
    }

    #[test]
    fn a_gcra_lease_is_all_or_nothing() {
        let gcra = Gcra::new([gcra::Window {
            limit: 60,
            period: MINUTE,
            burst: 10,
        }]);
        let mut state = gcra.fresh();
        let lease = of_gcra(&gcra, &mut state, at(0), 8, Duration::from_secs(5)).unwrap();
        assert_eq!((lease.left(at(4)), lease.left(at(5))), (8, 0));
        assert_eq!(of_gcra(&gcra, &mut state, at(0), 8, MINUTE), None);
    }

    #[test]
    fn a_lease_is_an_eighth_of_a_share() {
        assert_eq!([size(2400, 3), size(10, 3), size(0, 0)], [100, 1, 1]);
    }
}
