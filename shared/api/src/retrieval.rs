//! retrieval: the query plan.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use touchstone_types::{ChunkId, DocumentId, Source};
use utoipa::ToSchema;

use crate::document::Metadata;

/// Which signals a search uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchMode {
    /// What is there: hybrid with a dense model, else lexical.
    #[default]
    Auto,
    /// BM25 and character n-grams.
    Lexical,
    /// Dense only; 409 when no model is active.
    Dense,
    /// All; 409 when no model is active.
    Hybrid,
}

/// Narrows a search. Fields are ANDed, values of a list are ORed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchFilter {
    /// Only these documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 1000)]
    pub document_ids: Option<Vec<DocumentId>>,
    /// Only these languages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub languages: Option<Vec<String>>,
    /// Only these origins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub sources: Option<Vec<Source>>,
    /// Only documents accepted at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<DateTime<Utc>>,
    /// Only documents accepted before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_before: Option<DateTime<Utc>>,
    /// Every one of these facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(schema_with = crate::document::filter_schema)]
    pub metadata: Metadata,
}

/// `POST /search`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// The question, 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000)]
    pub query: String,
    /// Hits, 1 to 100 (default 10). Candidate depth does not depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    #[serde(deserialize_with = "crate::whole::optional")]
    pub limit: Option<usize>,
    /// Signals.
    #[serde(default)]
    pub mode: SearchMode,
    /// Narrows the search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<SearchFilter>,
    /// Feature rerank; the service's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<bool>,
    /// MMR lambda, 0 (diverse) to 1 (off); the service's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub diversity: Option<f32>,
    /// Gated query expansion; the service's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand: Option<bool>,
    /// Return every stage.
    #[serde(default)]
    pub explain: bool,
    /// Assemble a prompt context of at most this many characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 200, maximum = 100_000)]
    #[serde(deserialize_with = "crate::whole::optional")]
    pub context_chars: Option<usize>,
}

/// Answer of `POST /search`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchResponse {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Context for a prompt, when asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextPassage>,
    /// Signals that were used, e.g. `["bm25","chars"]`.
    pub signals: Vec<String>,
    /// Dense model, or `null`: "dense: off".
    pub dense_model: Option<String>,
    /// Confidence that the first hit answers, 0 to 1.
    pub confidence: f32,
    /// Parts that were missing, e.g. `["dense"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<String>,
    /// Every stage, when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explain>,
}

/// A chunk that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hit {
    /// Chunk.
    pub chunk_id: ChunkId,
    /// Document.
    pub document_id: DocumentId,
    /// Version of the document that the offsets belong to.
    pub version: u32,
    /// Its title.
    pub title: String,
    /// Heading above the chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heading: Option<String>,
    /// First byte in the stored text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Exactly those bytes.
    pub text: String,
    /// Language (ISO 639-1).
    pub language: String,
    /// Origin.
    pub source: Source,
    /// Free facts of the document.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: Metadata,
    /// Score after the last stage; only it orders the hits.
    pub score: f32,
    /// Scores by stage: `bm25`, `chars`, `dense` (raw), `fused`, `reranked`.
    pub scores: BTreeMap<String, f32>,
}

/// A passage of the prompt's context: a chunk grown to its parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContextPassage {
    /// Number in the prompt, from 1.
    pub marker: usize,
    /// Document.
    pub document_id: DocumentId,
    /// Version.
    pub version: u32,
    /// The chunk it grew from.
    pub chunk_id: ChunkId,
    /// The document's title.
    pub title: String,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Exactly those bytes.
    pub text: String,
    /// Language (ISO 639-1).
    pub language: String,
    /// Score of the chunk.
    pub score: f32,
    /// Free facts of the document.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: Metadata,
}

/// What each stage saw, kept and dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explain {
    /// In order.
    pub stages: Vec<Stage>,
    /// Fusion weights in force.
    pub weights: BTreeMap<String, f32>,
}

/// One stage of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// `embed`, `bm25`, `chars`, `dense`, `fuse`, `rerank`, `expand`, `diversify`, `context`.
    pub name: String,
    /// Wall-clock milliseconds.
    pub duration_ms: f64,
    /// What left the stage, best first, with its score there.
    pub candidates: Vec<StageCandidate>,
    /// What it dropped, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Dropped>,
    /// More, for people: why a gate stayed shut, which model answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A candidate in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageCandidate {
    /// Chunk.
    pub chunk_id: ChunkId,
    /// Score in this stage.
    pub score: f32,
}

/// A candidate that a stage dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Dropped {
    /// Chunk.
    pub chunk_id: ChunkId,
    /// Why.
    pub reason: String,
}
