use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use touchstone_config::{Problems, Secret, Section, credentials};
use touchstone_store::StoreUri;
use touchstone_store::postgres::Options;

use crate::domain::ThrottleRules;

/// Shortest accepted secret for HS256, in bytes (RFC 7518, 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// Longest lifetime of an access token: so long can one outlive its login.
const MAX_ACCESS_TTL: Duration = Duration::from_mins(15);
const MIN_ACCESS_TTL: Duration = Duration::from_secs(30);
const MIB: u64 = 1024 * 1024;

/// Configuration of auth; `config.default.toml` documents every key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// URI of the store.
    pub store: StoreUri,
    /// What this deployment is for.
    pub profile: Profile,
    /// Shared secret for HS256; empty for EdDSA.
    pub jwt_secret: Secret,
    /// File with the private key; empty for the one in the store.
    pub signing_key_file: String,
    /// Lifetime of an access token.
    #[serde(with = "humantime_serde")]
    pub access_token_ttl: Duration,
    /// Lifetime of a login.
    #[serde(with = "humantime_serde")]
    pub refresh_token_ttl: Duration,
    /// Grace of the immediate parent.
    #[serde(with = "humantime_serde")]
    pub refresh_grace: Duration,
    /// How often what expired is deleted.
    #[serde(with = "humantime_serde")]
    pub purge_every: Duration,
    /// Largest request body.
    pub body_limit: ByteSize,
    /// Password hashing.
    pub argon2: Argon2Config,
    /// Login throttling.
    pub throttle: ThrottleConfig,
    /// How PostgreSQL is used.
    pub postgres: Options,
}

/// What a deployment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Laptops and tests.
    Development,
    /// Real users.
    Production,
}

/// Password hashing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argon2Config {
    /// Memory of one hash.
    pub memory: ByteSize,
    /// Passes over it.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Hashes at once; 0 means one per core.
    pub slots: usize,
    /// Requests that may wait.
    pub queue: usize,
}

/// Login throttling.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottleConfig {
    /// Failures per account and address that cost nothing.
    pub free_attempts: u32,
    /// Failures per account that cost nothing.
    pub free_account_attempts: u32,
    /// The first delay.
    #[serde(with = "humantime_serde")]
    pub first_delay: Duration,
    /// The longest delay.
    #[serde(with = "humantime_serde")]
    pub longest_delay: Duration,
    /// When failures are forgotten.
    #[serde(with = "humantime_serde")]
    pub forget_after: Duration,
    /// How long an address stays known.
    #[serde(with = "humantime_serde")]
    pub known_address_ttl: Duration,
    /// How much is remembered.
    pub capacity: usize,
}

impl ThrottleConfig {
    /// The rules of the domain.
    pub(crate) fn rules(&self) -> ThrottleRules {
        ThrottleRules {
            free_attempts: self.free_attempts,
            free_account_attempts: self.free_account_attempts,
            first_delay: self.first_delay,
            longest_delay: self.longest_delay,
            forget_after: self.forget_after,
            capacity: self.capacity,
        }
    }
}

impl Argon2Config {
    /// Whether the parameters reach the floor of OWASP ASVS 5, appendix C.
    fn is_strong(&self) -> bool {
        let mib = self.memory.as_u64() / MIB;
        matches!((self.iterations, mib), (1, 46..) | (2, 19..) | (3.., 12..))
    }
}

impl Section for Config {
    const NAME: &'static str = "auth";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    const PLAIN: &'static [(&'static str, &'static str)] = &[("JWT_SECRET_KEY", "jwt_secret")];

    fn validate(&self, problems: &mut Problems) {
        self.postgres.validate(problems);
        problems.check(
            self.store.backend().is_ok(),
            "store",
            "must begin with `sqlite:` or `postgres://`",
        );
        let secret = self.jwt_secret.expose().len();
        problems.check(
            secret == 0 || secret >= MIN_SECRET_BYTES,
            "jwt_secret",
            "must have at least 32 bytes (JWT_SECRET_KEY); leave it empty for EdDSA",
        );
        if secret >= MIN_SECRET_BYTES
            && let Some(why) = credentials::weak_key(self.jwt_secret.expose())
        {
            problems.add("jwt_secret", why);
        }
        problems.check(
            self.jwt_secret.is_empty() || self.signing_key_file.is_empty(),
            "signing_key_file",
            "cannot be used together with `jwt_secret`",
        );
        problems.check(
            (MIN_ACCESS_TTL..=MAX_ACCESS_TTL).contains(&self.access_token_ttl),
            "access_token_ttl",
            "must be between 30s and 15m",
        );
        problems.check(
            self.refresh_token_ttl > self.access_token_ttl
                && self.refresh_token_ttl <= Duration::from_hours(24 * 365),
            "refresh_token_ttl",
            "must be longer than `access_token_ttl` and at most 365 days",
        );
        problems.check(
            self.refresh_grace <= Duration::from_mins(1),
            "refresh_grace",
            "must be at most 1m",
        );
        problems.check(
            self.purge_every >= Duration::from_secs(1),
            "purge_every",
            "must be at least 1s",
        );
        problems.check(
            (1024..=MIB).contains(&self.body_limit.as_u64()),
            "body_limit",
            "must be between 1 KiB and 1 MiB",
        );
        self.argon2.validate(problems);
        self.throttle.validate(problems);
    }
}

