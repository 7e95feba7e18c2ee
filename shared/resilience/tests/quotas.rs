//! Quotas against a log of everything that they admitted.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use touchstone_resilience::gcra::{self, Gcra};
use touchstone_resilience::random::Draws;
use touchstone_resilience::window::{self, Strict};
use touchstone_resilience::{Instant, lease};

/// Every admission of the trailing period.
struct Log {
    period: u64,
    admitted: VecDeque<(u64, u64)>,
    sum: u64,
    most: u64,
}

impl Log {
    fn new(period: Duration) -> Self {
        Self {
            period: period.as_micros() as u64,
            admitted: VecDeque::new(),
            sum: 0,
            most: 0,
        }
    }

    /// Adds an admission; afterwards `most` is the largest sum of any trailing period so far. The
    /// period is half open: two instants exactly a period apart are not both in it.
    fn admit(&mut self, now: u64, cost: u64) {
        while let Some((then, cost)) = self.admitted.front().copied() {
            if then + self.period > now {
                break;
            }
            self.sum -= cost;
            self.admitted.pop_front();
        }
        self.admitted.push_back((now, cost));
        self.sum += cost;
        self.most = self.most.max(self.sum);
    }
}

/// Demand that looks for weak places: floods, silences of about a period or a part, single
/// requests just after an edge.
fn adversary(draws: &Draws, now: u64, period: u64) -> u64 {
    let part = period / 12;
    let jump = match draws.below(20) {
        0 => period,
        1 => part,
        2 => period - part,
        // To just before, on or after the next edge of a part.
        3..=5 => part - now % part + draws.below(3) as u64 - 1,
        6..=9 => draws.below(part as usize) as u64,
        _ => 0,
    };
    now + jump
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn strict_windows_never_exceed_their_limit(
        seed: u64, limit in 1u32..200, period_millis in 1u64..100_000, cost_most in 1usize..5,
    ) {
        let period = Duration::from_millis(period_millis * 12);
        let long = period * 7;
        let windows = [
            window::Window { limit, period },
            window::Window { limit: limit * 3, period: long },
        ];
        let strict = Strict::new(windows);
        let mut state = strict.fresh();
        let mut logs = [Log::new(period), Log::new(long)];
        let draws = Draws::new(seed);
        let mut now = draws.bits() >> 20;
        for _ in 0..20_000 {
            now = adversary(&draws, now, period.as_micros() as u64);
            let cost = draws.below(cost_most) as u64 + 1;
            if strict.decide(&mut state, Instant::from_micros(now), cost).is_admitted() {
                logs.iter_mut().for_each(|log| log.admit(now, cost));
            }
        }
        prop_assert!(logs[0].most <= u64::from(limit), "{} of {limit}", logs[0].most);
        prop_assert!(logs[1].most <= u64::from(limit) * 3, "{} of {}", logs[1].most, limit * 3);
    }

    #[test]
    fn strict_windows_admit_nearly_all_of_their_limit_under_constant_demand(
        limit in 100u32..5000, offset in 0u64..100_000_000,
    ) {
        let period = Duration::from_mins(1);
        let strict = Strict::new([window::Window { limit, period }]);
        let mut state = strict.fresh();
        let mut admitted = 0u64;
        let periods = 13 * 4;
        // Twice as much demand as is allowed.
        let gap = period.as_micros() as u64 / (u64::from(limit) * 2);
        for n in 0..u64::from(limit) * 2 * periods {
            let now = Instant::from_micros(offset + n * gap);
            admitted += u64::from(strict.decide(&mut state, now, 1).is_admitted());
        }
        let share = admitted as f64 / (u64::from(limit) * periods) as f64;
        prop_assert!(share >= 0.92, "{share}");
    }

    #[test]
    fn gcra_admits_at_most_limit_and_burst(
        seed: u64, limit in 1u64..500, burst in 1u64..300, period_millis in 100u64..100_000,
    ) {
        let period = Duration::from_millis(period_millis);
        let long = period * 5;
        let windows = [
            gcra::Window { limit, period, burst },
            gcra::Window { limit: limit * 2, period: long, burst: burst * 2 },
        ];
        let gcra = Gcra::new(windows);
        let mut state = gcra.fresh();
        let mut logs = [Log::new(period), Log::new(long)];
        let draws = Draws::new(seed);
        let mut now = draws.bits() >> 20;
        for _ in 0..20_000 {
            now = adversary(&draws, now, period.as_micros() as u64);
            let cost = draws.below(burst.min(4) as usize) as u64 + 1;
            if gcra.decide(&mut state, Instant::from_micros(now), cost).is_admitted() {
                logs.iter_mut().for_each(|log| log.admit(now, cost));
            }
        }
        for (log, window) in logs.iter().zip(&windows) {
            prop_assert!(log.most <= window.bound(), "{} of {}", log.most, window.bound());
        }
    }

    #[test]
    fn told_waits_are_exact(seed: u64, limit in 1u32..50) {
        let period = Duration::from_mins(1);
        let strict = Strict::new([window::Window { limit, period }]);
        let gcra = Gcra::new([gcra::Window { limit: limit.into(), period, burst: 3 }]);
        let (mut rings, mut tats) = (strict.fresh(), gcra.fresh());
        let draws = Draws::new(seed);
        let mut now = Instant::from_micros(draws.bits() >> 20);
        for _ in 0..200 {
            for retry_after in [
                wait(strict.decide(&mut rings.clone(), now, 1)),
                wait(gcra.decide(&mut tats.clone(), now, 1)),
            ]
            .into_iter()
            .flatten()
            {
                prop_assert!(!retry_after.is_zero());
            }
            if let Some(retry_after) = wait(strict.decide(&mut rings, now, 1)) {
                let early = retry_after.checked_sub(Duration::from_micros(1)).unwrap();
                prop_assert!(!strict.decide(&mut rings.clone(), now + early, 1).is_admitted());
                prop_assert!(strict.decide(&mut rings.clone(), now + retry_after, 1).is_admitted());
            }
            if let Some(retry_after) = wait(gcra.decide(&mut tats, now, 1)) {
                let early = retry_after.checked_sub(Duration::from_micros(1)).unwrap();
                prop_assert!(!gcra.decide(&mut tats.clone(), now + early, 1).is_admitted());
                prop_assert!(gcra.decide(&mut tats.clone(), now + retry_after, 1).is_admitted());
            }
            now = now + draws.up_to(period / limit);
        }
    }

    #[test]
    fn leases_of_several_holders_keep_their_bounds(seed: u64, limit in 24u64..2000) {
        let period = Duration::from_mins(1);
        let holders = 3;
        let size = lease::size(limit, holders as u64);
        let window = window::Window { limit: limit as u32, period };
        let strict = Strict::new([window]);
        let burst = size * 2;
        let gcra = Gcra::new([gcra::Window { limit, period, burst }]);
        let term = Duration::from_secs(5);
        let (mut rings, mut tats) = (strict.fresh(), gcra.fresh());
        let mut strict_leases: Vec<Option<lease::Lease>> = vec![None; holders];
        let mut gcra_leases: Vec<Option<lease::Lease>> = vec![None; holders];
        let (mut strict_log, mut gcra_log) = (Log::new(period), Log::new(period));
        let draws = Draws::new(seed);
        let mut now = draws.bits() >> 20;
        for _ in 0..20_000 {
            now = adversary(&draws, now, 60_000_000);
            let at = Instant::from_micros(now);
            let holder = draws.below(holders);

            let held = &mut strict_leases[holder];
            if held.is_none_or(|lease| lease.left(at) == 0) {
                if let Some((charged_at, rest)) = held.take().map(lease::Lease::rest) {
                    strict.refund(&mut rings, charged_at, rest);
                }
                *held = lease::of_strict(&strict, &mut rings, at, size);
            }
            if held.as_mut().is_some_and(|lease| lease.spend(at, 1)) {
                strict_log.admit(now, 1);
            }

            let held = &mut gcra_leases[holder];
            if held.is_none_or(|lease| lease.left(at) == 0) {
                *held = lease::of_gcra(&gcra, &mut tats, at, size, term);
            }
            if held.as_mut().is_some_and(|lease| lease.spend(at, 1)) {
                gcra_log.admit(now, 1);
            }
        }
        prop_assert!(strict_log.most <= limit, "{} of {limit}", strict_log.most);
        let bound = limit + burst + holders as u64 * size;
        prop_assert!(gcra_log.most <= bound, "{} of {bound}", gcra_log.most);
    }
}

fn wait(verdict: gcra::Verdict) -> Option<Duration> {
    match verdict {
        gcra::Verdict::Admitted => None,
        gcra::Verdict::Denied { retry_after, .. } => Some(retry_after.unwrap()),
    }
}
