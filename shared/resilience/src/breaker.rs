//! Circuit breaker: stops asking an upstream that fails, and tries it again with one request.
//!
//! It opens after five failures in a row, or when less than 80 % of at least 20 calls of the last
//! ten seconds succeeded, or when more than half of them were slow to start. It stays open for 0.5 s,
//! doubled each time, ±50 %, at least for what the upstream asked for with `Retry-After`, and never for
//! more than 5 s: an upstream is away for a while and then back, and nobody else tells that it is. Then
//! exactly one request passes as a probe; its success closes the breaker. A probe that has told nothing
//! for 5 s is not waited for: another one passes, and the first of them that succeeds closes the breaker.
//!
//! What an upstream passes on of a service behind it, [`Outcome::Relayed`], is no failure of its own.
//! Whoever calls that service has a breaker for it; if this one opened as well, each of a chain of
//! breakers would begin to look for the end of a failure only when the one behind it had found it.
//!
//! While it is closed, a call costs one atomic load at its start and one atomic update at its end.

mod permit;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use permit::Permit;

use crate::outcome::Outcome;
use crate::random::Draws;
use crate::tally::Tally;
use crate::time::{Instant, micros};

const OK: u32 = 0;
const FAILED: u32 = 1;
const SLOW: u32 = 2;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Failures in a row that open it.
    pub failures_in_a_row: u32,
    /// Least share of calls that succeed, of the last ten seconds.
    pub success_share: f64,
    /// Most of the calls that may be slow to start, as a share.
    pub slow_share: f64,
    /// Calls of the last ten seconds below which shares say nothing.
    pub least_calls: u64,
    /// First time that it stays open.
    #[serde(with = "humantime_serde")]
    pub open_for: Duration,
    /// Longest time that it stays open, with variation and `Retry-After`; and that a probe is waited for.
    #[serde(with = "humantime_serde")]
    pub open_for_most: Duration,
    /// Share by which that time is varied, both ways.
    pub jitter: f64,
    /// Where the variation starts.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            success_share: 0.8,
            slow_share: 0.5,
            least_calls: 20,
            open_for: Duration::from_millis(500),
            open_for_most: Duration::from_secs(5),
            jitter: 0.5,
            seed: 0,
        }
    }
}

/// Whether calls pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// They pass.
    Closed,
    /// None passes.
    Open,
    /// A probe is under way.
    HalfOpen,
}

/// Why a breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Too many failures in a row.
    FailuresInARow,
    /// Too small a share of successes.
    SuccessShare,
    /// Too many calls that were slow to start.
    SlowShare,
    /// The probe failed.
    ProbeFailed,
}

impl Reason {
    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailuresInARow => "failures_in_a_row",
            Self::SuccessShare => "success_share",
            Self::SlowShare => "slow_share",
            Self::ProbeFailed => "probe_failed",
        }
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It opened.
    Opened {
        /// Why.
        reason: Reason,
        /// For how long.
        lasts: Duration,
    },
    /// It closed.
    Closed,
}

/// No call passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When one may pass again.
    pub retry_after: Duration,
}

/// A breaker as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Whether calls pass.
    pub state: State,
    /// When a probe may pass, if it is open.
    pub opens_in_ms: Option<u64>,
    /// Failures in a row.
    pub failures_in_a_row: u32,
    /// Calls of the last ten seconds that succeeded.
    pub succeeded: u64,
    /// Calls of the last ten seconds that failed.
    pub failed: u64,
    /// Those that succeeded and were slow to start.
    pub slow: u64,
    /// How often it opened.
    pub opened_total: u64,
    /// Calls that it refused.
    pub refused_total: u64,
}

/// A breaker; clones are handles of the same one.
#[derive(Clone)]
pub struct Breaker {
    core: Arc<Core>,
}

struct Core {
    config: Config,
    /// State, epoch and end of the open time in one word, see [`Word`].
    word: AtomicU64,
    run: AtomicU32,
    tally: Tally,
    /// Times in a row that it opened without staying closed for long.
    openings: AtomicU32,
    /// When it closed last, in microseconds.
    closed_at: AtomicU64,
    draws: Draws,
    opened_total: AtomicU64,
    refused_total: AtomicU64,
}

/// The state in one word: 2 bits of state, 16 bits of epoch, 46 bits of milliseconds. The epoch
/// changes with the state, so that what comes back late is not taken for news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

impl Word {
    const CLOSED: u64 = 0;
    const OPEN: u64 = 1;
    const HALF_OPEN: u64 = 2;
    const MILLIS_BITS: u32 = 46;

