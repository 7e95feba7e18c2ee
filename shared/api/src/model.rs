//! model: runtimes of embedders and rerankers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::embedding::EmbeddingKind;

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelTask {
    /// Text to vector.
    Embed,
    /// Query and text to score.
    Rerank,
}

/// Whether a model is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelStatus {
    /// Known, not in memory.
    Unloaded,
    /// On its way.
    Loading,
    /// Answers.
    Loaded,
    /// Could not be loaded; `error` says why.
    Failed,
}

/// Where a model's runtime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelRuntime {
    /// candle, from a local directory.
    Candle,
    /// An OpenAI-compatible server.
    Openai,
    /// Feature hashing of words: lexical, for load tests only.
    Hash,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// Id, the name in the configuration.
    pub id: String,
    /// What it does.
    pub task: ModelTask,
    /// How it runs.
    pub runtime: ModelRuntime,
    /// Directory or URL.
    pub source: String,
    /// State.
    pub status: ModelStatus,
    /// Why loading failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Length of a vector; known once loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<usize>,
    /// Longest input in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// Memory of the weights in bytes while loaded.
    pub memory_bytes: u64,
    /// Whether embedding uses it when no model is named.
    pub active: bool,
    /// Whether its vectors carry no more than words: then fusion gives it no weight.
    pub lexical: bool,
}

/// Answer of `GET /models`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelList {
    /// Every known model.
    pub items: Vec<Model>,
}

/// `POST /models/{id}/embed`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbedRequest {
    /// 1 to 256 texts.
    #[schema(min_items = 1, max_items = 256)]
    pub input: Vec<String>,
    /// What the texts are.
    pub kind: EmbeddingKind,
}

/// Answer of `POST /models/{id}/embed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbedResponse {
    /// The model.
    pub model: String,
    /// Its dimension.
    pub dimension: usize,
    /// `[inputs][dimension]`, L2-normalised.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs.
    pub tokens: usize,
}

/// `POST /models/{id}/rerank`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RerankRequest {
    /// The question.
    #[schema(min_length = 1)]
    pub query: String,
    /// 1 to 100 candidates.
    #[schema(min_items = 1, max_items = 100)]
    pub documents: Vec<String>,
}

/// Answer of `POST /models/{id}/rerank`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RerankResponse {
    /// The model.
    pub model: String,
    /// One per document, in order; higher is better.
    pub scores: Vec<f32>,
}
