//! The last decisions of all policies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;
use touchstone_resilience::{Decision, Observer};
use touchstone_types::Clock;

/// Remembers as many decisions as it is told to; the oldest go first.
#[derive(Debug)]
pub(crate) struct Ledger {
    clock: Arc<dyn Clock>,
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Decisions ever heard.
    heard: u64,
    entries: VecDeque<Entry>,
}

/// One decision.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// Its number since the start.
    pub number: u64,
    /// When.
    pub time: DateTime<Utc>,
    /// Until when it holds, if that is known.
    pub until: Option<DateTime<Utc>>,
    #[serde(flatten)]
    pub decision: Decision,
}

impl Ledger {
    pub fn new(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            capacity,
            kept: Mutex::default(),
        }
    }

    /// The latest decisions, latest first.
    pub fn latest(&self, limit: usize, filter: impl Fn(&Entry) -> bool) -> (u64, Vec<Entry>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = kept.entries.iter().rev().filter(|entry| filter(entry));
        (kept.heard, entries.take(limit).cloned().collect())
    }
}

impl Observer for Ledger {
    fn decided(&self, decision: Decision) {
        let time = self.clock.now();
        let until = decision
            .holds_for
            .and_then(|holds| time.checked_add_signed(chrono::TimeDelta::from_std(holds).ok()?));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.heard += 1;
        let number = kept.heard;
        if kept.entries.len() >= self.capacity {
            kept.entries.pop_front();
        }
        kept.entries.push_back(Entry {
            number,
            time,
            until,
            decision,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use touchstone_resilience::{Action, Instant};
    use touchstone_types::FrozenClock;

    use super::*;

    #[test]
    fn the_latest_are_kept_and_say_until_when_they_hold() {
        let clock = Arc::new(FrozenClock::default());
        let ledger = Ledger::new(3, clock.clone());
        for number in 0u64..5 {
            let policy = if number % 2 == 0 { "quota" } else { "breaker" };
            let decision = Decision::new(
                Instant::ZERO,
                policy,
                format!("t{number}").into(),
                Action::Denied,
                "x",
            );
            ledger.decided(decision.holds_for(Duration::from_secs(number)));
            clock.advance(Duration::from_mins(1));
        }
        let (heard, entries) = ledger.latest(10, |_| true);
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.number).collect();
        assert_eq!((heard, numbers), (5, vec![5, 4, 3]));
        let first = &entries[0];
        assert_eq!((first.until.unwrap() - first.time).num_seconds(), 4);
        let (_, breakers) = ledger.latest(10, |entry| entry.decision.policy == "breaker");
        assert_eq!(breakers.len(), 1);
        assert_eq!(ledger.latest(1, |_| true).1.len(), 1);
    }
}
