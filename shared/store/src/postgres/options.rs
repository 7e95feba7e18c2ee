use std::time::Duration;

use serde::{Deserialize, Serialize};
use touchstone_config::Problems;

/// How PostgreSQL is used; the table `postgres` of a service's section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Most connections of this service in this process.
    pub connections: u32,
    /// How long a request waits for a connection.
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    /// When the server ends a statement.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// When the server ends a wait for a lock.
    #[serde(with = "humantime_serde")]
    pub lock_timeout: Duration,
    /// When work that got no answer is given up, with its connection.
    #[serde(with = "humantime_serde")]
    pub operation_timeout: Duration,
    /// Whether to bring the schema up to date at the start.
    pub migrate: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 10,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            operation_timeout: Duration::from_secs(8),
            migrate: true,
        }
    }
}

impl Options {
    /// Reports every rule that the values break.
    pub fn validate(&self, problems: &mut Problems) {
        problems.check(
            (1..=1000).contains(&self.connections),
            "postgres.connections",
            "must be from 1 to 1000",
        );
        let times = [
            ("postgres.acquire_timeout", self.acquire_timeout),
            ("postgres.statement_timeout", self.statement_timeout),
            ("postgres.lock_timeout", self.lock_timeout),
            ("postgres.operation_timeout", self.operation_timeout),
        ];
        for (key, time) in times {
            let sane = (Duration::from_millis(10)..=Duration::from_mins(10)).contains(&time);
            problems.check(sane, key, "must be from 10ms to 10m");
        }
        problems.check(
            self.operation_timeout > self.statement_timeout,
            "postgres.operation_timeout",
            "must be longer than `postgres.statement_timeout`",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told() {
        let mut problems = Problems::new("auth");
        Options::default().validate(&mut problems);
        assert!(problems.into_found().is_empty());
        let mut problems = Problems::new("auth");
        let wrong = Options {
            connections: 0,
            acquire_timeout: Duration::ZERO,
            operation_timeout: Duration::from_secs(1),
            ..Options::default()
        };
        wrong.validate(&mut problems);
        assert_eq!(problems.into_found().len(), 3);
    }
}
