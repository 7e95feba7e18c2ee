use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use touchstone_config::{Problems, Secret, Section};

use crate::store::{QdrantOptions, is_qdrant};

/// Configuration of vector; `config.default.toml` explains every key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where points live.
    pub store: String,
    /// Threads of the index; 0: one per processor.
    pub threads: usize,
    /// Requests that may wait for such a thread.
    pub max_waiting: usize,
    /// Memory for payloads that were read lately.
    pub payload_cache: ByteSize,
    /// Largest body of a request.
    pub max_body: ByteSize,
    /// How a Qdrant server is used.
    pub qdrant: QdrantConfig,
}

/// How a Qdrant server is used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QdrantConfig {
    /// Sent with every request.
    pub api_key: Secret,
    /// What the names of collections begin with in Qdrant.
    pub prefix: String,
    /// Longest wait for a connection.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Longest wait for the answer of a read.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// Longest wait for a write to be applied.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// Whether dense vectors are compared with all of a tenant's.
    pub exact: bool,
    /// Copies of each shard of a new collection.
    pub replication_factor: u32,
}

impl QdrantConfig {
    pub(crate) fn options(&self) -> QdrantOptions {
        QdrantOptions {
            api_key: self.api_key.clone(),
            prefix: self.prefix.clone(),
            connect_timeout: self.connect_timeout,
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
            exact: self.exact,
            replication_factor: self.replication_factor,
        }
    }
}

impl Section for Config {
    const NAME: &'static str = "vector";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    const PLAIN: &'static [(&'static str, &'static str)] = &[
        ("QDRANT_URL", "store"),
        ("QDRANT_API_KEY", "qdrant.api_key"),
    ];

    fn validate(&self, problems: &mut Problems) {
        problems.check(
            self.store.starts_with("sqlite:") || is_qdrant(&self.store),
            "store",
            "must be `sqlite://<path>`, `sqlite::memory:` or `qdrant://host:6334` (`QDRANT_URL`; \
             `qdrants://` with TLS; no user or key in it)",
        );
        problems.check(self.threads <= 256, "threads", "must be at most 256");
        problems.check(self.max_waiting > 0, "max_waiting", "must be positive");
        problems.check(self.max_body.as_u64() > 0, "max_body", "must be positive");
        let qdrant = &self.qdrant;
        problems.check(
            qdrant.prefix.len() <= 64
                && qdrant
                    .prefix
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)),
            "qdrant.prefix",
            "must have at most 64 characters of `a-z`, `A-Z`, `0-9`, `_` and `-`",
        );
        for (key, timeout) in [
            ("qdrant.connect_timeout", qdrant.connect_timeout),
            ("qdrant.read_timeout", qdrant.read_timeout),
            ("qdrant.write_timeout", qdrant.write_timeout),
        ] {
            problems.check(!timeout.is_zero(), key, "must be positive");
        }
        problems.check(
            qdrant.replication_factor > 0,
            "qdrant.replication_factor",
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
        insta::assert_json_snapshot!(config, @r#"
        {
          "store": "sqlite://data/vector.db",
          "threads": 0,
          "max_waiting": 1024,
          "payload_cache": "16.0 MiB",
          "max_body": "32.0 MiB",
          "qdrant": {
            "api_key": "",
            "prefix": "touchstone-",
            "connect_timeout": "2s",
            "read_timeout": "5s",
            "write_timeout": "30s",
            "exact": true,
            "replication_factor": 1
          }
        }
        "#);
    }

    #[test]
    fn tells_every_mistake_at_once() {
        let loader = touchstone_config::Loader::new()
            .set("vector.store", "postgres://x")
            .set("vector.max_waiting", "0")
            .set("vector.qdrant.prefix", "a/b")
            .set("vector.qdrant.read_timeout", "0s");
        let error = loader.section::<Config>().unwrap_err();
        assert_eq!(error.problems.len(), 4, "{error}");
    }
}
