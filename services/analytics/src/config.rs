use std::time::Duration;

use serde::{Deserialize, Serialize};
use touchstone_config::{Problems, Secret, Section};

/// Configuration of analytics; `config.default.toml` explains every key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the numbers come from.
    pub collector: Collector,
    /// Where records are kept.
    pub store: String,
    /// Records older than this are forgotten.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// How long an answer may be repeated.
    #[serde(with = "humantime_serde")]
    pub cache: Duration,
    /// Seed of the made-up numbers.
    pub mock_seed: u64,
    /// Records that wait for the store.
    pub spool: SpoolConfig,
    /// How a ClickHouse server is used.
    pub clickhouse: ClickHouseConfig,
}

/// Where the numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Collector {
    /// From the records.
    Store,
    /// Made up out of a seed.
    Mock,
}

/// Records that wait for the store.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolConfig {
    /// Most of them.
    pub records: usize,
    /// Records that are written at once.
    pub batch: usize,
    /// How long the first of them waits for others.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// The first pause between attempts.
    #[serde(with = "humantime_serde")]
    pub first_pause: Duration,
    /// The longest pause between attempts.
    #[serde(with = "humantime_serde")]
    pub longest_pause: Duration,
}

/// How a ClickHouse server is used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClickHouseConfig {
    /// User.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// Database; made when it is not there.
    pub database: String,
    /// Longest wait for an answer.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Batches that the server remembers.
    pub deduplication_window: u32,
}

impl Config {
    /// The URL of a ClickHouse server, if the store is one.
    pub(crate) fn clickhouse_url(&self) -> Option<String> {
        let (scheme, rest) = self.store.split_once("://")?;
        let scheme = match scheme {
            "clickhouse" | "http" => "http",
            "https" => "https",
            _ => return None,
        };
        let url: http::Uri = format!("{scheme}://{rest}").parse().ok()?;
        let authority = url.authority()?;
        // A password in a URL ends in logs.
        (!authority.as_str().contains('@')).then(|| format!("{scheme}://{authority}"))
    }
}

impl Section for Config {
    const NAME: &'static str = "analytics";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    const PLAIN: &'static [(&'static str, &'static str)] = &[
        ("CLICKHOUSE_URL", "store"),
        ("CLICKHOUSE_USER", "clickhouse.user"),
        ("CLICKHOUSE_PASSWORD", "clickhouse.password"),
        ("ANALYTICS_COLLECTOR", "collector"),
    ];

    fn validate(&self, problems: &mut Problems) {
        problems.check(
            self.store.starts_with("sqlite:") || self.clickhouse_url().is_some(),
            "store",
            "must be `sqlite://<path>`, `sqlite::memory:` or the URL of ClickHouse's HTTP \
             interface (`CLICKHOUSE_URL`; no user or password in it)",
        );
        let day = Duration::from_hours(24);
        // Beyond this ClickHouse's times of expiry run over in 2106, and everything is expired.
        problems.check(
            (day..=day * 3653).contains(&self.retention),
            "retention",
            "must be a day to ten years",
        );
        problems.check(
            self.cache <= Duration::from_hours(1),
            "cache",
            "must be at most an hour",
        );
        problems.check(self.spool.batch > 0, "spool.batch", "must be positive");
        problems.check(
            self.spool.records >= self.spool.batch,
            "spool.records",
            "must not be less than `spool.batch`",
        );
        problems.check(
            !self.spool.first_pause.is_zero() && self.spool.first_pause <= self.spool.longest_pause,
            "spool.first_pause",
            "must be positive and not above `spool.longest_pause`",
        );
        let database = &self.clickhouse.database;
        problems.check(
            (1..=64).contains(&database.len())
                && database
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !database.as_bytes()[0].is_ascii_digit(),
            "clickhouse.database",
            "must be 1 to 64 letters, digits and `_`, and not begin with a digit",
        );
        problems.check(
            !self.clickhouse.timeout.is_zero(),
            "clickhouse.timeout",
            "must be positive",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_their_own_rules() {
        let config: Config = touchstone_config::defaults();
        assert_eq!(config.collector, Collector::Store);
        assert_eq!(config.retention, Duration::from_hours(24 * 30));
        assert_eq!(config.clickhouse_url(), None);
    }

    #[test]
    fn tells_every_mistake_at_once() {
        let loader = touchstone_config::Loader::new()
            .set("analytics.store", "http://user:secret@host:8123")
            .set("analytics.spool.batch", "0")
            .set("analytics.clickhouse.database", "a;b")
            .set("analytics.retention", "1h");
        let error = loader.section::<Config>().unwrap_err();
        assert_eq!(error.problems.len(), 4, "{error}");
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn takes_the_addresses_that_people_write() {
        for (store, url) in [
            ("http://ch:8123", Some("http://ch:8123")),
            ("http://ch:8123/", Some("http://ch:8123")),
            ("clickhouse://ch:8123", Some("http://ch:8123")),
            ("https://ch:8443", Some("https://ch:8443")),
            ("postgres://ch", None),
        ] {
            let mut config: Config = touchstone_config::defaults();
            config.store = store.to_owned();
            assert_eq!(config.clickhouse_url().as_deref(), url, "{store}");
        }
    }
}
