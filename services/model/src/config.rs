//! The `[model]` section.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use touchstone_api::model::{ModelRuntime, ModelTask};
use touchstone_config::{Problems, Secret, Section};

use crate::registry::is_valid_id;
use crate::runtime::Prefixes;

/// Configuration of the model service; `config.default.toml` explains each key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder with one model per subfolder.
    pub directory: PathBuf,
    /// Embedder that answers when none is named; empty for none.
    pub active: String,
    /// Most memory for weights.
    pub memory_limit: ByteSize,
    /// Computations at once.
    pub workers: usize,
    /// Requests that may wait.
    pub queue: usize,
    /// Tokens that are computed at once.
    pub batch_tokens: usize,
    /// Longest text.
    pub max_text_bytes: ByteSize,
    /// Models by hand.
    pub models: Vec<ModelConfig>,
}

/// One entry of `models`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name.
    pub id: String,
    /// How it runs.
    pub runtime: ModelRuntime,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<ModelTask>,
    /// Folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Base URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Key.
    #[serde(default)]
    pub key: Secret,
    /// Name at the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Length of its vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<usize>,
    /// Most time for one call.
    #[serde(default = "thirty_seconds", with = "humantime_serde")]
    pub timeout: Duration,
    /// Put before texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefixes: Option<Prefixes>,
    /// Longest input in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// Load at start.
    #[serde(default)]
    pub auto_load: bool,
    /// Whether it answers when none is named.
    #[serde(default)]
    pub active: bool,
}

const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

impl Config {
    /// Id of the active embedder, wherever it is named.
    pub fn active_id(&self) -> Option<&str> {
        if self.active.is_empty() {
            self.models
                .iter()
                .find(|model| model.active)
                .map(|model| model.id.as_str())
        } else {
            Some(&self.active)
        }
    }
}

impl Section for Config {
    const NAME: &'static str = "model";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    const PLAIN: &'static [(&'static str, &'static str)] =
        &[("EMBEDDING_MODEL", "active"), ("MODELS_DIR", "directory")];

    fn validate(&self, problems: &mut Problems) {
        problems.check(self.workers > 0, "workers", "must be positive");
        problems.check(self.queue > 0, "queue", "must be positive");
        problems.check(
            self.batch_tokens >= 64,
            "batch_tokens",
            "must be 64 or more",
        );
        problems.check(
            self.max_text_bytes.as_u64() > 0,
            "max_text_bytes",
            "must be positive",
        );
        let flagged: Vec<_> = self.models.iter().filter(|model| model.active).collect();
        let named = self.active.is_empty() || flagged.iter().all(|model| model.id == self.active);
        problems.check(
            flagged.len() <= 1 && named,
            "active",
            "more than one model is said to be the active one",
        );
        for (place, model) in self.models.iter().enumerate() {
            let key = format!("models.{place}");
            let twice = self.models[..place]
                .iter()
                .any(|other| other.id == model.id);
            problems.check(!twice, &key, "an earlier entry has the same id");
            problems.check(
                is_valid_id(&model.id),
                &format!("{key}.id"),
                "must be 1 to 64 letters, digits, `.`, `_` or `-`, and begin with a letter or digit",
            );
            model.validate(&key, problems);
        }
    }
}

impl ModelConfig {
    fn validate(&self, key: &str, problems: &mut Problems) {
        let of = |name: &str| format!("{key}.{name}");
        let openai = self.runtime == ModelRuntime::Openai;
        let http = self
            .url
            .as_deref()
            .is_some_and(|url| url.starts_with("http://") || url.starts_with("https://"));
        problems.check(
            !openai || http,
            &of("url"),
            "an openai model wants an http(s) base URL",
        );
        let candle = self.runtime == ModelRuntime::Candle;
        problems.check(
            candle || self.path.is_none(),
            &of("path"),
            "only candle models have a folder",
        );
        let embeds = candle || self.task != Some(ModelTask::Rerank);
        problems.check(embeds, &of("task"), "only candle models rerank");
        problems.check(
            !(self.active && self.task == Some(ModelTask::Rerank)),
            &of("active"),
            "only an embedder can be the active model",
        );
        problems.check(!self.timeout.is_zero(), &of("timeout"), "must be positive");
        problems.check(
            self.dimension != Some(0),
            &of("dimension"),
            "must be positive",
        );
        problems.check(
            self.dimension.is_none_or(|dimension| dimension <= 65_536),
            &of("dimension"),
            "must be 65536 or less",
        );
        problems.check(
            self.max_tokens.is_none_or(|tokens| tokens >= 8),
            &of("max_tokens"),
            "must be 8 or more",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_config::{Loader, defaults};

    #[test]
    fn the_defaults_hold_and_dense_is_off() {
        let config: Config = defaults();
        assert_eq!(config.active_id(), None);
        assert!(config.models.is_empty());
    }

    #[test]
    fn a_list_of_models_comes_in_one_variable() {
        let list = r#"[{id = "remote", runtime = "openai", url = "http://127.0.0.1:1/v1",
            key = "k", active = true}, {id = "h", runtime = "hash", dimension = 8}]"#;
        let list = list.replace('\n', " ");
        let config: Config = Loader::new().set("model.models", list).section().unwrap();
        assert_eq!(config.active_id(), Some("remote"));
        assert_eq!(config.models[0].timeout, Duration::from_secs(30));
        assert!(!format!("{config:?}").contains("\"k\""));
    }

    #[test]
    fn reports_every_mistake_of_the_list() {
        let list = r#"[{id = "../x", runtime = "openai", active = true},
            {id = "h", runtime = "hash", task = "rerank", dimension = 0, active = true},
            {id = "h", runtime = "candle", max_tokens = 1}]"#;
        let list = list.replace('\n', " ");
        let error = Loader::new()
            .set("model.models", list)
            .section::<Config>()
            .unwrap_err();
        assert_eq!(error.problems.len(), 8, "{error}");
    }
}
