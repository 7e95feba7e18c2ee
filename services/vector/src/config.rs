use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use touchstone_config::{Problems, Section};

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
    /// Largest body of a request.
    pub max_body: ByteSize,
}

impl Section for Config {
    const NAME: &'static str = "vector";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");

    fn validate(&self, problems: &mut Problems) {
        problems.check(
            self.store.starts_with("sqlite:"),
            "store",
            "must be `sqlite://<path>` or `sqlite::memory:`",
        );
        problems.check(self.threads <= 256, "threads", "must be at most 256");
        problems.check(self.max_waiting > 0, "max_waiting", "must be positive");
        problems.check(self.max_body.as_u64() > 0, "max_body", "must be positive");
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
          "max_body": "32.0 MiB"
        }
        "#);
    }

    #[test]
    fn tells_every_mistake_at_once() {
        let loader = touchstone_config::Loader::new()
            .set("vector.store", "postgres://x")
            .set("vector.max_waiting", "0");
        let error = loader.section::<Config>().unwrap_err();
        assert_eq!(error.problems.len(), 2, "{error}");
    }
}
