//! What is kept in memory per subject, bounded.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use touchstone_resilience::window::{Ring, SUB_BUCKETS, State as Rings, Strict};
use touchstone_resilience::{Instant, gcra};

use super::policy::{Policy, Rule};

/// Locks; more than cores, so that subjects rarely wait for each other.
const SHARDS: usize = 64;

/// The count of one window, whichever algorithm it is for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub period: Duration,
    pub ring: Ring,
    pub tat: u64,
}

/// The counts of one rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub windows: Vec<Count>,
}

impl Counts {
    /// What is known of the window with this period.
    fn of(&self, period: Duration) -> Count {
        let known = self.windows.iter().find(|count| count.period == period);
        known.copied().unwrap_or(Count {
            period,
            ..Count::default()
        })
    }

    pub fn rings(&self, rule: &Rule) -> impl Iterator<Item = Ring> {
        rule.windows
            .iter()
            .map(|window| self.of(window.period).ring)
    }

    pub fn tats(&self, rule: &Rule) -> impl Iterator<Item = u64> {
        rule.windows.iter().map(|window| self.of(window.period).tat)
    }

    /// Whether it counts the windows of the rule already, in their order.
    fn is_of(&self, rule: &Rule) -> bool {
        let own = self.windows.iter().map(|count| count.period);
        own.eq(rule.windows.iter().map(|window| window.period))
    }

    pub fn keep_rings(&mut self, rule: &Rule, rings: &[Ring]) {
        if self.is_of(rule) {
            for (count, ring) in self.windows.iter_mut().zip(rings) {
                count.ring = *ring;
            }
            return;
        }
        self.windows = rule
            .windows
            .iter()
            .zip(rings)
            .map(|(window, ring)| Count {
                ring: *ring,
                ..self.of(window.period)
            })
            .collect();
    }

    pub fn keep_tats(&mut self, rule: &Rule, tats: &[u64]) {
        if self.is_of(rule) {
            for (count, tat) in self.windows.iter_mut().zip(tats) {
                count.tat = *tat;
            }
            return;
        }
        self.windows = rule
            .windows
            .iter()
            .zip(tats)
            .map(|(window, tat)| Count {
                tat: *tat,
                ..self.of(window.period)
            })
            .collect();
    }

    /// Whether nothing of it counts any more.
    pub fn is_idle(&self, now: Instant) -> bool {
        self.windows.iter().all(|count| {
            let step = part_micros(count.period);
            let passed = now.as_micros() / step > count.ring.part + SUB_BUCKETS as u64;
            (passed || count.ring.counts.iter().all(|&units| units == 0))
                && count.tat <= now.as_micros()
        })
    }
}

/// Microseconds of a part of a strict window.
pub(super) fn part_micros(period: Duration) -> u64 {
    touchstone_resilience::window::Window { limit: 0, period }.part_micros()
}

/// The counts of a subject by the scope of the rule. A handful: a list is faster than a map.
#[derive(Clone, Debug, Default)]
pub(super) struct Scopes(Vec<(Arc<str>, Counts)>);

impl Scopes {
    pub fn get(&self, scope: &str) -> Option<&Counts> {
        let found = self.0.iter().find(|(name, _)| **name == *scope);
        found.map(|(_, counts)| counts)
    }

    pub fn entry(&mut self, scope: &Arc<str>) -> &mut Counts {
        let place = self.0.iter().position(|(name, _)| name == scope);
        let place = place.unwrap_or_else(|| {
            self.0.push((Arc::clone(scope), Counts::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    pub fn is_idle(&self, now: Instant) -> bool {
        self.0.iter().all(|(_, counts)| counts.is_idle(now))
    }

    /// The rings of all windows of the policy.
    pub fn rings(&self, policy: &Policy) -> Rings {
        let none = Counts::default();
        let rings = policy.rules().iter().flat_map(|rule| {
            let counts = self.get(&rule.scope).unwrap_or(&none);
            counts.rings(rule).collect::<Vec<_>>()
        });
        Rings(rings.collect())
    }

    pub fn keep_rings(&mut self, policy: &Policy, rings: &Rings) {
        let mut rest = &rings.0[..];
        for rule in policy.rules() {
            let (own, others) = rest.split_at(rule.windows.len().min(rest.len()));
            self.entry(&rule.scope).keep_rings(rule, own);
            rest = others;
        }
    }

    pub fn tats(&self, policy: &Policy) -> gcra::State {
        let none = Counts::default();
        let tats = policy.rules().iter().flat_map(|rule| {
            let counts = self.get(&rule.scope).unwrap_or(&none);
            counts.tats(rule).collect::<Vec<_>>()
        });
        gcra::State(tats.collect())
    }

    pub fn keep_tats(&mut self, policy: &Policy, tats: &gcra::State) {
        let mut rest = &tats.0[..];
        for rule in policy.rules() {
            let (own, others) = rest.split_at(rule.windows.len().min(rest.len()));
            self.entry(&rule.scope).keep_tats(rule, own);
            rest = others;
        }
    }

    /// Works on the rings of the policy with windows of the same periods.
    pub fn with_rings<T>(
        &mut self,
        policy: &Policy,
        work: impl FnOnce(&Strict, &mut Rings) -> T,
    ) -> T {
        let mut rings = self.rings(policy);
        let result = work(policy.strict(), &mut rings);
        self.keep_rings(policy, &rings);
        result
    }
}

/// What can be forgotten.
pub(super) trait Idle {
    /// Whether it holds nothing that still counts.
    fn is_idle(&self, now: Instant) -> bool;
}

type Shard<T> = Mutex<HashMap<Arc<str>, T>>;

/// Something per subject. When it is full and nothing can be forgotten, new subjects share one
/// place: fewer are admitted then, never more.
#[derive(Debug)]
pub(super) struct Book<T> {
    shards: Box<[Shard<T>]>,
    hash: RandomState,
    per_shard: usize,
}

/// The place that subjects share who do not fit in.
const CROWD: &str = "";

impl<T: Default + Idle> Book<T> {
    pub fn new(subjects: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hash: RandomState::new(),
            per_shard: subjects.div_ceil(SHARDS).max(1),
        }
    }

    /// Works on what is kept of a subject.
    pub fn with<R>(&self, subject: &str, now: Instant, work: impl FnOnce(&mut T) -> R) -> R {
        let shard = (self.hash.hash_one(subject) % SHARDS as u64) as usize;
        let mut shard = self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = shard.get_mut(subject) {
            return work(kept);
        }
        if shard.len() >= self.per_shard {
            shard.retain(|_, kept| !kept.is_idle(now));
        }
        let name = if shard.len() >= self.per_shard {
            CROWD
        } else {
            subject
        };
        work(shard.entry(name.into()).or_default())
    }

    /// As [`Book::with`], for a subject that is known.
    pub fn with_known<R>(&self, subject: &str, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let shard = (self.hash.hash_one(subject) % SHARDS as u64) as usize;
        let mut shard = self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shard.get_mut(subject).map(work)
    }

    /// Changes every entry.
    pub fn each(&self, mut work: impl FnMut(&mut T)) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.values_mut().for_each(&mut work);
        }
    }

    /// Entries, about.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let sizes = self
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len());
        sizes.sum()
    }
}
