//! What may be true of a limit that nobody tells.
//!
//! The limit is taken for a bucket of unknown size that refills at an unknown rate. For each rate that
//! it may have, the calls that went out say how far the bucket was drawn down at any moment. A call
//! that was admitted says that the bucket holds that much, one that was refused that it does not. A
//! rate for which both cannot be is not the limit's. What is left is an interval; it shrinks with every
//! call that is made faster than its lower end, and with every refusal.

use std::time::Duration;

/// Rates that are kept in mind.
const RATES: usize = 192;

/// Rates that may be true are looked at more closely when so few are left.
const FEW: usize = 24;

/// Nearest neighbours, as a factor.
const NEAREST: f64 = 1.002;

/// What times and lengths of the network leave open, in calls.
const SLACK: f64 = 0.25;

/// And in shares of what a bucket holds.
const SLACK_SHARE: f64 = 0.02;

/// A bucket that refuses a call is drawn down by more than the call.
const FULL: f64 = 1.01;

/// A rate that may be true, and what follows if it is.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// Calls per second.
    rate: f64,
    /// How far the bucket is drawn down, in calls.
    drawn: f64,
    /// Seconds since it was full.
    busy: f64,
    /// So far it was drawn down, and admitted that.
    holds: f64,
    /// So far it would have been drawn down, and refused that.
    refuses: f64,
    /// The same of the latest refusal.
    latest: f64,
}

impl Candidate {
    fn new(rate: f64) -> Self {
        Self {
            rate,
            drawn: 0.0,
            busy: 0.0,
            holds: 0.0,
            refuses: f64::INFINITY,
            latest: f64::INFINITY,
        }
    }

    fn may_be(&self) -> bool {
        let refuses = self.refuses.min(self.latest);
        // Every bucket that is full admits a call.
        refuses > FULL && self.holds < refuses + SLACK + SLACK_SHARE * self.holds
    }

    /// What its neighbours would have drawn otherwise, as far as they are `step` away.
    fn vague(&self, step: f64) -> f64 {
        self.rate * step * self.busy
    }

    fn untake(&mut self) {
        self.drawn = (self.drawn - 1.0).max(0.0);
    }
}

/// The rates that may be true.
#[derive(Debug, Clone)]
pub(super) struct Belief {
    /// Ascending.
    candidates: Vec<Candidate>,
    /// How far the truth may be from the nearest, as a share.
    step: f64,
    slowest: f64,
    fastest: f64,
    at: Duration,
    /// Calls without an answer yet.
    under_way: u32,
}

impl Belief {
    /// Everything between two rates may be true.
    pub(super) fn new(slowest: f64, fastest: f64) -> Self {
        Self {
            candidates: grid(slowest, fastest).map(Candidate::new).collect(),
            step: half_step(slowest, fastest),
            slowest,
            fastest,
            at: Duration::ZERO,
            under_way: 0,
        }
    }

    /// A call goes out.
    pub(super) fn sent(&mut self, now: Duration) {
        self.advance(now);
        self.under_way += 1;
        for candidate in &mut self.candidates {
            candidate.drawn += 1.0;
        }
    }

    /// Calls without an answer yet.
    pub(super) fn under_way(&self) -> u32 {
        self.under_way
    }

    /// Nothing more is heard of a call.
    pub(super) fn landed(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A call was admitted; it has not landed yet. Tells whether that can be at all.
    pub(super) fn admitted(&mut self, now: Duration) -> bool {
        self.advance(now);
        // Others that are under way may not have been.
        let others = f64::from(self.under_way.saturating_sub(1));
        for candidate in &mut self.candidates {
            let sure = candidate.drawn - others - candidate.vague(self.step);
            candidate.holds = candidate.holds.max(sure);
        }
        self.look_closer();
        self.range().is_some()
    }

    /// A call that went out at `sent` was refused. Tells whether that can be at all.
    pub(super) fn refused(&mut self, sent: Duration, now: Duration) -> bool {
        self.advance(now);
        let since = now.saturating_sub(sent).as_secs_f64();
        for candidate in &mut self.candidates {
            let then = candidate.drawn + candidate.rate * since;
            candidate.refuses = candidate.refuses.min(candidate.latest);
            candidate.latest = then + candidate.vague(self.step);
            candidate.untake();
        }
        self.look_closer();
        self.range().is_some()
    }

    /// A call was not counted over there, for reasons of its own.
    pub(super) fn taken_back(&mut self, now: Duration) {
        self.advance(now);
        self.candidates.iter_mut().for_each(Candidate::untake);
    }

    /// A call was refused that was under way at the latest refusal: it was not drawn.
    pub(super) fn refused_too(&mut self, now: Duration) {
        self.taken_back(now);
        for candidate in &mut self.candidates {
            candidate.latest = (candidate.latest - 1.0).max(1.0);
        }
    }

    /// The slowest and the fastest rate that may be true.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let (low, high) = self.places()?;
        Some((self.candidates[low].rate, self.candidates[high].rate))
    }