impl Argon2Config {
    fn validate(&self, problems: &mut Problems) {
        problems.check(
            self.is_strong(),
            "argon2",
            "is below the floor: 19 MiB with 2 iterations, 46 MiB with 1, 12 MiB with 3",
        );
        problems.check(
            self.memory.as_u64() <= 1024 * MIB && self.iterations <= 100,
            "argon2",
            "takes more than 1 GiB or more than 100 iterations per hash",
        );
        problems.check(
            (1..=16).contains(&self.parallelism),
            "argon2.parallelism",
            "must be 1 to 16",
        );
        problems.check(self.slots <= 1024, "argon2.slots", "must be at most 1024");
        problems.check(
            self.queue <= 100_000,
            "argon2.queue",
            "must be at most 100000",
        );
    }
}

impl ThrottleConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.check(
            self.free_attempts > 0,
            "throttle.free_attempts",
            "must be positive",
        );
        problems.check(
            self.free_account_attempts >= self.free_attempts,
            "throttle.free_account_attempts",
            "must not be below `free_attempts`",
        );
        problems.check(
            !self.first_delay.is_zero() && self.first_delay <= self.longest_delay,
            "throttle.first_delay",
            "must be positive and at most `longest_delay`",
        );
        problems.check(
            self.longest_delay <= self.forget_after,
            "throttle.longest_delay",
            "must be at most `forget_after`",
        );
        problems.check(
            self.capacity >= 100,
            "throttle.capacity",
            "must be at least 100",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use touchstone_config::Loader;

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let loader = pairs.iter().fold(Loader::new(), |loader, (key, value)| {
            loader.set(*key, *value)
        });
        loader
            .section::<Config>()
            .err()
            .map(|error| error.problems)
            .unwrap_or_default()
    }

    #[test]
    fn the_defaults_hold() {
        let config: Config = touchstone_config::defaults();
        assert_eq!(config.argon2.memory, ByteSize::mib(19));
        assert!(config.access_token_ttl <= Duration::from_mins(5));
        assert_eq!(config.refresh_grace, Duration::from_secs(10));
    }

    #[test]
    fn a_short_secret_refuses_the_start_and_is_not_shown() {
        let environment = [(
            "JWT_SECRET_KEY".to_owned(),
            "hunter2-hunter2-hunter2".to_owned(),
        )];
        let error = Loader::new()
            .environment(BTreeMap::from(environment))
            .section::<Config>()
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`auth.jwt_secret`: must have at least 32 bytes"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        let config: Config = Loader::new()
            .environment(BTreeMap::from([(
                "JWT_SECRET_KEY".to_owned(),
                "a secret that is for this test alone".to_owned(),
            )]))
            .section()
            .unwrap();
        assert_eq!(format!("{:?}", config.jwt_secret), "***");
    }

    #[test]
    fn weak_hashing_is_refused() {
        let mebibytes = |memory: &str, iterations: &str| {
            problems(&[
                ("auth.argon2.memory", memory),
                ("auth.argon2.iterations", iterations),
            ])
        };
        for (memory, iterations) in [
            ("19 MiB", "2"),
            ("46 MiB", "1"),
            ("12 MiB", "3"),
            ("12 MiB", "5"),
        ] {
            assert_eq!(mebibytes(memory, iterations), Vec::<String>::new());
        }
        for (memory, iterations) in [
            ("18 MiB", "2"),
            ("45 MiB", "1"),
            ("11 MiB", "9"),
            ("64 MiB", "0"),
        ] {
            assert_eq!(
                mebibytes(memory, iterations).len(),
                1,
                "{memory} {iterations}"
            );
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let found = problems(&[
            ("auth.access_token_ttl", "1h"),
            ("auth.refresh_grace", "5m"),
            ("auth.throttle.free_attempts", "0"),
            ("auth.argon2.parallelism", "0"),
        ]);
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
