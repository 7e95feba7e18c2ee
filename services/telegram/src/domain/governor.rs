//! The flood governor: decides when the next call may go, so that Telegram never has to say so.
//!
//! An account has a rate that its owner sets; each method has one that is learned. Telegram tells no
//! limits, only `FLOOD_WAIT` when one was passed. At that moment the method's bucket over there is
//! empty. Between two such moments exactly as many calls were admitted as the bucket refilled, so
//! their number over the time between is the rate; from there on the governor stays a little below,
//! and looks for more only rarely.

use std::collections::HashMap;
use std::time::Duration;

/// Share of a rate that is used once the rate is known.
const BELOW: f64 = 0.92;

/// Factor on the rate when a limit shows for the first time: nothing is known of it yet.
const FIRST_CUT: f64 = 0.6;

/// Calls without a flood after which more is tried.
const PATIENCE: u64 = 2_000;

/// How far the next trial goes towards the rate that was too much.
const TOWARDS: f64 = 0.3;

/// How much more is tried where that is near already.
const MORE: f64 = 1.02;

/// A rate is measured over at least so many calls.
const MEASURED: u64 = 8;

/// Slowest rate that is ever learned, calls per second.
const SLOWEST: f64 = 1.0 / 600.0;

/// Extra time after a wait that was asked for: clocks differ.
const MARGIN: Duration = Duration::from_millis(500);

/// Time since the governor was made.
pub type Moment = Duration;

/// When calls may go.
#[derive(Debug)]
pub struct Governor {
    account: Bucket,
    methods: HashMap<String, Method>,
    floods: u64,
    calls: u64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Calls per second.
    rate: f64,
    /// Calls at once.
    burst: f64,
    tokens: f64,
    at: Moment,
}

#[derive(Debug, Default)]
struct Method {
    blocked_until: Moment,
    learned: Option<Bucket>,
    /// The last flood, and calls that were admitted since.
    last_flood: Option<Moment>,
    admitted: u64,
    calm: u64,
    /// The rate at which the last flood came.
    too_much: f64,
}

/// How the governor stands, for health and metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Calls that went out.
    pub calls: u64,
    /// Floods that were met.
    pub floods: u64,
    /// Methods with a learned rate, in calls per second, by name.
    pub learned: Vec<(String, f64)>,
    /// The latest end of a wait that Telegram asked for.
    pub blocked_until: Option<Moment>,
}

impl Bucket {
    fn new(rate: f64, burst: f64, now: Moment) -> Self {
        Self {
            rate,
            burst,
            tokens: burst,
            at: now,
        }
    }

    fn refill(&mut self, now: Moment) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.at = self.at.max(now);
    }

    /// Time until a call may go.
    fn wait(&mut self, now: Moment) -> Duration {
        self.refill(now);
        // The last bits of a float must not cost another round.
        let missing = 1.0 - self.tokens;
        if missing <= 1e-9 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(missing / self.rate)
        }
    }
}

impl Governor {
    /// A governor for an account that may make `rate` calls per second.
    pub fn new(rate: f64) -> Self {
        Self {
            account: Bucket::new(rate, rate.max(1.0), Duration::ZERO),
            methods: HashMap::new(),
            floods: 0,
            calls: 0,
        }
    }

    /// Asks for a call: zero when it may go now, and is counted; else the time to wait before asking
    /// again.
    pub fn ask(&mut self, method: &str, now: Moment) -> Duration {
        let known = self.methods.entry(method.to_owned()).or_default();
        let mut wait = known.blocked_until.saturating_sub(now);
        if let Some(learned) = &mut known.learned {
            wait = wait.max(learned.wait(now));
        }
        wait = wait.max(self.account.wait(now));
        if wait.is_zero() {
            self.account.tokens -= 1.0;
            if let Some(learned) = &mut known.learned {
                learned.tokens -= 1.0;
            }
            self.calls += 1;
        }
        wait
    }

    /// Takes note of a call that Telegram answered.
    pub fn answered(&mut self, method: &str, now: Moment) {
        let known = self.methods.entry(method.to_owned()).or_default();
        known.admitted += 1;
        known.calm += 1;
        if known.calm >= PATIENCE
            && let Some(learned) = &mut known.learned
        {
            learned.refill(now);
            let towards = learned.rate + TOWARDS * (known.too_much - learned.rate);
            learned.rate = towards.max(learned.rate * MORE);
            known.calm = 0;
        }
    }

