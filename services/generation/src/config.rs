use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use touchstone_config::{Problems, Secret, Section};
use touchstone_simulated_model::Profile;
use touchstone_store::StoreUri;
use touchstone_store::postgres::Options;

use crate::domain::extract;
use crate::domain::simulate;

/// The service's section of the configuration; `config.default.toml` explains every key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where conversations are kept.
    pub store: StoreUri,
    /// Provider that answers when a request names none.
    pub active: String,
    /// Largest request body.
    pub max_body: ByteSize,
    /// Longest time to the head of a response that is not streamed.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How long the head of a streamed answer waits for the provider.
    #[serde(with = "humantime_serde")]
    pub accept_wait: Duration,
    /// When pieces of a streamed answer are sent.
    pub release: Release,
    /// Sizes of prompts.
    pub prompt: PromptConfig,
    /// The citation gate.
    pub gate: GateConfig,
    /// Limits of every provider.
    pub limits: LimitsConfig,
    /// The provider that answers with the context's own sentences.
    pub extractive: ExtractiveConfig,
    /// The provider that behaves like a loaded language model.
    pub simulated: SimulatedConfig,
    /// The provider behind an OpenAI-compatible server.
    pub openai: OpenAiConfig,
    /// How PostgreSQL is used.
    pub postgres: Options,
}

/// When pieces of a streamed answer are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Release {
    /// As they come.
    Token,
    /// After their claim was checked.
    Claim,
}

/// Sizes of prompts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptConfig {
    /// Passages when the request names no limit.
    pub passages: usize,
    /// Most characters of all passages together.
    pub context_chars: usize,
    /// Most messages of the conversation before the question.
    pub history_messages: usize,
    /// Their characters together.
    pub history_chars: usize,
    /// Most tokens of an answer.
    pub max_tokens: u32,
}

/// The citation gate.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateConfig {
    /// Share of a claim's content words that must be supported.
    pub min_support: f64,
}

/// Limits of every provider.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Longest wait for the first token.
    #[serde(with = "humantime_serde")]
    pub first_token: Duration,
    /// Longest wait between tokens.
    #[serde(with = "humantime_serde")]
    pub between_tokens: Duration,
    /// Longest time of an answer.
    #[serde(with = "humantime_serde")]
    pub total: Duration,
    /// Most characters of an answer.
    pub output_chars: usize,
}

/// The extractive provider.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtractiveConfig {
    /// Most sentences of an answer.
    pub max_sentences: usize,
    /// Least share of a sentence after the first.
    pub min_share: f64,
    /// Least confidence of an answer.
    pub min_confidence: f64,
}

impl From<ExtractiveConfig> for extract::Limits {
    fn from(config: ExtractiveConfig) -> Self {
        Self {
            max_sentences: config.max_sentences,
            min_share: config.min_share,
            min_confidence: config.min_confidence,
        }
    }
}

/// The simulated provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedConfig {
    /// Whether requests may name it.
    pub enabled: bool,
    /// Name of its delays.
    pub profile: String,
    /// Seed of texts and delays.
    pub seed: u64,
    /// Answers at the same time.
    pub slots: usize,
    /// Answers that may wait for a slot.
    pub queue: usize,
    /// How much slower a full house is.
    pub load_factor: f64,
    /// Shares of answers that fail.
    pub errors: ErrorsConfig,
    /// Shares of claims with a wrong citation.
    pub faults: FaultsConfig,
}

/// Shares of answers that fail.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorsConfig {
    /// 429.
    pub rate_limited: f64,
    /// 500.
    pub server_error: f64,
    /// Broken in the middle.
    pub cut: f64,
}

/// Shares of claims with a wrong citation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultsConfig {
    /// Marks of no passage.
    pub fabricated_id: f64,
    /// Marks of another passage.
    pub misattributed: f64,
    /// Stitched quotations.
    pub frankenquote: f64,
    /// Changed digits.
    pub number_flip: f64,
    /// Sentences out of nowhere.
    pub ungrounded: f64,
}

impl From<ErrorsConfig> for simulate::ErrorRates {
    fn from(config: ErrorsConfig) -> Self {
        let ErrorsConfig {
            rate_limited,
            server_error,
            cut,
        } = config;
        Self {
            rate_limited,
            server_error,
            cut,
        }
    }
}

impl From<FaultsConfig> for simulate::CitationFaults {
    fn from(config: FaultsConfig) -> Self {
        let FaultsConfig {
            fabricated_id,
            misattributed,
            frankenquote,
            number_flip,
            ungrounded,
        } = config;
        Self {
            fabricated_id,
            misattributed,
            frankenquote,
            number_flip,
            ungrounded,
        }
    }
}

