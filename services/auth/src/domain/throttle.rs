use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

/// A fingerprint of an account or of an account with an address; never the text itself.
pub type Fingerprint = [u8; 32];

/// How failures slow attempts down.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleRules {
    /// Failures from one address to one account that cost nothing.
    pub free_attempts: u32,
    /// Failures to one account from addresses that it does not know that cost nothing.
    pub free_account_attempts: u32,
    /// The first delay; each further failure doubles it.
    pub first_delay: Duration,
    /// The longest delay.
    pub longest_delay: Duration,
    /// Failures are forgotten after so long without another one.
    pub forget_after: Duration,
    /// How many accounts and addresses are remembered at most.
    pub capacity: usize,
}

#[derive(Clone, Copy, Debug)]
struct Tally {
    failures: u32,
    last: DateTime<Utc>,
}

/// Slows password guessing down, per account and address, and per account.
///
/// Under suspicion (the free failures are used up) an attempt counts as failed from the moment it
/// begins, so that a thousand attempts in parallel are worth as much as a thousand in a row.
/// Addresses from which the account was opened before are held to their own count only: fifty
/// strangers cannot lock the owner out. State is in memory, per process.
#[derive(Debug)]
pub struct Throttle {
    rules: ThrottleRules,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pairs: HashMap<Fingerprint, Tally>,
    accounts: HashMap<Fingerprint, Tally>,
}

/// One attempt: which account, from where.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Fingerprint of the account's name, whether or not it exists.
    pub account: Fingerprint,
    /// Fingerprint of account and address together.
    pub pair: Fingerprint,
    /// Whether the account was opened from this address before.
    pub known_address: bool,
}

/// An attempt that was admitted; ends in exactly one of the three outcomes of [`Throttle`].
#[derive(Debug)]
#[must_use]
pub struct Ticket {
    attempt: Attempt,
    pair_counted: bool,
    account_counted: bool,
}

impl Throttle {
    /// Starts with nothing remembered.
    pub fn new(rules: ThrottleRules) -> Self {
        Self {
            rules,
            state: Mutex::default(),
        }
    }

    /// Admits an attempt.
    ///
    /// # Errors
    /// The time to wait.
    pub fn begin(&self, attempt: Attempt, now: DateTime<Utc>) -> Result<Ticket, Duration> {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = &self.rules;
        let pair = rules.failures(state.pairs.get(&attempt.pair), now);
        let account = if attempt.known_address {
            None
        } else {
            rules.failures(state.accounts.get(&attempt.account), now)
        };
        let wait = rules.wait(pair, rules.free_attempts, now).max(rules.wait(
            account,
            rules.free_account_attempts,
            now,
        ));
        if !wait.is_zero() {
            return Err(wait);
        }
        let suspect =
            |tally: Option<Tally>, free| tally.is_some_and(|tally| tally.failures >= free);
        let pair_counted = suspect(pair, rules.free_attempts);
        let account_counted = suspect(account, rules.free_account_attempts);
        if pair_counted {
            rules.count(&mut state.pairs, attempt.pair, now);
        }
        if account_counted {
            rules.count(&mut state.accounts, attempt.account, now);
        }
        Ok(Ticket {
            attempt,
            pair_counted,
            account_counted,
        })
    }

    /// The password was wrong.
    pub fn failed(&self, ticket: Ticket, now: DateTime<Utc>) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Ticket {
            attempt,
            pair_counted,
            account_counted,
        } = ticket;
        if !pair_counted {
            self.rules.count(&mut state.pairs, attempt.pair, now);
        }
        if !account_counted && !attempt.known_address {
            self.rules.count(&mut state.accounts, attempt.account, now);
        }
    }

    /// The password was right: the address starts afresh.
    pub fn succeeded(&self, ticket: Ticket) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pairs.remove(&ticket.attempt.pair);
        if ticket.account_counted {
            uncount(&mut state.accounts, ticket.attempt.account);
        }
    }

    /// The attempt never came to a comparison (the hasher was busy): it does not count.
    pub fn withdrawn(&self, ticket: Ticket) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if ticket.pair_counted {
            uncount(&mut state.pairs, ticket.attempt.pair);
        }
        if ticket.account_counted {
            uncount(&mut state.accounts, ticket.attempt.account);
        }
    }
}

impl ThrottleRules {
    /// A tally whose failures are not forgotten yet.
    fn failures(&self, tally: Option<&Tally>, now: DateTime<Utc>) -> Option<Tally> {
        tally
            .filter(|tally| passed(tally, now) < self.forget_after)
            .copied()
    }

    fn wait(&self, tally: Option<Tally>, free: u32, now: DateTime<Utc>) -> Duration {
        match tally {
            Some(tally) if tally.failures >= free => {
                let doublings = (tally.failures - free).min(30);
                let delay = self.first_delay.saturating_mul(1 << doublings);
                delay
                    .min(self.longest_delay)
                    .saturating_sub(passed(&tally, now))
            }
            _ => Duration::ZERO,
        }
    }

    fn count<K: Eq + Hash + Copy>(
        &self,
        tallies: &mut HashMap<K, Tally>,
        key: K,
        now: DateTime<Utc>,
    ) {
        let fresh = |tally: &Tally| passed(tally, now) < self.forget_after;
        if tallies.len() >= self.capacity && !tallies.contains_key(&key) {
            tallies.retain(|_, tally| fresh(tally));
            if tallies.len() >= self.capacity {
                forget_older_half(tallies);
            }
        }
        let tally = tallies.entry(key).or_insert(Tally {
            failures: 0,
            last: now,
        });
        if !fresh(tally) {
            tally.failures = 0;
        }
        tally.failures = tally.failures.saturating_add(1);
        tally.last = now;
    }
}