    /// Takes note of `FLOOD_WAIT_<seconds>`.
    pub fn flooded(&mut self, method: &str, seconds: u32, now: Moment) {
        self.floods += 1;
        let asked = Duration::from_secs(u64::from(seconds)) + MARGIN;
        let known = self.methods.entry(method.to_owned()).or_default();
        if now < known.blocked_until {
            // A call that was under way when the first flood came tells nothing new but its wait.
            known.blocked_until = known.blocked_until.max(now + asked);
            return;
        }
        let before = known
            .learned
            .map_or(self.account.rate, |learned| learned.rate);
        let measured = known.last_flood.and_then(|last| {
            let passed = now.saturating_sub(last).as_secs_f64();
            let open = now.saturating_sub(known.blocked_until).as_secs_f64();
            // During the wait the bucket filled up to a size that nobody told: the rate is between
            // what counts that time in full and what does not count it.
            let enough = known.admitted >= MEASURED && open > 0.0;
            enough.then(|| known.admitted as f64 / (passed * open).sqrt())
        });
        let rate = match measured {
            Some(measured) => measured.min(before) * BELOW,
            None => before * FIRST_CUT,
        };
        known.blocked_until = now + asked;
        // No burst: the other side's bucket is empty, and how large it is was never told.
        let mut learned = Bucket::new(rate.max(SLOWEST), 1.0, known.blocked_until);
        learned.tokens = 0.0;
        known.learned = Some(learned);
        known.too_much = before;
        known.last_flood = Some(now);
        known.admitted = 0;
        known.calm = 0;
    }

    /// How the governor stands.
    pub fn standing(&self, now: Moment) -> Standing {
        let mut learned: Vec<_> = self
            .methods
            .iter()
            .filter_map(|(name, method)| Some((name.clone(), method.learned?.rate)))
            .collect();
        learned.sort_by(|a, b| a.0.cmp(&b.0));
        let blocked = self
            .methods
            .values()
            .map(|method| method.blocked_until)
            .max();
        Standing {
            calls: self.calls,
            floods: self.floods,
            learned,
            blocked_until: blocked.filter(|until| *until > now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A limit that the governor is not told: a bucket whose penalty doubles for who does not wait.
    struct Hidden {
        bucket: Bucket,
        until: Moment,
        wait: u32,
        strikes: u32,
        worst: u32,
    }

    impl Hidden {
        fn new(rate: f64, burst: f64, wait: u32) -> Self {
            Self {
                bucket: Bucket::new(rate, burst, Duration::ZERO),
                until: Duration::ZERO,
                wait,
                strikes: 0,
                worst: 0,
            }
        }

        fn call(&mut self, now: Moment) -> Option<u32> {
            self.bucket.refill(now);
            if now >= self.until && self.bucket.tokens >= 1.0 {
                self.bucket.tokens -= 1.0;
                return None;
            }
            self.strikes = if now < self.until {
                self.strikes + 1
            } else {
                0
            };
            let wait = self.wait << self.strikes.min(16);
            self.worst = self.worst.max(wait);
            self.until = now + Duration::from_secs(u64::from(wait));
            Some(wait)
        }
    }

    /// Calls for `hours`; returns calls, floods, and the calls that the best schedule makes.
    fn run(governor: &mut Governor, hidden: &mut Hidden, hours: u64) -> (u64, u64, f64) {
        let end = Duration::from_secs(hours * 3_600);
        let best = hidden.bucket.burst + hidden.bucket.rate * end.as_secs_f64();
        let (mut now, mut calls, mut floods) = (Duration::ZERO, 0, 0);
        while now < end {
            let wait = governor.ask("m", now);
            if !wait.is_zero() {
                now += wait;
                continue;
            }
            match hidden.call(now) {
                Some(seconds) => {
                    floods += 1;
                    governor.flooded("m", seconds, now);
                }
                None => {
                    calls += 1;
                    governor.answered("m", now);
                }
            }
        }
        (calls, floods, best)
    }

    #[test]
    fn limits_that_nobody_told_are_found_and_kept() {
        for (rate, burst, wait) in [
            (1.0, 5.0, 3),
            (0.5, 30.0, 10),
            (0.2, 1.0, 30),
            (1.5, 100.0, 60),
            (0.9, 20.0, 1),
        ] {
            let mut governor = Governor::new(2.0);
            let mut hidden = Hidden::new(rate, burst, wait);
            let (calls, floods, best) = run(&mut governor, &mut hidden, 24);
            let share = calls as f64 / best.min(2.0 * 24.0 * 3_600.0);
            let each = floods as f64 * 1_000.0 / calls as f64;
            let what = format!("{rate}/{burst}/{wait}: {share:.3} of the best, {each:.2} floods");
            assert!(share >= 0.8, "{what}");
            assert!(each <= 1.0, "{what}");
            assert_eq!(hidden.worst, wait, "no escalation: {what}");
        }
    }

    #[test]
    fn without_a_limit_the_owners_rate_is_used_up() {
        let mut governor = Governor::new(2.0);
        let mut hidden = Hidden::new(1_000.0, 1_000.0, 1);
        let (calls, floods, _) = run(&mut governor, &mut hidden, 1);
        assert_eq!(floods, 0);
        assert!((7_200..=7_202).contains(&calls), "{calls}");
    }

    #[test]
    fn a_flood_of_one_method_leaves_the_others_alone() {
        let mut governor = Governor::new(2.0);
        assert!(governor.ask("a", Duration::ZERO).is_zero());
        governor.flooded("a", 30, Duration::ZERO);
        assert!(governor.ask("b", Duration::ZERO).is_zero());
        let wait = governor.ask("a", Duration::from_secs(1));
        assert!(wait >= Duration::from_secs(29), "{wait:?}");
        let standing = governor.standing(Duration::from_secs(1));
        assert_eq!((standing.calls, standing.floods), (2, 1));
        assert!(standing.blocked_until.is_some());
    }
}
