//! The calls to embedding and vector: from a question to its candidates.

use std::collections::BTreeMap;
use std::time::Instant;

use touchstone_api::embedding::{BM25, CHARS, DENSE, Embedding, EmbeddingKind, EmbeddingRequest};
use touchstone_api::retrieval::SearchMode;
use touchstone_api::vector::{
    NamedSparseVector, Payload, QueryRequest, QueryResponse, QueryVector,
};
use touchstone_client::ClientError;
use touchstone_error::{Classify, ErrorKind};
use touchstone_identity::Caller;
use touchstone_text::Language;
use touchstone_types::{ChunkId, SparseVector};

use super::trace::{Trace, ordered};
use super::{Query, Retrieval};
use crate::Error;

/// The vectors of a question.
#[derive(Clone, Debug, Default)]
pub(super) struct Vectors {
    pub(super) bm25: SparseVector,
    /// Empty unless the embedding service indexes character n-grams.
    pub(super) chars: SparseVector,
    pub(super) dense: Option<Vec<f32>>,
    pub(super) language: Language,
}

/// A chunk that a signal found.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) id: ChunkId,
    pub(super) payload: Payload,
    pub(super) bm25: f32,
    pub(super) dense: f32,
}

/// The question's vectors, who made the dense one, and whether it is missing though it should be.
pub(super) struct Embedded {
    pub(super) vectors: Vectors,
    pub(super) model: Option<String>,
    pub(super) degraded: bool,
}

impl Retrieval {
    /// Embeds the question. A dense model that fails is done without, except in dense mode.
    pub(super) async fn embed(&self, caller: &Caller, query: &Query) -> Result<Embedded, Error> {
        let sparse_only = query.mode == SearchMode::Lexical;
        let mut degraded = false;
        let mut response = self
            .embed_texts(caller, vec![query.text.clone()], sparse_only)
            .await;
        if let Err(error) = &response
            && !sparse_only
            && query.mode != SearchMode::Dense
            && error.kind() != ErrorKind::Timeout
        {
            tracing::warn!(error = %touchstone_error::chain(error), "dense model failed, searching without");
            degraded = true;
            response = self
                .embed_texts(caller, vec![query.text.clone()], true)
                .await;
        }
        let response = response.map_err(Error::Embedding)?;
        let model = response.model;
        let vectors = response
            .items
            .into_iter()
            .next()
            .map(to_vectors)
            .unwrap_or_default();
        degraded |= model.is_some() && vectors.dense.is_none() && !sparse_only;
        if !sparse_only && !degraded {
            self.remember_model(model.clone());
        }
        let needs_dense = matches!(query.mode, SearchMode::Dense | SearchMode::Hybrid);
        if needs_dense && vectors.dense.is_none() && (!degraded || query.mode == SearchMode::Dense)
        {
            return Err(Error::DenseOff);
        }
        let model = model.filter(|_| vectors.dense.is_some());
        Ok(Embedded {
            vectors,
            model,
            degraded,
        })
    }

    /// The weight-scaled sparse vector of words that join the question.
    pub(super) async fn embed_terms(
        &self,
        caller: &Caller,
        terms: &[String],
    ) -> Option<SparseVector> {
        let response = self
            .embed_texts(caller, vec![terms.join(" ")], true)
            .await
            .ok()?;
        let vectors = to_vectors(response.items.into_iter().next()?);
        let weight = self.config().expansion.weight;
        Some(SparseVector::from_pairs(
            vectors.bm25.iter().map(|(i, v)| (i, v * weight)).collect(),
        ))
    }

    async fn embed_texts(
        &self,
        caller: &Caller,
        input: Vec<String>,
        sparse_only: bool,
    ) -> Result<touchstone_api::embedding::EmbeddingResponse, ClientError> {
        let request = EmbeddingRequest {
            input,
            kind: EmbeddingKind::Query,
            model: None,
            language: None,
            sparse_only,
        };
        self.embedding().embed(caller, &request).await
    }