/// The provider behind an OpenAI-compatible server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiConfig {
    /// Its URL with the version, without a slash at the end; empty is off.
    pub base_url: String,
    /// Its key; may be empty.
    pub api_key: Secret,
    /// Its model.
    pub model: String,
    /// Longest wait for a connection.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Tries before the first byte.
    pub attempts: u32,
    /// Wait before the second try.
    #[serde(with = "humantime_serde")]
    pub backoff: Duration,
    /// Longest `Retry-After` that is waited for.
    #[serde(with = "humantime_serde")]
    pub max_retry_after: Duration,
}

impl OpenAiConfig {
    /// The server's URL, if the provider is on.
    pub fn url(&self) -> Option<&str> {
        let base = self.base_url.trim_end_matches('/');
        match (base.is_empty(), self.api_key.is_empty()) {
            (false, _) => Some(base),
            (true, false) => Some("https://api.openai.com/v1"),
            (true, true) => None,
        }
    }
}

impl Section for Config {
    const NAME: &'static str = "generation";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    const PLAIN: &'static [(&'static str, &'static str)] = &[
        ("LLM_PROVIDER", "active"),
        ("OPENAI_API_KEY", "openai.api_key"),
        ("OPENAI_BASE_URL", "openai.base_url"),
        ("OPENAI_MODEL", "openai.model"),
    ];

    fn validate(&self, problems: &mut Problems) {
        self.postgres.validate(problems);
        problems.check(
            self.store.backend().is_ok(),
            "store",
            "must begin with `sqlite:` or `postgres://`",
        );
        let known = match self.active.as_str() {
            "extractive" => true,
            "simulated" => self.simulated.enabled,
            "openai" => self.openai.url().is_some(),
            _ => false,
        };
        problems.check(known, "active", "names no provider that is configured");
        problems.check(
            (1..=20).contains(&self.prompt.passages),
            "prompt.passages",
            "must be from 1 to 20",
        );
        problems.check(
            (200..=100_000).contains(&self.prompt.context_chars),
            "prompt.context_chars",
            "must be from 200 to 100000",
        );
        problems.check(
            self.prompt.max_tokens > 0,
            "prompt.max_tokens",
            "must be positive",
        );
        problems.check(
            self.limits.output_chars > 0,
            "limits.output_chars",
            "must be positive",
        );
        let waits = [
            ("request_timeout", self.request_timeout),
            ("limits.first_token", self.limits.first_token),
            ("limits.between_tokens", self.limits.between_tokens),
            ("limits.total", self.limits.total),
            ("openai.connect_timeout", self.openai.connect_timeout),
        ];
        for (key, wait) in waits {
            problems.check(!wait.is_zero(), key, "must be positive");
        }
        problems.check(
            self.extractive.max_sentences > 0,
            "extractive.max_sentences",
            "must be positive",
        );
        problems.check(
            Profile::named(&self.simulated.profile).is_some(),
            "simulated.profile",
            "names no known profile",
        );
        problems.check(
            self.simulated.slots > 0,
            "simulated.slots",
            "must be positive",
        );
        problems.check(
            self.simulated.load_factor >= 0.0 && self.simulated.load_factor.is_finite(),
            "simulated.load_factor",
            "must not be negative",
        );
        problems.check(
            self.openai.attempts > 0,
            "openai.attempts",
            "must be positive",
        );
        let url = &self.openai.base_url;
        problems.check(
            url.is_empty() || url.starts_with("http://") || url.starts_with("https://"),
            "openai.base_url",
            "must begin with http:// or https://",
        );
        let (errors, faults) = (&self.simulated.errors, &self.simulated.faults);
        let shares = [
            ("gate.min_support", self.gate.min_support),
            ("extractive.min_share", self.extractive.min_share),
            ("extractive.min_confidence", self.extractive.min_confidence),
            (
                "simulated.errors",
                errors.rate_limited + errors.server_error + errors.cut,
            ),
            (
                "simulated.faults",
                faults.fabricated_id
                    + faults.misattributed
                    + faults.frankenquote
                    + faults.number_flip
                    + faults.ungrounded,
            ),
        ];
        for (key, share) in shares {
            problems.check((0.0..=1.0).contains(&share), key, "must be from 0 to 1");
        }
    }
}

#[cfg(test)]
mod tests {
    use touchstone_config::Loader;

    use super::*;

    #[test]
    fn the_defaults_hold() {
        let config: Config = touchstone_config::defaults();
        assert_eq!(config.active, "extractive");
        assert_eq!(config.openai.url(), None);
    }

    #[test]
    fn a_key_alone_turns_openai_on() {
        let loader = Loader::new()
            .set("generation.openai.api_key", "k")
            .set("generation.active", "openai");
        let config: Config = loader.section().unwrap();
        assert_eq!(config.openai.url(), Some("https://api.openai.com/v1"));
    }

    #[test]
    fn tells_every_mistake() {
        let loader = Loader::new()
            .set("generation.active", "openai")
            .set("generation.simulated.profile", "gpt-9")
            .set("generation.simulated.faults.ungrounded", "1.5")
            .set("generation.prompt.passages", "0");
        let error = loader.section::<Config>().unwrap_err();
        assert_eq!(error.problems.len(), 4, "{error}");
    }
}
