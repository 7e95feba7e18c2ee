use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use touchstone_resilience::gcra::{Standing, Verdict};
use touchstone_resilience::{Instant, Monotonic};

use super::book::{Book, Idle, Scopes};
use super::policy::{Algorithm, Policy};
use super::{Closed, Decision, Mode, QuotaStore, Receipt, Tier};

/// Quotas that this process counts alone.
#[derive(Debug)]
pub struct MemoryQuotas {
    clock: Monotonic,
    book: Book<Scopes>,
    mode: watch::Sender<Mode>,
}

impl Idle for Scopes {
    fn is_idle(&self, now: Instant) -> bool {
        Self::is_idle(self, now)
    }
}

impl MemoryQuotas {
    /// Quotas of at most so many subjects; more share one place.
    pub fn new(subjects: usize) -> Self {
        Self {
            clock: Monotonic::start(),
            book: Book::new(subjects),
            mode: watch::Sender::new(Mode::Memory),
        }
    }
}

/// Decides on the counts of a subject, with the whole limits.
pub(super) fn decide(
    scopes: &mut Scopes,
    policy: &Policy,
    now: Instant,
    cost: u64,
) -> (Verdict, Arc<[Standing]>) {
    let windows = 0..policy.windows().count();
    match policy.algorithm {
        Algorithm::Strict => scopes.with_rings(policy, |strict, rings| {
            let verdict = strict.decide(rings, now, cost);
            let standings = windows.map(|position| strict.standing(rings, now, position));
            (verdict, standings.collect())
        }),
        Algorithm::Gcra => {
            let gcra = policy.gcra();
            let mut tats = scopes.tats(policy);
            let verdict = gcra.decide(&mut tats, now, cost);
            let standings = windows.map(|position| gcra.standing(&tats, now, position));
            let standings = standings.collect();
            scopes.keep_tats(policy, &tats);
            (verdict, standings)
        }
    }
}

/// Gives back what may be given back; see the script for the same rule.
pub(super) fn refund(
    scopes: &mut Scopes,
    policy: &Policy,
    now: Instant,
    charged_at: Instant,
    units: u64,
) {
    match policy.algorithm {
        Algorithm::Strict => {
            scopes.with_rings(policy, |strict, rings| {
                strict.refund(rings, charged_at, units);
            });
        }
        Algorithm::Gcra => {
            let elapsed = now.as_micros().saturating_sub(charged_at.as_micros());
            let refilled = policy.gcra().windows().iter();
            let refilled = refilled.map(|window| elapsed.div_ceil(window.emission_micros()));
            let units = units.saturating_sub(refilled.max().unwrap_or(0));
            let mut tats = scopes.tats(policy);
            policy.gcra().refund(&mut tats, units);
            scopes.keep_tats(policy, &tats);
        }
    }
}

#[async_trait]
impl QuotaStore for MemoryQuotas {
    async fn charge(&self, subject: &str, policy: &Policy, cost: u64) -> Result<Decision, Closed> {
        let now = self.clock.now();
        let (verdict, standings) = self
            .book
            .with(subject, now, |scopes| decide(scopes, policy, now, cost));
        let receipt = verdict.is_admitted().then_some(Receipt {
            here: now,
            there: None,
        });
        Ok(Decision {
            verdict,
            standings,
            tier: Tier::Memory,
            receipt,
        })
    }

    async fn refund(&self, subject: &str, policy: &Policy, receipt: Receipt, units: u64) {
        let now = self.clock.now();
        self.book.with(subject, now, |scopes| {
            refund(scopes, policy, now, receipt.here, units);
        });
    }

    async fn standings(&self, subject: &str, policy: &Policy) -> Arc<[Standing]> {
        let now = self.clock.now();
        let known = self.book.with_known(subject, |scopes| {
            decide(&mut scopes.clone(), policy, now, 0).1
        });
        known.unwrap_or_else(|| decide(&mut Scopes::default(), policy, now, 0).1)
    }

    fn mode(&self) -> watch::Receiver<Mode> {
        self.mode.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::quota::policy::tests::window;
    use crate::quota::{Rule, Window};

    const SUBJECTS: usize = 64;

    fn policy(windows: Vec<Window>) -> Policy {
        let rule = Rule {
            scope: "all".into(),
            windows,
        };
        Policy::new("test", Algorithm::Strict, vec![rule])
    }

    async fn admitted(store: &MemoryQuotas, subject: &str, policy: &Policy, times: usize) -> usize {
        let mut passed = 0;
        for _ in 0..times {
            let decision = store.charge(subject, policy, 1).await.unwrap();
            passed += usize::from(decision.verdict.is_admitted());
        }
        passed
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_book_puts_strangers_into_one_place() {
        let store = MemoryQuotas::new(SUBJECTS);
        let policy = policy(vec![window("minute", 5, 60)]);
        let mut all = 0;
        for stranger in 0..10_000 {
            all += admitted(&store, &format!("s{stranger}"), &policy, 1).await;
        }
        // One entry and one crowd per lock: never more than that many times the limit.
        assert!(all <= SUBJECTS * 5 + SUBJECTS, "{all}");
        assert!(store.book.len() <= 2 * SUBJECTS);
        tokio::time::sleep(Duration::from_secs(66)).await;
        // What counts no more is forgotten.
        assert_eq!(admitted(&store, "late", &policy, 10).await, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn changed_limits_keep_what_was_counted() {
        let store = MemoryQuotas::new(100);
        let before = policy(vec![window("minute", 10, 60), window("hour", 100, 3600)]);
        assert_eq!(admitted(&store, "a", &before, 8).await, 8);
        let after = policy(vec![window("day", 50, 86400), window("minute", 9, 60)]);
        assert_eq!(admitted(&store, "a", &after, 5).await, 1);
    }
}
