//! embedding: text to dense and sparse vectors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use touchstone_types::SparseVector;
use utoipa::ToSchema;

/// Name of the sparse vector of BM25 term weights.
pub const BM25: &str = "bm25";
/// Name of the sparse vector of character n-gram weights.
pub const CHARS: &str = "chars";
/// Name of the dense vector.
pub const DENSE: &str = "dense";

/// Whether a text asks or answers; models and BM25 weigh the two differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingKind {
    /// A question.
    Query,
    /// A text to be found.
    Passage,
}

/// `POST /embeddings`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingRequest {
    /// 1 to 256 texts.
    #[schema(min_items = 1, max_items = 256)]
    pub input: Vec<String>,
    /// What the texts are.
    pub kind: EmbeddingKind,
    /// Dense model; the active one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Language of all texts (ISO 639-1); detected per text when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Leave the dense vectors out, though a model is active.
    #[serde(default)]
    pub sparse_only: bool,
}

/// Answer of `POST /embeddings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingResponse {
    /// Dense model that answered, or `null` when dense is off.
    pub model: Option<String>,
    /// Its dimension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<usize>,
    /// One per input, in order.
    pub items: Vec<Embedding>,
    /// What it took.
    pub usage: Usage,
}

/// The vectors of one text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Embedding {
    /// L2-normalised, `[dimension]`; absent when dense is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<Vec<f32>>,
    /// Sparse vectors by name: `bm25`, `chars`.
    pub sparse: BTreeMap<String, SparseVector>,
    /// Language that was assumed (ISO 639-1), `und` when unknown.
    pub language: String,
}

/// Tokens used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Word tokens of all inputs.
    pub tokens: usize,
}
