//! The flood governor: decides when the next call may go, so that Telegram never has to say so.
//!
//! An account has a rate that its owner sets. A method has a limit as soon as it was told
//! `FLOOD_WAIT`: from then on every call and every further flood narrows down what the limit may be
//! (`Belief`). While little is known, the pace grows with what was admitted; later it is the slowest
//! rate that may be true, and a little more is tried rarely, the more rarely the more often in vain.

mod belief;

use std::collections::HashMap;
use std::time::Duration;

use belief::Belief;

/// Slowest limit that is thought of, calls per second.
const SLOWEST: f64 = 1.0 / 600.0;

/// How much faster than what certainly may be is tried while little is known.
const RAMP: f64 = 4.0;

/// Where between the slowest and the fastest rate that may be true the next trial lies.
const TRIAL: f64 = 0.5;

/// The limit is known when the fastest rate that may be true is so much above the slowest.
const KNOWN: f64 = 1.1;

/// Calls without a flood after which more is tried.
const PATIENCE: u64 = 2_000;

/// At most so many, after trials that were in vain.
const LONGEST_PATIENCE: u64 = 16_000;

/// So many, after a trial that was not: a limit that was raised was raised for a reason.
const EAGERNESS: u64 = 200;

/// How much more is tried then, as a factor; its square after each trial that was not in vain.
const MORE: f64 = 1.1;
const MOST_MORE: f64 = 2.0;

/// Share of a pace that met a flood which is not gone over before more is tried.
const CUT: f64 = 0.8;

/// Time for which a late call may make up, and share of what the limit holds that it may take.
const LATE: f64 = 0.1;
const LATE_SHARE: f64 = 0.25;

/// Calls of a method under way at once: a flood may meet them all, and each makes the wait longer.
const AT_ONCE: u32 = 2;

/// When somebody who waits for one of them looks again.
pub const AGAIN: Duration = Duration::from_millis(5);

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

#[derive(Debug)]
struct Method {
    blocked_until: Moment,
    belief: Belief,
    /// What goes out, once there was a flood.
    learned: Option<Bucket>,
    /// Not faster than this, whatever is believed: it met a flood.
    most: f64,
    /// The pace before more was tried.
    good: f64,
    /// The last flood, the seconds that it asked for, and calls that were admitted since.
    flooded_at: Moment,
    asked: f64,
    admitted: u64,
    /// Calls that were admitted since the last flood, or the last trial.
    calm: u64,
    /// How many there have to be before more is tried, unless it is an eager time.
    patience: u64,
    /// Whether more is being tried.
    trying: bool,
    /// Whether the latest trial was not in vain.
    eager: bool,
    /// How much more is tried next.
    more: f64,
    /// Calls that may be under way.
    at_once: u32,
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

    /// Asks for a call: zero when it may go now, and is counted until it is [`landed`](Self::landed);
    /// else the time to wait before asking again.
    pub fn ask(&mut self, method: &str, now: Moment) -> Duration {
        let rate = self.account.rate;
        let known = self.methods.entry(method.to_owned());
        let known = known.or_insert_with(|| Method::new(rate));
        let mut wait = known.blocked_until.saturating_sub(now);
        if known.belief.under_way() >= known.at_once {
            wait = wait.max(AGAIN);
        }
        if let Some(learned) = &mut known.learned {
            wait = wait.max(learned.wait(now));
        }
        wait = wait.max(self.account.wait(now));
        if wait.is_zero() {
            self.account.tokens -= 1.0;
            if let Some(learned) = &mut known.learned {
                learned.tokens -= 1.0;
            }
            known.belief.sent(now);
            self.calls += 1;
        }
        wait
    }

    /// Takes note of a call that Telegram answered, before it is landed.
    pub fn answered(&mut self, method: &str, now: Moment) {
        if let Some(known) = self.methods.get_mut(method) {
            if !known.belief.admitted(now) {
                // More than could be.
                known.belief.forget();
                known.most = known
                    .learned
                    .map_or(f64::INFINITY, |it| it.rate * MOST_MORE);
            }
            known.calm += 1;
            known.admitted += 1;
            known.pace(now);
        }
    }

