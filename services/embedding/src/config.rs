//! The `[embedding]` section.

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use touchstone_config::{Problems, Section};

use crate::domain::lexical::LexicalParams;

/// Configuration of the embedding service; `config.default.toml` explains each key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long the list of models is believed.
    #[serde(with = "humantime_serde")]
    pub models_ttl: Duration,
    /// Most time for dense vectors.
    #[serde(with = "humantime_serde")]
    pub dense_timeout: Duration,
    /// Longest text.
    pub max_text_bytes: ByteSize,
    /// The sparse vectors.
    pub lexical: LexicalConfig,
    /// The batches in front of the models.
    pub batch: BatchConfig,
    /// The dense vectors that are kept.
    pub cache: CacheConfig,
}

/// `[embedding.lexical]`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LexicalConfig {
    /// BM25 saturation.
    pub k1: f32,
    /// BM25 length normalisation.
    pub b: f32,
    /// Words in a usual passage.
    pub average_tokens: f32,
    /// N-grams per passage.
    pub char_grams: usize,
    /// Requests at once.
    pub workers: usize,
}

impl From<LexicalConfig> for LexicalParams {
    fn from(config: LexicalConfig) -> Self {
        let LexicalConfig {
            k1,
            b,
            average_tokens,
            char_grams,
            ..
        } = config;
        Self {
            k1,
            b,
            average_tokens,
            char_grams,
        }
    }
}

/// `[embedding.batch]`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchConfig {
    /// Texts per call.
    pub max_texts: usize,
    /// Wait for more texts.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    /// Calls at once.
    pub in_flight: usize,
    /// Texts that may wait.
    pub queue: usize,
}

/// `[embedding.cache]`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// Memory.
    pub size: ByteSize,
}

impl Section for Config {
    const NAME: &'static str = "embedding";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");

    fn validate(&self, problems: &mut Problems) {
        let Self { lexical, batch, .. } = self;
        problems.check(
            !self.dense_timeout.is_zero(),
            "dense_timeout",
            "must be positive",
        );
        problems.check(
            self.max_text_bytes.as_u64() > 0,
            "max_text_bytes",
            "must be positive",
        );
        problems.check(lexical.k1 >= 0.0, "lexical.k1", "must be 0 or more");
        problems.check(
            (0.0..=1.0).contains(&lexical.b),
            "lexical.b",
            "must lie in 0 to 1",
        );
        problems.check(
            lexical.average_tokens >= 1.0,
            "lexical.average_tokens",
            "must be 1 or more",
        );
        problems.check(lexical.workers > 0, "lexical.workers", "must be positive");
        problems.check(
            (1..=256).contains(&batch.max_texts),
            "batch.max_texts",
            "must lie in 1 to 256",
        );
        problems.check(
            batch.max_wait <= Duration::from_secs(1),
            "batch.max_wait",
            "must be 1s or less",
        );
        problems.check(batch.in_flight > 0, "batch.in_flight", "must be positive");
        problems.check(
            batch.queue >= 256,
            "batch.queue",
            "must be 256 or more, one whole request",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_are_those_of_the_domain() {
        let config: Config = touchstone_config::defaults();
        assert_eq!(
            LexicalParams::from(config.lexical),
            LexicalParams::default()
        );
    }
}