    /// What a bucket of the slowest rate that may be true has admitted at once.
    pub(super) fn holds(&self) -> f64 {
        self.places()
            .map_or(0.0, |(low, _)| self.candidates[low].holds)
    }

    /// Rates up to `factor` above those that may be true may be true again: limits are raised.
    pub(super) fn widen(&mut self, factor: f64) {
        let Some((low, high)) = self.places() else {
            return;
        };
        // What it holds is as before, as far as that is known.
        let top = Candidate {
            refuses: self.candidates[low]
                .refuses
                .min(self.candidates[low].latest),
            latest: f64::INFINITY,
            ..self.candidates[high]
        };
        let end = (top.rate * factor).min(self.fastest);
        if end <= top.rate {
            return;
        }
        self.candidates.truncate(high + 1);
        self.candidates.drain(..low.saturating_sub(1));
        let more = RATES.saturating_sub(self.candidates.len()).max(FEW);
        let step = (end / top.rate).powf(1.0 / more as f64);
        let above = (1..=more).map(|number| Candidate {
            rate: top.rate * step.powf(number as f64),
            ..top
        });
        self.candidates.extend(above);
        self.step = self.step.max(step.ln() / 2.0);
    }

    /// Nothing that was thought may be true: the limit has changed, or it is no bucket.
    pub(super) fn forget(&mut self) {
        self.candidates = grid(self.slowest, self.fastest)
            .map(Candidate::new)
            .collect();
        self.step = half_step(self.slowest, self.fastest);
    }

    /// The bucket admits nothing at this depth, or at that of one call. That is where it is now.
    pub(super) fn empty_at(&mut self, depth: f64) {
        let depth = depth.max(1.0);
        for candidate in &mut self.candidates {
            candidate.drawn = depth;
            candidate.latest = depth + 1.0;
        }
    }

    fn places(&self) -> Option<(usize, usize)> {
        let low = self.candidates.iter().position(Candidate::may_be)?;
        let high = self.candidates.iter().rposition(Candidate::may_be)?;
        Some((low, high))
    }

    fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        if passed > 0.0 {
            for candidate in &mut self.candidates {
                candidate.drawn = (candidate.drawn - candidate.rate * passed).max(0.0);
                candidate.busy = if candidate.drawn > 0.0 {
                    candidate.busy + passed
                } else {
                    0.0
                };
            }
            self.at = now;
        }
    }

    /// Puts all candidates where the truth may be.
    fn look_closer(&mut self) {
        let Some((low, high)) = self.places() else {
            return;
        };
        if high - low >= FEW {
            return;
        }
        let (low, high) = (
            low.saturating_sub(1),
            (high + 1).min(self.candidates.len() - 1),
        );
        let (from, to) = (self.candidates[low].rate, self.candidates[high].rate);
        if to <= from * NEAREST.powf(RATES as f64) {
            return;
        }
        self.candidates = grid(from, to).map(|rate| self.between(rate)).collect();
        self.step = half_step(from, to);
    }

    /// What holds for a rate between candidates.
    fn between(&self, rate: f64) -> Candidate {
        let after = self.candidates.partition_point(|one| one.rate < rate);
        let last = self.candidates.len() - 1;
        let (before, after) = (after.saturating_sub(1).min(last), after.min(last));
        let (one, other) = (self.candidates[before], self.candidates[after]);
        let width = other.rate - one.rate;
        let share = if width > 0.0 {
            (rate - one.rate) / width
        } else {
            0.0
        };
        let mix = |one: f64, other: f64| {
            // Without the first condition endless times nothing.
            if share > 0.0 && one.is_finite() {
                one + share * (other - one)
            } else {
                one
            }
        };
        Candidate {
            rate,
            drawn: mix(one.drawn, other.drawn),
            busy: mix(one.busy, other.busy),
            holds: mix(one.holds, other.holds),
            refuses: mix(one.refuses, other.refuses),
            latest: mix(one.latest, other.latest),
        }
    }
}

/// Half a step of a grid, as a share.
fn half_step(from: f64, to: f64) -> f64 {
    (to / from).ln() / (RATES - 1) as f64 / 2.0
}

/// Rates from one to another, in equal steps of their logarithms.
fn grid(from: f64, to: f64) -> impl Iterator<Item = f64> {
    let step = (to / from).powf(1.0 / (RATES - 1) as f64);
    (0..RATES).map(move |number| from * step.powf(number as f64))
}
