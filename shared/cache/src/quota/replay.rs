use std::sync::Arc;

use touchstone_resilience::Instant;
use touchstone_resilience::window::{Ring, SUB_BUCKETS};

use super::book::{Scopes, part_micros};
use super::policy::Rule;

/// Ages in microseconds and units, oldest first.
pub(super) type Ages = Vec<(u64, u64)>;

/// What a replica tells the server that it admitted by itself.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Told once only under this number.
    pub epoch: u64,
    pub rules: Vec<RuleJob>,
    /// When the ages were taken.
    at: Instant,
}

/// One rule of it.
#[derive(Clone, Debug)]
pub(super) struct RuleJob {
    pub rule: Rule,
    /// When the server's state was made, as far as this replica knows.
    pub born: u64,
    /// Per window: what that state lacks, and all there is.
    pub windows: Vec<(Ages, Ages)>,
}

impl Job {
    /// `None` when there is nothing to tell.
    pub fn new<'a>(
        epoch: u64,
        rules: impl Iterator<Item = (&'a Rule, u64)>,
        own: &Scopes,
        lacking: &Scopes,
        now: Instant,
    ) -> Option<Self> {
        let of = |scopes: &Scopes, rule: &Rule| -> Vec<Ages> {
            let Some(counts) = scopes.get(&rule.scope) else {
                return vec![Ages::new(); rule.windows.len()];
            };
            let rings = counts.rings(rule).zip(&rule.windows);
            rings
                .map(|(ring, window)| ages(&ring, part_micros(window.period), now))
                .collect()
        };
        let rules: Vec<RuleJob> = rules
            .map(|(rule, born)| RuleJob {
                born,
                windows: of(lacking, rule).into_iter().zip(of(own, rule)).collect(),
                rule: rule.clone(),
            })
            .filter(|rule| rule.windows.iter().any(|(_, own)| !own.is_empty()))
            .collect();
        (!rules.is_empty()).then_some(Self {
            epoch,
            rules,
            at: now,
        })
    }

    #[cfg(test)]
    pub fn of(epoch: u64, rule: Rule, born: u64, windows: Vec<(Ages, Ages)>) -> Self {
        Self {
            epoch,
            rules: vec![RuleJob {
                rule,
                born,
                windows,
            }],
            at: Instant::ZERO,
        }
    }

    /// The rules' scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rules.iter().map(|rule| &rule.rule.scope)
    }

    /// Microseconds by which the ages have grown.
    pub fn older_by(&self, now: Instant) -> u64 {
        now.as_micros().saturating_sub(self.at.as_micros())
    }
}

/// The parts of a ring that still count, each as if all of it came at its end: too young rather than
/// too old, so that nothing is forgotten early.
fn ages(ring: &Ring, step: u64, now: Instant) -> Ages {
    let slots = ring.counts.len() as u64;
    let oldest = ring.part.saturating_sub(SUB_BUCKETS as u64);
    let parts = (oldest..=ring.part).filter_map(|part| {
        let units = ring.counts[(part % slots) as usize];
        let end = ((part + 1) * step).saturating_sub(1).min(now.as_micros());
        let age = now.as_micros() - end;
        let counts = units > 0 && age < step * slots;
        counts.then_some((age, u64::from(units)))
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_oldest_first_and_never_too_old() {
        let mut ring = Ring {
            part: 20,
            ..Ring::default()
        };
        for (part, units) in [(20, 3), (19, 2), (8, 1)] {
            ring.counts[part % 13] = units;
        }
        let now = Instant::from_micros(20 * 5 + 2);
        assert_eq!(ages(&ring, 5, now), [(58, 1), (3, 2), (0, 3)]);
        let later = Instant::from_micros(200 * 5);
        assert!(ages(&ring, 5, later).is_empty());
    }
}
