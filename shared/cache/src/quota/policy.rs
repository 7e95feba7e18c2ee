use std::sync::Arc;
use std::time::Duration;

use touchstone_resilience::gcra::{self, Gcra};
use touchstone_resilience::window::{self, Strict};

/// How a limit is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Never more than N in any trailing period.
    #[default]
    Strict,
    /// At most N plus a burst in any trailing period, refilled evenly.
    Gcra,
}

/// What happens while the shared server is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Away {
    /// Each replica admits its share of the limits.
    #[default]
    Share,
    /// Each replica admits the whole limits: together up to N times as many as there are replicas.
    Whole,
    /// Nothing passes.
    Closed,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its name in headers, e.g. `minute`.
    pub name: Arc<str>,
    /// Units in a period.
    pub limit: u32,
    /// The period.
    pub period: Duration,
    /// Units at once; only GCRA has it.
    pub burst: u32,
}

/// Windows that are kept together, under one key per subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Tells the rules of a subject apart, e.g. `all`, `generate`.
    pub scope: Arc<str>,
    /// Its windows; periods differ.
    pub windows: Vec<Window>,
}

/// What a request is held to.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Tells policies of a subject apart; the same name is the same set of rules.
    pub name: Arc<str>,
    /// How its limits are meant.
    pub algorithm: Algorithm,
    /// What happens while the server is away.
    pub away: Away,
    /// Whether units may be charged in advance.
    pub leases: bool,
    rules: Arc<[Rule]>,
    strict: Strict,
    gcra: Gcra,
}

impl Policy {
    /// Rules that are decided together.
    pub fn new(name: impl Into<Arc<str>>, algorithm: Algorithm, rules: Vec<Rule>) -> Self {
        let windows = || rules.iter().flat_map(|rule| &rule.windows);
        Self {
            name: name.into(),
            algorithm,
            away: Away::default(),
            leases: true,
            strict: Strict::new(windows().map(strict).collect::<Vec<_>>()),
            gcra: Gcra::new(windows().map(gcra).collect::<Vec<_>>()),
            rules: rules.into(),
        }
    }

    /// With what happens while the server is away.
    pub fn away(self, away: Away) -> Self {
        Self { away, ..self }
    }

    /// With or without charges in advance.
    pub fn leases(self, leases: bool) -> Self {
        Self { leases, ..self }
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The windows of all rules, in the order in which decisions count them.
    pub fn windows(&self) -> impl Iterator<Item = &Window> {
        self.rules.iter().flat_map(|rule| &rule.windows)
    }

    /// The window at `position`.
    pub fn window(&self, position: usize) -> Option<&Window> {
        self.windows().nth(position)
    }

    pub(crate) const fn strict(&self) -> &Strict {
        &self.strict
    }

    pub(crate) const fn gcra(&self) -> &Gcra {
        &self.gcra
    }

    /// The windows with a replica's share of each limit, one unit at the least.
    pub(crate) fn share(&self, replicas: u64) -> Strict {
        let replicas = u32::try_from(replicas).unwrap_or(u32::MAX).max(1);
        let part = |window: &Window| window::Window {
            limit: (window.limit / replicas).max(1).min(window.limit),
            period: window.period,
        };
        Strict::new(self.windows().map(part).collect::<Vec<_>>())
    }
}

pub(crate) const fn strict(window: &Window) -> window::Window {
    window::Window {
        limit: window.limit,
        period: window.period,
    }
}

pub(crate) fn gcra(window: &Window) -> gcra::Window {
    gcra::Window {
        limit: window.limit.into(),
        period: window.period,
        burst: window.burst.into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn window(name: &str, limit: u32, seconds: u64) -> Window {
        Window {
            name: name.into(),
            limit,
            period: Duration::from_secs(seconds),
            burst: limit,
        }
    }

    #[test]
    fn a_share_is_never_nothing_and_never_more_than_the_limit() {
        let rule = Rule {
            scope: "all".into(),
            windows: vec![
                window("minute", 100, 60),
                window("hour", 2, 3600),
                window("day", 0, 86400),
            ],
        };
        let policy = Policy::new("p", Algorithm::Strict, vec![rule]);
        let limits = |replicas: u64| -> Vec<u32> {
            policy
                .share(replicas)
                .windows()
                .iter()
                .map(|w| w.limit)
                .collect()
        };
        assert_eq!(limits(1), [100, 2, 0]);
        assert_eq!(limits(3), [33, 1, 0]);
        assert_eq!(limits(0), [100, 2, 0]);
    }
}