/// Time since the last failure; a clock set back counts as no time passed.
fn passed(tally: &Tally, now: DateTime<Utc>) -> Duration {
    (now - tally.last).to_std().unwrap_or(Duration::ZERO)
}

fn uncount<K: Eq + Hash + Copy>(tallies: &mut HashMap<K, Tally>, key: K) {
    if let Some(tally) = tallies.get_mut(&key) {
        tally.failures = tally.failures.saturating_sub(1);
        if tally.failures == 0 {
            tallies.remove(&key);
        }
    }
}

/// Keeps memory bounded under a flood of names: what failed longest ago goes first.
fn forget_older_half<K: Eq + Hash + Copy>(tallies: &mut HashMap<K, Tally>) {
    let mut times: Vec<_> = tallies.values().map(|tally| tally.last).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    let mut room = middle;
    tallies.retain(|_, tally| {
        let keep = tally.last >= median && room > 0;
        room -= usize::from(keep);
        keep
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_types::{Clock, FrozenClock};

    const RULES: ThrottleRules = ThrottleRules {
        free_attempts: 3,
        free_account_attempts: 10,
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(8),
        forget_after: Duration::from_hours(1),
        capacity: 100,
    };

    fn attempt(address: u8, known_address: bool) -> Attempt {
        Attempt {
            account: [7; 32],
            pair: [address; 32],
            known_address,
        }
    }

    fn fail(throttle: &Throttle, attempt: Attempt, now: DateTime<Utc>) -> Result<(), Duration> {
        throttle
            .begin(attempt, now)
            .map(|ticket| throttle.failed(ticket, now))
    }

    #[test]
    fn delays_double_and_have_a_ceiling() {
        let (throttle, clock) = (Throttle::new(RULES), FrozenClock::default());
        for _ in 0..3 {
            fail(&throttle, attempt(1, false), clock.now()).unwrap();
        }
        for seconds in [1, 2, 4, 8, 8] {
            let wait = fail(&throttle, attempt(1, false), clock.now()).unwrap_err();
            assert_eq!(wait, Duration::from_secs(seconds));
            clock.advance(wait);
            fail(&throttle, attempt(1, false), clock.now()).unwrap();
        }
    }

    #[test]
    fn fifty_strangers_slow_each_other_down_and_not_the_owner() {
        let (throttle, now) = (Throttle::new(RULES), FrozenClock::default().now());
        let admitted =
            (0..50).filter(|stranger| fail(&throttle, attempt(*stranger, false), now).is_ok());
        assert_eq!(admitted.count(), 10);
        assert!(fail(&throttle, attempt(200, false), now).is_err());
        assert_eq!(fail(&throttle, attempt(200, true), now), Ok(()));
    }

    #[test]
    fn attempts_in_parallel_are_one_attempt_under_suspicion() {
        let (throttle, clock) = (Throttle::new(RULES), FrozenClock::default());
        for _ in 0..3 {
            fail(&throttle, attempt(1, true), clock.now()).unwrap();
        }
        clock.advance(Duration::from_secs(1));
        let tickets = (0..20).filter_map(|_| throttle.begin(attempt(1, true), clock.now()).ok());
        let [ticket] = <[_; 1]>::try_from(tickets.collect::<Vec<_>>()).unwrap();
        throttle.withdrawn(ticket);
        assert_eq!(
            fail(&throttle, attempt(1, true), clock.now()),
            Err(Duration::from_secs(1))
        );
    }

    #[test]
    fn logins_in_parallel_without_suspicion_are_all_admitted() {
        let (throttle, now) = (Throttle::new(RULES), FrozenClock::default().now());
        let tickets: Vec<_> = (0..200)
            .map(|_| throttle.begin(attempt(1, false), now).unwrap())
            .collect();
        tickets
            .into_iter()
            .for_each(|ticket| throttle.succeeded(ticket));
        assert_eq!(fail(&throttle, attempt(1, false), now), Ok(()));
    }

    #[test]
    fn success_forgives_the_address() {
        let (throttle, now) = (Throttle::new(RULES), FrozenClock::default().now());
        for _ in 0..5 {
            fail(&throttle, attempt(1, true), now).unwrap();
            fail(&throttle, attempt(1, true), now).unwrap();
            throttle.succeeded(throttle.begin(attempt(1, true), now).unwrap());
        }
    }

    #[test]
    fn failures_are_forgotten_after_a_while() {
        let (throttle, clock) = (Throttle::new(RULES), FrozenClock::default());
        for _ in 0..3 {
            fail(&throttle, attempt(1, false), clock.now()).unwrap();
        }
        assert!(fail(&throttle, attempt(1, false), clock.now()).is_err());
        clock.advance(RULES.forget_after);
        for _ in 0..3 {
            fail(&throttle, attempt(1, false), clock.now()).unwrap();
        }
    }

    #[test]
    fn memory_stays_bounded_under_a_flood_of_names() {
        let (throttle, clock) = (Throttle::new(RULES), FrozenClock::default());
        for name in 0..1000_u32 {
            let mut account = [0; 32];
            account[..4].copy_from_slice(&name.to_le_bytes());
            let attempt = Attempt {
                account,
                pair: account,
                known_address: false,
            };
            fail(&throttle, attempt, clock.now()).unwrap();
            if name % 3 == 0 {
                clock.advance(Duration::from_millis(1));
            }
        }
        let state = throttle.state.lock().unwrap();
        assert!(state.pairs.len() <= RULES.capacity && state.accounts.len() <= RULES.capacity);
        assert!(state.pairs.len() >= RULES.capacity / 4);
    }
}