    const fn new(state: u64, epoch: u64, until_millis: u64) -> Self {
        let millis = until_millis & ((1 << Self::MILLIS_BITS) - 1);
        Self((state << 62) | ((epoch & 0xFFFF) << Self::MILLIS_BITS) | millis)
    }

    const fn state(self) -> State {
        match self.0 >> 62 {
            Self::CLOSED => State::Closed,
            Self::OPEN => State::Open,
            _ => State::HalfOpen,
        }
    }

    const fn epoch(self) -> u64 {
        (self.0 >> Self::MILLIS_BITS) & 0xFFFF
    }

    const fn until(self) -> Instant {
        Instant::from_micros((self.0 & ((1 << Self::MILLIS_BITS) - 1)) * 1000)
    }
}

impl Breaker {
    /// A closed breaker.
    pub fn new(config: Config) -> Self {
        let core = Core {
            config,
            word: AtomicU64::new(Word::new(Word::CLOSED, 0, 0).0),
            run: AtomicU32::new(0),
            tally: Tally::default(),
            openings: AtomicU32::new(0),
            closed_at: AtomicU64::new(0),
            draws: Draws::new(config.seed),
            opened_total: AtomicU64::new(0),
            refused_total: AtomicU64::new(0),
        };
        Self {
            core: Arc::new(core),
        }
    }

    /// Asks for a call. What the call said goes to [`Permit::report`]; a permit that is dropped
    /// without a report says nothing, and gives a probe's place back.
    pub fn admit(&self, now: Instant) -> Result<Permit, Refused> {
        let word = self.core.load();
        if word.state() != State::Closed && self.core.may_probe(word, now) {
            // A probe that is not waited for any more may still close the breaker: the same epoch.
            let epoch = word.epoch() + u64::from(word.state() == State::Open);
            let probing = Word::new(Word::HALF_OPEN, epoch, now.as_micros() / 1000);
            if self.core.swap(word, probing) {
                return Ok(self.permit(probing, true));
            }
            // Another call became the probe, or has already closed the breaker.
        }
        self.admit_without_probe(now)
    }

    fn admit_without_probe(&self, now: Instant) -> Result<Permit, Refused> {
        let word = self.core.load();
        match word.state() {
            State::Closed => Ok(self.permit(word, false)),
            State::Open => Err(self.refuse(word.until().since(now))),
            State::HalfOpen => Err(self.refuse(self.core.config.open_for)),
        }
    }

    /// Whether [`Breaker::admit`] would pass a call now.
    pub fn is_ready(&self, now: Instant) -> bool {
        let word = self.core.load();
        word.state() == State::Closed || self.core.may_probe(word, now)
    }

    /// Whether the next call would be the probe.
    pub fn probe_is_due(&self, now: Instant) -> bool {
        let word = self.core.load();
        word.state() != State::Closed && self.core.may_probe(word, now)
    }

    /// When a call may pass; now, when one may pass already.
    pub fn ready_in(&self, now: Instant) -> Duration {
        let word = self.core.load();
        match word.state() {
            State::Closed => Duration::ZERO,
            State::Open => word.until().since(now),
            State::HalfOpen => self.core.config.open_for,
        }
    }

    /// The breaker as it is now.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let word = self.core.load();
        let [succeeded, failed, slow] = self.core.tally.totals(now);
        let state = word.state();
        Snapshot {
            state,
            opens_in_ms: (state == State::Open)
                .then(|| micros(word.until().since(now)).div_ceil(1000)),
            failures_in_a_row: self.core.run.load(Ordering::Relaxed),
            succeeded,
            failed,
            slow,
            opened_total: self.core.opened_total.load(Ordering::Relaxed),
            refused_total: self.core.refused_total.load(Ordering::Relaxed),
        }
    }

    fn permit(&self, word: Word, probe: bool) -> Permit {
        Permit::new(Arc::clone(&self.core), word, probe)
    }

    fn refuse(&self, retry_after: Duration) -> Refused {
        self.core.refused_total.fetch_add(1, Ordering::Relaxed);
        Refused { retry_after }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.core.load();
        f.debug_struct("Breaker")
            .field("state", &word.state())
            .finish_non_exhaustive()
    }
}