    /// Nothing more comes of a call that went out.
    pub fn landed(&mut self, method: &str) {
        if let Some(known) = self.methods.get_mut(method) {
            known.belief.landed();
        }
    }

    /// Takes note of `FLOOD_WAIT_<seconds>` on a call that went out at `sent`, before it is landed.
    pub fn flooded(&mut self, method: &str, seconds: u32, sent: Moment, now: Moment) {
        self.floods += 1;
        let Some(known) = self.methods.get_mut(method) else {
            return;
        };
        let asked = Duration::from_secs(u64::from(seconds)) + MARGIN;
        known.asked = asked.as_secs_f64();
        if now < known.blocked_until {
            // A call that was under way when the first flood came tells nothing new but its wait.
            known.belief.refused_too(now);
        } else if known.learned.is_some() && known.admitted == 0 {
            // The promise was not kept: this limit's waits say nothing of how it refills.
            known.belief.taken_back(now);
        } else {
            known.flooded(sent, now);
        }
        known.blocked_until = known.blocked_until.max(now + asked);
        if let Some(learned) = &mut known.learned {
            // After the wait one call is promised, no more.
            learned.at = known.blocked_until;
            learned.tokens = 1.0;
        }
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

impl Method {
    fn new(rate: f64) -> Self {
        Self {
            blocked_until: Moment::ZERO,
            belief: Belief::new(SLOWEST.min(rate), rate * KNOWN),
            learned: None,
            most: f64::INFINITY,
            good: f64::INFINITY,
            flooded_at: Moment::ZERO,
            asked: f64::INFINITY,
            admitted: 0,
            calm: 0,
            patience: PATIENCE,
            trying: false,
            eager: false,
            more: MORE,
            at_once: AT_ONCE,
        }
    }

    fn flooded(&mut self, sent: Moment, now: Moment) {
        let depth = self.belief.holds();
        if !self.belief.refused(sent, now) {
            self.belief.forget();
            self.belief.empty_at(depth);
        }
        (self.flooded_at, self.admitted, self.calm) = (now, 0, 0);
        let high = self.belief.range().map_or(0.0, |(_, high)| high);
        let before = self.learned.replace(Bucket::new(SLOWEST, 1.0, now));
        if std::mem::take(&mut self.trying) {
            (self.more, self.eager) = (MORE, false);
            self.patience = (self.patience * 2).min(LONGEST_PATIENCE);
            self.most = self.good;
        } else if let Some(before) = before
            && high >= before.rate
        {
            // What is believed does not explain it.
            self.most = before.rate * CUT;
        }
        self.pace(now);
    }

    /// Sets the pace by what is known.
    fn pace(&mut self, now: Moment) {
        let Some(learned) = &mut self.learned else {
            return;
        };
        let Some((mut low, mut high)) = self.belief.range() else {
            return;
        };
        if self.trying && low > self.good {
            // It was not in vain.
            (self.trying, self.eager) = (false, true);
            (self.calm, self.patience) = (0, PATIENCE);
            self.more = (self.more * self.more).min(MOST_MORE);
        }
        let enough = if self.eager { EAGERNESS } else { self.patience };
        if self.calm >= enough {
            (self.calm, self.trying) = (0, true);
            self.good = learned.rate;
            self.most *= self.more;
            if high <= low * KNOWN {
                self.belief.widen(self.more);
                (low, high) = self.belief.range().unwrap_or((low, high));
            }
        }
        let rate = if high <= low * KNOWN {
            self.at_once = AT_ONCE;
            low
        } else {
            self.at_once = 1;
            // One call for each wait is promised.
            let passed = now.saturating_sub(self.flooded_at).as_secs_f64();
            let admitted = self.admitted.max(1) as f64 / passed.max(self.asked);
            (low + TRIAL * (high - low)).min(low.max(admitted) * RAMP)
        };
        learned.refill(now);
        let rate = rate.min(self.most).max(SLOWEST);
        learned.rate = rate;
        learned.burst = 1.0 + (rate * LATE).min(self.belief.holds() * LATE_SHARE);
    }
}

#[cfg(test)]
mod tests;
