use std::time::Duration;

use serde::{Deserialize, Serialize};
use touchstone_client::Protection;
use touchstone_config::Problems;
use touchstone_resilience::upstream::{self, Retry};
use touchstone_resilience::{breaker, budget, bulkhead, hedge};

/// How calls among services are protected: one set for all of them. The gateway's calls have their
/// own, `gateway.upstreams`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshConfig {
    /// Longest call whose caller has set no deadline.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// Attempts of a call that may be repeated, the first one included.
    pub attempts: u32,
    /// Retries per call.
    pub retry_share: f64,
    /// Retries per second that are allowed without any calls.
    pub retry_floor: u32,
    /// Second attempts of late reads, per call; 0 turns them off.
    pub hedge_share: f64,
    /// Shortest wait before a second attempt.
    #[serde(with = "humantime_serde")]
    pub hedge_wait: Duration,
    /// Failures in a row that open the breaker of an instance.
    pub failures_in_a_row: u32,
    /// Least share of calls that succeed, of the last ten seconds.
    pub success_share: f64,
    /// First time that a breaker stays open.
    #[serde(with = "humantime_serde")]
    pub open_for: Duration,
    /// Longest time that it stays open.
    #[serde(with = "humantime_serde")]
    pub open_for_most: Duration,
    /// Most calls of one service at a time.
    pub places: u32,
    /// Calls that may wait for a place.
    pub queue: u32,
    /// How long they wait before they are refused.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
}

impl MeshConfig {
    /// The policies as the clients take them.
    pub fn protection(&self) -> Protection {
        let policies = upstream::Config {
            breaker: breaker::Config {
                failures_in_a_row: self.failures_in_a_row,
                success_share: self.success_share,
                open_for: self.open_for,
                open_for_most: self.open_for_most,
                ..breaker::Config::default()
            },
            retry: Retry {
                attempts: self.attempts,
                budget: budget::Config {
                    share: self.retry_share,
                    floor_per_second: self.retry_floor,
                },
                ..Retry::default()
            },
            bulkhead: bulkhead::Config {
                most: self.places,
                queue: self.queue,
                wait: self.wait,
                ..bulkhead::Config::default()
            },
            hedge: hedge::Config {
                share: self.hedge_share,
                least_wait: self.hedge_wait,
            },
            ..upstream::Config::default()
        };
        Protection {
            deadline: self.deadline,
            policies,
        }
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        let mut rule = |holds, key: &str, rule| problems.check(holds, &format!("mesh.{key}"), rule);
        rule(!self.deadline.is_zero(), "deadline", "must be positive");
        rule(
            (1..=5).contains(&self.attempts),
            "attempts",
            "must be 1 to 5",
        );
        // More would turn a failure of one service into a flood of it.
        let share = self.retry_share;
        rule(is_share(share), "retry_share", "must be 0 to 1");
        let share = self.hedge_share;
        rule(
            (0.0..=0.5).contains(&share),
            "hedge_share",
            "must be 0 to 0.5",
        );
        let failures = self.failures_in_a_row;
        rule(failures > 0, "failures_in_a_row", "must be positive");
        let share = self.success_share;
        rule(is_share(share), "success_share", "must be 0 to 1");
        let opens = !self.open_for.is_zero() && self.open_for <= self.open_for_most;
        rule(
            opens,
            "open_for",
            "must be positive, and at most `mesh.open_for_most`",
        );
        rule(self.places > 0, "places", "must be positive");
    }
}

#[cfg(test)]
mod tests {
    use touchstone_config::Loader;

    use super::*;
    use crate::StackConfig;

    fn load(pairs: &[(&str, &str)]) -> Result<StackConfig, Vec<String>> {
        let environment = pairs
            .iter()
            .map(|(key, value)| {
                (
                    format!("TOUCHSTONE_STACK__MESH__{key}"),
                    (*value).to_owned(),
                )
            })
            .collect();
        let loaded = Loader::new().environment(environment).section();
        loaded.map_err(|error: touchstone_config::Error| error.problems)
    }

    #[test]
    fn what_the_reference_says_is_what_the_clients_do_by_themselves() {
        let stack = load(&[]).unwrap();
        assert_eq!(stack.mesh.protection(), Protection::default());
    }

    #[test]
    fn every_key_reaches_its_policy() {
        let stack = load(&[
            ("DEADLINE", "7s"),
            ("ATTEMPTS", "2"),
            ("RETRY_SHARE", "0.1"),
            ("RETRY_FLOOR", "3"),
            ("HEDGE_SHARE", "0"),
            ("HEDGE_WAIT", "20ms"),
            ("FAILURES_IN_A_ROW", "9"),
            ("SUCCESS_SHARE", "0.6"),
            ("OPEN_FOR", "2s"),
            ("OPEN_FOR_MOST", "9s"),
            ("PLACES", "12"),
            ("QUEUE", "4"),
            ("WAIT", "30ms"),
        ]);
        let mut expected = Protection {
            deadline: Duration::from_secs(7),
            ..Protection::default()
        };
        let policies = &mut expected.policies;
        policies.retry.attempts = 2;
        policies.retry.budget.share = 0.1;
        policies.retry.budget.floor_per_second = 3;
        policies.hedge.share = 0.0;
        policies.hedge.least_wait = Duration::from_millis(20);
        policies.breaker.failures_in_a_row = 9;
        policies.breaker.success_share = 0.6;
        policies.breaker.open_for = Duration::from_secs(2);
        policies.breaker.open_for_most = Duration::from_secs(9);
        policies.bulkhead.most = 12;
        policies.bulkhead.queue = 4;
        policies.bulkhead.wait = Duration::from_millis(30);
        assert_eq!(stack.unwrap().mesh.protection(), expected);
    }

    #[test]
    fn what_protects_nobody_is_refused() {
        for (key, value) in [
            ("DEADLINE", "0s"),
            ("ATTEMPTS", "0"),
            ("ATTEMPTS", "6"),
            ("RETRY_SHARE", "1.5"),
            ("HEDGE_SHARE", "0.6"),
            ("FAILURES_IN_A_ROW", "0"),
            ("SUCCESS_SHARE", "-0.1"),
            ("OPEN_FOR", "1m"),
            ("PLACES", "0"),
        ] {
            let problems = load(&[(key, value)]).unwrap_err();
            let key = format!("mesh.{}", key.to_lowercase());
            assert!(
                problems.len() == 1 && problems[0].contains(&key),
                "{key}={value}: {problems:?}"
            );
        }
    }
}