    /// Asks the vector service for the candidates of every signal, each scored on all of them.
    /// Gives them in the order of their ids, and whether the dense signal had to be left out.
    pub(super) async fn candidates(
        &self,
        caller: &Caller,
        query: &Query,
        vectors: &Vectors,
        trace: &mut Trace,
    ) -> Result<(Vec<Candidate>, bool), Error> {
        let since = Instant::now();
        let mut degraded = false;
        let mut signals = Self::signals(query.mode, vectors);
        let mut response = self.query_vector(caller, query, &signals).await;
        if let Err(error) = &response
            && query.mode != SearchMode::Dense
            && signals.iter().any(|(name, _)| *name == DENSE)
            && is_about_dense(error)
        {
            tracing::warn!(error = %touchstone_error::chain(error), "the collection lacks the model's vectors");
            degraded = true;
            signals.retain(|(name, _)| *name != DENSE);
            response = self.query_vector(caller, query, &signals).await;
        }
        let response = match response {
            // Nothing was ever ingested.
            Err(error) if error.code() == "vector.unknown_collection" => QueryResponse::default(),
            Err(error) if is_about_dense(&error) => return Err(Error::DenseMissing(error)),
            other => other.map_err(Error::Vector)?,
        };
        for ((name, _), result) in signals.iter().zip(&response.results) {
            let found = || ordered(result.iter().map(|point| (point.id, point.score)));
            trace.stage(name, since, None, found, Vec::new);
        }
        Ok((merge(&signals, response), degraded))
    }

    fn signals(mode: SearchMode, vectors: &Vectors) -> Vec<(&'static str, QueryVector)> {
        let mut signals = Vec::new();
        let sparse = |name: &'static str, vector: &SparseVector| {
            let named = NamedSparseVector {
                name: name.to_owned(),
                vector: vector.clone(),
            };
            (name, QueryVector::Sparse(named))
        };
        if mode != SearchMode::Dense {
            for (name, vector) in [(BM25, &vectors.bm25), (CHARS, &vectors.chars)] {
                if !vector.is_empty() {
                    signals.push(sparse(name, vector));
                }
            }
        }
        if mode != SearchMode::Lexical
            && let Some(dense) = &vectors.dense
        {
            signals.push((DENSE, QueryVector::Dense(dense.clone())));
        }
        signals
    }

    async fn query_vector(
        &self,
        caller: &Caller,
        query: &Query,
        signals: &[(&'static str, QueryVector)],
    ) -> Result<QueryResponse, ClientError> {
        if signals.is_empty() {
            return Ok(QueryResponse::default());
        }
        let request = QueryRequest {
            queries: signals.iter().map(|(_, vector)| vector.clone()).collect(),
            limit: self.config().candidates,
            filter: query.filter.clone(),
            complete_scores: true,
            with_payload: true,
        };
        self.vector()
            .query(caller, &self.config().collection, &request)
            .await
    }
}

/// Whether the collection and the model disagree about dense vectors.
fn is_about_dense(error: &ClientError) -> bool {
    matches!(
        error.code(),
        "vector.no_dense" | "vector.dimension_mismatch" | "vector.model_mismatch"
    )
}

fn to_vectors(embedding: Embedding) -> Vectors {
    let Embedding {
        dense,
        mut sparse,
        language,
    } = embedding;
    Vectors {
        bm25: sparse.remove(BM25).unwrap_or_default(),
        chars: sparse.remove(CHARS).unwrap_or_default(),
        dense,
        language: Language::from_code(&language),
    }
}

fn merge(signals: &[(&'static str, QueryVector)], response: QueryResponse) -> Vec<Candidate> {
    let mut found: BTreeMap<ChunkId, Candidate> = response
        .payloads
        .into_iter()
        .map(|(id, payload)| {
            (
                id,
                Candidate {
                    id,
                    payload,
                    bm25: 0.0,
                    dense: 0.0,
                },
            )
        })
        .collect();
    for ((name, _), result) in signals.iter().zip(&response.results) {
        for point in result {
            if let Some(candidate) = found.get_mut(&point.id) {
                match *name {
                    BM25 => candidate.bm25 = point.score,
                    DENSE => candidate.dense = point.score,
                    // Indexed n-grams find candidates; their texts are scored in full.
                    _ => {}
                }
            }
        }
    }
    found.into_values().collect()
}