impl Core {
    fn load(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn swap(&self, from: Word, to: Word) -> bool {
        self.word
            .compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Whether a call may be the probe: when the open time is over, or when a probe has not told
    /// anything for the longest open time.
    fn may_probe(&self, word: Word, now: Instant) -> bool {
        match word.state() {
            State::Closed => false,
            State::Open => now >= word.until(),
            State::HalfOpen => now.since(word.until()) >= self.longest(),
        }
    }

    /// Longest open time; what is asked for at first is at least kept.
    fn longest(&self) -> Duration {
        self.config.open_for_most.max(self.config.open_for)
    }

    /// Takes the report of a call that passed while the breaker was closed.
    fn closed_report(&self, word: Word, now: Instant, outcome: Outcome) -> Option<Change> {
        let retry_after = match outcome {
            Outcome::Neutral | Outcome::Refused | Outcome::Relayed => return None,
            Outcome::Success => {
                self.end_run();
                self.tally.add(now, OK);
                return None;
            }
            Outcome::Slow => {
                self.end_run();
                self.tally.add(now, OK);
                self.tally.add(now, SLOW);
                None
            }
            Outcome::Failure { retry_after } => {
                self.run.fetch_add(1, Ordering::AcqRel);
                self.tally.add(now, FAILED);
                retry_after
            }
            Outcome::Overloaded { retry_after } => {
                self.tally.add(now, FAILED);
                retry_after
            }
        };
        let reason = self.reason_to_open(now)?;
        self.open(word, now, reason, retry_after)
    }

    fn end_run(&self) {
        // Read first: a store would take the line from every other core.
        if self.run.load(Ordering::Relaxed) != 0 {
            self.run.store(0, Ordering::Relaxed);
        }
    }

    fn reason_to_open(&self, now: Instant) -> Option<Reason> {
        if self.run.load(Ordering::Acquire) >= self.config.failures_in_a_row {
            return Some(Reason::FailuresInARow);
        }
        let [succeeded, failed, slow] = self.tally.totals(now);
        let calls = succeeded + failed;
        if calls < self.config.least_calls {
            return None;
        }
        if (succeeded as f64) < self.config.success_share * calls as f64 {
            return Some(Reason::SuccessShare);
        }
        (slow as f64 > self.config.slow_share * calls as f64).then_some(Reason::SlowShare)
    }

    /// Takes the report of the probe.
    fn probe_report(&self, word: Word, now: Instant, outcome: Outcome) -> Option<Change> {
        match outcome {
            Outcome::Success | Outcome::Slow | Outcome::Refused | Outcome::Relayed => {
                self.close(word, now)
            }
            Outcome::Failure { retry_after } | Outcome::Overloaded { retry_after } => {
                self.open(word, now, Reason::ProbeFailed, retry_after)
            }
            Outcome::Neutral => {
                self.give_back(word);
                None
            }
        }
    }

    /// A probe succeeded, the present one or one that is not waited for any more.
    fn close(&self, word: Word, now: Instant) -> Option<Change> {
        let mut current = self.load();
        while current.state() == State::HalfOpen && current.epoch() == word.epoch() {
            self.run.store(0, Ordering::Relaxed);
            self.tally.clear();
            self.closed_at.store(now.as_micros(), Ordering::Relaxed);
            let closed = Word::new(Word::CLOSED, word.epoch() + 1, 0);
            if self.swap(current, closed) {
                return Some(Change::Closed);
            }
            current = self.load();
        }
        None
    }

    /// The probe said nothing: the next call may be one.
    fn give_back(&self, word: Word) {
        let millis = micros(word.until().since(Instant::ZERO)) / 1000;
        self.swap(word, Word::new(Word::OPEN, word.epoch() + 1, millis));
    }

    fn open(
        &self,
        word: Word,
        now: Instant,
        reason: Reason,
        retry_after: Option<Duration>,
    ) -> Option<Change> {
        let closed_at = Instant::from_micros(self.closed_at.load(Ordering::Relaxed));
        let held = now.since(closed_at) >= crate::budget::Budget::WINDOW;
        let openings = self.openings.load(Ordering::Relaxed);
        let openings = if reason != Reason::ProbeFailed && held {
            0
        } else {
            openings
        };
        let longest = self.longest();
        let backoff = self.config.open_for.saturating_mul(1 << openings.min(31));
        // The variation stays within the longest time, so that those who have it are spread as well.
        let centre = backoff.min(longest.div_f64(1.0 + self.config.jitter));
        let lasts = self
            .draws
            .around(centre, self.config.jitter)
            .max(retry_after.unwrap_or_default().min(longest));
        let until_millis = (now + lasts).as_micros().div_ceil(1000);
        let opened = Word::new(Word::OPEN, word.epoch() + 1, until_millis);
        if !self.swap(word, opened) {
            // Another report opened it.
            return None;
        }
        self.openings.store(openings + 1, Ordering::Relaxed);
        self.opened_total.fetch_add(1, Ordering::Relaxed);
        Some(Change::Opened { reason, lasts })
    }
}
