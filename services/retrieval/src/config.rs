use std::time::Duration;

use serde::{Deserialize, Serialize};
use touchstone_config::{Problems, Section};

use crate::domain::expansion::Feedback;
use crate::domain::fusion::Fusion;
use crate::domain::rerank::FeatureWeights;

/// Configuration of retrieval; `config.default.toml` explains every key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Collection of the chunks.
    pub collection: String,
    /// Candidates per signal.
    pub candidates: usize,
    /// Hits when a request does not say.
    pub default_limit: usize,
    /// Longest search.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Whether the words of questions are recorded for statistics.
    pub record_queries: bool,
    /// How signals become one score.
    pub fusion: FusionConfig,
    /// Feature rerank.
    pub rerank: RerankConfig,
    /// Near-duplicates and MMR.
    pub diversity: DiversityConfig,
    /// Pseudo-relevance feedback.
    pub expansion: ExpansionConfig,
    /// Context assembly.
    pub context: ContextConfig,
}

/// Name of a fusion method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FusionMethod {
    /// Weighted sum of min-max normalised scores.
    WeightedSum,
    /// Reciprocal rank fusion.
    Rrf,
}

/// How signals become one score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FusionConfig {
    /// Method.
    pub method: FusionMethod,
    /// Constant of reciprocal rank fusion.
    pub rrf_constant: f32,
    /// Models of weight 0 (exact id or its beginning).
    pub lexical_models: Vec<String>,
    /// Weights.
    pub weights: SignalWeights,
}

impl FusionConfig {
    /// The method with its constant.
    pub fn fusion(&self) -> Fusion {
        match self.method {
            FusionMethod::WeightedSum => Fusion::WeightedSum,
            FusionMethod::Rrf => Fusion::Rrf(self.rrf_constant),
        }
    }

    /// Whether a model's vectors are lexical though they look dense.
    pub fn is_lexical(&self, model: &str) -> bool {
        self.lexical_models
            .iter()
            .any(|known| model.starts_with(known.as_str()))
    }
}

/// Weights of the signals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalWeights {
    /// Terms.
    pub bm25: f32,
    /// Character n-grams.
    pub chars: f32,
    /// Dense vectors.
    pub dense: f32,
}

/// Feature rerank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankConfig {
    /// When a request does not say.
    pub enabled: bool,
    /// Candidates that are reranked.
    pub depth: usize,
    /// Weights of the features.
    pub weights: FeatureWeightsConfig,
}

/// Weights of the features; see [`FeatureWeights`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the same fields as FeatureWeights")]
pub struct FeatureWeightsConfig {
    pub coverage: f32,
    pub proximity: f32,
    pub pairs: f32,
    pub sentence: f32,
    pub title: f32,
    pub recency: f32,
}

impl From<FeatureWeightsConfig> for FeatureWeights {
    fn from(config: FeatureWeightsConfig) -> Self {
        let FeatureWeightsConfig {
            coverage,
            proximity,
            pairs,
            sentence,
            title,
            recency,
        } = config;
        Self {
            coverage,
            proximity,
            pairs,
            sentence,
            title,
            recency,
        }
    }
}

/// Near-duplicates and MMR.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiversityConfig {
    /// MMR when a request does not say; 1 is off.
    pub lambda: f32,
    /// Share of repetition that drops a hit.
    pub near_duplicate: f32,
}

/// Pseudo-relevance feedback.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpansionConfig {
    /// When a request does not say.
    pub enabled: bool,
    /// Passages that are trusted.
    pub passages: usize,
    /// Terms that are taken.
    pub terms: usize,
    /// Share of the passages that must hold a term.
    pub agreement: f32,
    /// Weight of a term.
    pub weight: f32,
}

impl From<ExpansionConfig> for Feedback {
    fn from(config: ExpansionConfig) -> Self {
        Self {
            passages: config.passages,
            terms: config.terms,
            agreement: config.agreement,
        }
    }
}

/// Context assembly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextConfig {
    /// Bytes that a chunk grows to.
    pub parent_bytes: usize,
    /// Hits that may enter.
    pub hits: usize,
    /// Share of one document when there are others.
    pub document_share: f32,
}

impl Section for Config {
    const NAME: &'static str = "retrieval";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");

    fn validate(&self, problems: &mut Problems) {
        let share = |value: f32| (0.0..=1.0).contains(&value);
        let weight = |value: f32| value.is_finite() && value >= 0.0;
        problems.check(
            !self.collection.is_empty(),
            "collection",
            "must not be empty",
        );
        let depth = (100..=1000).contains(&self.candidates);
        problems.check(depth, "candidates", "must be between 100 and 1000");
        let limit = (1..=100).contains(&self.default_limit);
        problems.check(limit, "default_limit", "must be between 1 and 100");
        problems.check(!self.timeout.is_zero(), "timeout", "must be positive");
        let SignalWeights { bm25, chars, dense } = self.fusion.weights;
        for (value, key) in [(bm25, "bm25"), (chars, "chars"), (dense, "dense")] {
            problems.check(
                weight(value),
                &format!("fusion.weights.{key}"),
                "must not be negative",
            );
        }
        problems.check(
            bm25 + chars > 0.0,
            "fusion.weights",
            "bm25 and chars must not both be 0",
        );
        let constant = self.fusion.rrf_constant;
        problems.check(
            weight(constant),
            "fusion.rrf_constant",
            "must not be negative",
        );
        let weights = self.rerank.weights;
        for (value, key) in [
            (weights.coverage, "coverage"),
            (weights.proximity, "proximity"),
            (weights.pairs, "pairs"),
            (weights.sentence, "sentence"),
            (weights.title, "title"),
            (weights.recency, "recency"),
        ] {
            problems.check(
                weight(value),
                &format!("rerank.weights.{key}"),
                "must not be negative",
            );
        }
        problems.check(
            share(self.diversity.lambda),
            "diversity.lambda",
            "must be between 0 and 1",
        );
        let repeated = self.diversity.near_duplicate > 0.0;
        problems.check(repeated, "diversity.near_duplicate", "must be positive");
        problems.check(
            self.expansion.passages >= 2,
            "expansion.passages",
            "must be at least 2",
        );
        let agreement = share(self.expansion.agreement);
        problems.check(agreement, "expansion.agreement", "must be between 0 and 1");
        problems.check(
            weight(self.expansion.weight),
            "expansion.weight",
            "must not be negative",
        );
        let parent = self.context.parent_bytes <= 20_000;
        problems.check(parent, "context.parent_bytes", "must be at most 20000");
        let hits = (1..=100).contains(&self.context.hits);
        problems.check(hits, "context.hits", "must be between 1 and 100");
        let document = share(self.context.document_share) && self.context.document_share > 0.0;
        problems.check(
            document,
            "context.document_share",
            "must be above 0 and at most 1",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_their_own_rules() {
        let config: Config = touchstone_config::defaults();
        assert_eq!(config.candidates, 100);
        assert_eq!(config.fusion.fusion(), Fusion::WeightedSum);
        let weights = FeatureWeights::from(config.rerank.weights);
        assert_eq!(weights, FeatureWeights::default());
    }

    #[test]
    fn tells_every_mistake_at_once() {
        let loader = touchstone_config::Loader::new()
            .set("retrieval.candidates", "10")
            .set("retrieval.diversity.lambda", "1.5");
        let error = loader.section::<Config>().unwrap_err();
        assert_eq!(error.problems.len(), 2, "{error}");
    }
}
