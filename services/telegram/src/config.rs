//! The `[telegram]` section.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use touchstone_config::{Problems, Secret, Section};
use touchstone_store::StoreUri;
use touchstone_store::postgres::Options;

use crate::domain::proxy::Proxy;
use crate::domain::string_session::StringSession;

/// Calls per second that an owner may allow: slower ones nobody waits for, faster ones nobody makes.
const RATES: RangeInclusive<f64> = 0.001..=1_000_000.0;

/// Configuration of the Telegram service; `config.default.toml` explains each key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Telegram's number of the application.
    pub api_id: i32,
    /// Telegram's secret of the application.
    pub api_hash: Secret,
    /// A Telethon `StringSession`; empty means the simulated data centre.
    pub session: Secret,
    /// `socks5://`, `http://` or `mtproxy://` with host and port; empty for none.
    pub proxy: Secret,
    /// Calls per second.
    pub rate_limit: f64,
    /// What is known of channels: `sqlite:` or `postgres://`.
    pub store: StoreUri,
    /// How PostgreSQL is used.
    pub postgres: Options,
    /// How often a followed channel is looked at without a hint.
    #[serde(with = "humantime_serde")]
    pub sync_poll: Duration,
    /// Where the exports are kept.
    pub exports: PathBuf,
    /// Longest time of a request.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Whether callers on this machine need no credential.
    pub anonymous_loopback: bool,
}

impl Section for Config {
    const NAME: &'static str = "telegram";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    const PLAIN: &'static [(&'static str, &'static str)] = &[
        ("TELEGRAM_API_ID", "api_id"),
        ("TELEGRAM_API_HASH", "api_hash"),
        ("SESSION", "session"),
        ("TELEGRAM_RATE_LIMIT", "rate_limit"),
        ("TELEGRAM_PROXY", "proxy"),
        ("TELEGRAM_ANONYMOUS_LOOPBACK", "anonymous_loopback"),
    ];

    fn validate(&self, problems: &mut Problems) {
        problems.check(
            RATES.contains(&self.rate_limit),
            "rate_limit",
            "must be between 0.001 and 1000000",
        );
        problems.check(
            !self.request_timeout.is_zero(),
            "request_timeout",
            "must be positive",
        );
        problems.check(!self.sync_poll.is_zero(), "sync_poll", "must be positive");
        problems.check(
            self.store.backend().is_ok(),
            "store",
            "must begin with `sqlite:` or `postgres://`",
        );
        self.postgres.validate(problems);
        if let Err(error) = Proxy::parse(self.proxy.expose()) {
            problems.check(false, "proxy", &error.to_string());
        }
        let session = self.session.expose();
        if !session.is_empty() {
            if let Err(error) = StringSession::parse(session) {
                problems.check(false, "session", &format!("is no StringSession: {error}"));
            }
            problems.check(
                self.api_id > 0,
                "api_id",
                "must be set together with the session (https://my.telegram.org)",
            );
            problems.check(
                !self.api_hash.expose().is_empty(),
                "api_hash",
                "must be set together with the session (https://my.telegram.org)",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::governor::Governor;

    #[test]
    fn rates_that_nobody_can_keep_are_refused() {
        let refused = |rate: f64| {
            let mut config: Config = touchstone_config::defaults();
            config.rate_limit = rate;
            let mut problems = Problems::new(Config::NAME);
            config.validate(&mut problems);
            !problems.into_found().is_empty()
        };
        for rate in [0.0, -1.0, 1e-30, 1e300, f64::NAN, f64::INFINITY] {
            assert!(refused(rate), "{rate}");
        }
        for rate in [0.001, 2.0, 1_000_000.0] {
            assert!(!refused(rate), "{rate}");
            // The governor counts with it.
            let mut governor = Governor::new(rate);
            let mut now = Duration::ZERO;
            for _ in 0..10 {
                let wait = governor.ask("m", now);
                if wait.is_zero() {
                    governor.answered("m", now);
                    governor.landed("m");
                }
                now += wait;
            }
            assert!(governor.standing(now).calls >= 5);
        }
    }
}
