//! Measures retrieval and answers on a question collection, through the whole stack in process:
//! upload, ingestion, search with every stage explained, and answers with their citations.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use http::Method;
use serde::Serialize;
use touchstone_api::Page;
use touchstone_api::document::{CreateDocumentRequest, Document};
use touchstone_api::generation::{AskRequest, Citation};
use touchstone_api::retrieval::{SearchRequest, SearchResponse};
use touchstone_api::vector::{ScrollRequest, ScrollResponse};
use touchstone_client::{
    ClientError, DocumentClient, GenerationClient, RetrievalClient, ServiceClient, VectorClient,
};
use touchstone_eval::{Collection, Query, Summary};
use touchstone_identity::Caller;
use touchstone_types::{ByteSpan, ChunkId, DocumentId, DocumentStatus};

use crate::Stack;

/// Calls in flight.
const PARALLEL: usize = 4;
/// Hits per question: enough for recall@100.
const DEPTH: usize = 100;
/// Stages whose candidates are rankings of their own.
const STAGES: [&str; 6] = ["bm25", "chars", "dense", "fuse", "rerank", "diversify"];

/// What was measured on one collection.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the collection.
    pub collection: String,
    /// Documents in it.
    pub documents: usize,
    /// Questions asked.
    pub questions: usize,
    /// Seconds from the first upload to the last document `indexed`.
    pub ingest_seconds: f64,
    /// Chunks in the index.
    pub chunks: usize,
    /// Dense model, if one is active.
    pub dense_model: Option<String>,
    /// A row per stage, in the order of the plan, and `final`.
    pub stages: Vec<StageRow>,
    /// Median of the search's milliseconds.
    pub search_p50_ms: f64,
    /// 95th percentile of them.
    pub search_p95_ms: f64,
    /// Answers, when they were asked for.
    pub answers: Option<Answers>,
}

/// Quality of one stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageRow {
    /// Stage.
    pub stage: String,
    /// Mean nDCG@10.
    pub ndcg_at_10: f64,
    /// Mean reciprocal rank of the first ten.
    pub mrr_at_10: f64,
    /// Share with a relevant first document.
    pub precision_at_1: f64,
    /// Mean recall of the first hundred.
    pub recall_at_100: f64,
}

/// Quality of the answers.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Answers {
    /// Questions asked.
    pub asked: usize,
    /// Share whose first citation is exactly the gold sentence.
    pub gold_sentence_first: f64,
    /// Share with the gold answer inside the first quote.
    pub answer_in_first: f64,
    /// Share with the gold answer inside any quote.
    pub answer_in_any: f64,
    /// Quotes delivered.
    pub quotes: usize,
    /// Share of them that stand byte for byte at their offsets.
    pub quotes_exact: f64,
    /// Questions that were not answered.
    pub abstained: usize,
}

/// An evaluation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A service refused.
    #[error("a service refused")]
    Service(#[from] ClientError),
    /// A document of the collection does not get through.
    #[error("{0} document(s) of the collection failed")]
    Documents(usize),
}

/// One collection in a tenant of its own.
pub struct Evaluation<'a> {
    collection: &'a Collection,
    caller: Caller,
    documents: DocumentClient,
    raw: ServiceClient,
    retrieval: RetrievalClient,
    generation: GenerationClient,
    ids: Vec<DocumentId>,
    by_document: HashMap<DocumentId, usize>,
    by_chunk: HashMap<ChunkId, usize>,
    ingest: Duration,
}

impl<'a> Evaluation<'a> {
    /// Uploads the collection and waits until it is indexed.
    pub async fn prepare(
        stack: &Stack,
        collection: &'a Collection,
    ) -> Result<Self, EvaluationError> {
        let mesh = || stack.common().mesh.clone();
        let caller = Caller::service("evaluation", stack.common().ids.next());
        let mut evaluation = Self {
            collection,
            caller,
            documents: DocumentClient::new(mesh(), "evaluation"),
            raw: ServiceClient::new(mesh(), "evaluation", "document"),
            retrieval: RetrievalClient::new(mesh(), "evaluation"),
            generation: GenerationClient::new(mesh(), "evaluation"),
            ids: Vec::new(),
            by_document: HashMap::new(),
            by_chunk: HashMap::new(),
            ingest: Duration::ZERO,
        };
        let started = Instant::now();
        evaluation.upload().await?;
        evaluation.wait().await?;
        evaluation.ingest = started.elapsed();
        evaluation
            .map_chunks(&VectorClient::new(mesh(), "evaluation"))
            .await?;
        Ok(evaluation)
    }

    /// Searches every question, and asks it if `answers`.
    pub async fn run(
        &self,
        questions: Option<usize>,
        answers: bool,
    ) -> Result<Report, EvaluationError> {
        let count = questions
            .unwrap_or(usize::MAX)
            .min(self.collection.queries.len());
        let queries = &self.collection.queries[..count];
        let searches: Vec<(SearchResponse, Duration)> = futures_util::stream::iter(queries)
            .map(|query| self.search(query))
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        let mut milliseconds: Vec<f64> = searches
            .iter()
            .map(|(_, took)| took.as_secs_f64() * 1e3)
            .collect();
        milliseconds.sort_by(f64::total_cmp);
        let answers = if answers {
            Some(self.answers(queries).await?)
        } else {
            None
        };
        Ok(Report {
            collection: self.collection.name.clone(),
            documents: self.collection.documents.len(),
            questions: queries.len(),
            ingest_seconds: self.ingest.as_secs_f64(),
            chunks: self.by_chunk.len(),
            dense_model: searches
                .first()
                .and_then(|(response, _)| response.dense_model.clone()),
            stages: self.stages(queries, &searches),
            search_p50_ms: percentile(&milliseconds, 0.5),
            search_p95_ms: percentile(&milliseconds, 0.95),
            answers,
        })
    }

    async fn upload(&mut self) -> Result<(), EvaluationError> {
        let uploads = self
            .collection
            .documents
            .iter()
            .enumerate()
            .map(|(index, document)| {
                let content = if document.title.is_empty() || !document.sentences.is_empty() {
                    document.text.clone()
                } else {
                    format!("{}\n\n{}", document.title, document.text)
                };
                let request = CreateDocumentRequest {
                    filename: format!("{index:06}.txt"),
                    content,
                    mime: Some("text/plain".into()),
                    language: Some(self.collection.language.code().into()),
                    metadata: std::collections::BTreeMap::default(),
                };
                let (documents, caller) = (&self.documents, &self.caller);
                async move { documents.create(caller, &request).await }
            });
        let uploads = uploads.collect::<Vec<_>>();
        let accepted: Vec<_> = futures_util::stream::iter(uploads)
            .buffered(PARALLEL * 4)
            .try_collect()
            .await?;
        self.ids = accepted.iter().map(|document| document.id).collect();
        self.by_document = self
            .ids
            .iter()
            .enumerate()
            .map(|(index, id)| (*id, index))
            .collect();
        Ok(())
    }

    async fn wait(&self) -> Result<(), EvaluationError> {
        for status in DocumentStatus::ALL
            .iter()
            .filter(|status| !status.is_settled())
        {
            while self.count(*status).await? > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        match self.count(DocumentStatus::Failed).await? {
            0 => Ok(()),
            failed => Err(EvaluationError::Documents(failed)),
        }
    }

    /// Documents in a state, as far as one page tells.
    async fn count(&self, status: DocumentStatus) -> Result<usize, ClientError> {
        let path = format!("/documents?status={status}&limit=200");
        let page: Page<Document> = self
            .raw
            .call(&self.caller, Method::GET, &path, None::<&()>)
            .await?;
        Ok(page.items.len())
    }

    async fn map_chunks(&mut self, vectors: &VectorClient) -> Result<(), ClientError> {
        let mut after = None;
        loop {
            let request = ScrollRequest {
                limit: Some(1000),
                after,
                ..ScrollRequest::default()
            };
            let page: ScrollResponse = vectors.scroll(&self.caller, "chunks", &request).await?;
            for point in page.points {
                if let Some(document) = self.by_document.get(&point.payload.document_id) {
                    self.by_chunk.insert(point.id, *document);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn search(&self, query: &Query) -> Result<(SearchResponse, Duration), ClientError> {
        let request = SearchRequest {
            query: query.text.clone(),
            limit: Some(DEPTH),
            explain: true,
            ..SearchRequest::default()
        };
        let started = Instant::now();
        let response = self.retrieval.search(&self.caller, &request).await?;
        Ok((response, started.elapsed()))
    }

    fn stages(&self, queries: &[Query], searches: &[(SearchResponse, Duration)]) -> Vec<StageRow> {
        let mut rows = Vec::new();
        for name in STAGES {
            let mut summary = Summary::default();
            for (query, (response, _)) in queries.iter().zip(searches) {
                let stages = response.explain.as_ref().map(|explain| &explain.stages);
                let stage =
                    stages.and_then(|stages| stages.iter().find(|stage| stage.name == name));
                if let Some(stage) = stage {
                    let chunks = stage.candidates.iter().map(|candidate| candidate.chunk_id);
                    summary.add(query, &self.ranking(chunks));
                }
            }
            if summary.queries > 0 {
                rows.push(row(name, &summary));
            }
        }
        let mut summary = Summary::default();
        for (query, (response, _)) in queries.iter().zip(searches) {
            summary.add(
                query,
                &self.ranking(response.hits.iter().map(|hit| hit.chunk_id)),
            );
        }
        rows.push(row("final", &summary));
        rows
    }

    /// Documents in the order of their first chunk.
    fn ranking(&self, chunks: impl Iterator<Item = ChunkId>) -> Vec<usize> {
        let mut ranking = Vec::new();
        for document in chunks.filter_map(|chunk| self.by_chunk.get(&chunk)) {
            if !ranking.contains(document) {
                ranking.push(*document);
            }
        }
        ranking
    }

    async fn answers(&self, queries: &[Query]) -> Result<Answers, EvaluationError> {
        let answered: Vec<(&Query, Vec<Citation>)> = futures_util::stream::iter(queries)
            .map(|query| async move {
                let request = AskRequest {
                    question: query.text.clone(),
                    ..AskRequest::default()
                };
                let response = self.generation.ask(&self.caller, &request).await?;
                Ok::<_, ClientError>((query, response.citations))
            })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
        let count = |test: &dyn Fn(&Query, &[Citation]) -> bool| {
            let good = answered
                .iter()
                .filter(|(query, citations)| test(query, citations))
                .count();
            share(good, answered.len())
        };
        let quotes: Vec<&Citation> = answered
            .iter()
            .flat_map(|(_, citations)| citations)
            .collect();
        let exact = quotes
            .iter()
            .filter(|citation| self.stands(citation))
            .count();
        Ok(Answers {
            asked: answered.len(),
            gold_sentence_first: count(&|query, citations| {
                citations
                    .first()
                    .is_some_and(|citation| self.is_gold_sentence(query, citation))
            }),
            answer_in_first: count(&|query, citations| {
                citations
                    .first()
                    .is_some_and(|citation| self.holds_answer(query, citation))
            }),
            answer_in_any: count(&|query, citations| {
                citations
                    .iter()
                    .any(|citation| self.holds_answer(query, citation))
            }),
            quotes: quotes.len(),
            quotes_exact: share(exact, quotes.len()),
            abstained: answered
                .iter()
                .filter(|(_, citations)| citations.is_empty())
                .count(),
        })
    }

    fn stands(&self, citation: &Citation) -> bool {
        let document = self.by_document.get(&citation.document_id);
        let text = document.map(|document| &self.collection.documents[*document].text);
        text.and_then(|text| text.get(citation.start..citation.end)) == Some(&*citation.quote)
    }

    fn is_gold_sentence(&self, query: &Query, citation: &Citation) -> bool {
        self.gold(query, citation)
            .is_some_and(|(document, answer)| {
                let document = &self.collection.documents[document];
                let sentence = document
                    .sentences
                    .iter()
                    .find(|sentence| (sentence.start..sentence.end).contains(&answer.start));
                sentence
                    .and_then(|sentence| sentence.of(&document.text))
                    .is_some_and(|sentence| sentence.trim() == citation.quote.trim())
            })
    }

    fn holds_answer(&self, query: &Query, citation: &Citation) -> bool {
        self.gold(query, citation)
            .is_some_and(|(_, answer)| citation.start <= answer.start && answer.end <= citation.end)
    }

    /// The gold document and answer that a citation may be compared with.
    fn gold(&self, query: &Query, citation: &Citation) -> Option<(usize, ByteSpan)> {
        let document = *self.by_document.get(&citation.document_id)?;
        let gold = query
            .relevant
            .iter()
            .find(|gold| gold.document == document)?;
        Some((document, gold.answer?))
    }
}

fn row(stage: &str, summary: &Summary) -> StageRow {
    StageRow {
        stage: stage.to_owned(),
        ndcg_at_10: summary.ndcg_at_10,
        mrr_at_10: summary.mrr_at_10,
        precision_at_1: summary.precision_at_1,
        recall_at_100: summary.recall_at_100,
    }
}

/// The value below which the share `at` of the sorted values lies; 0 without values.
fn percentile(sorted: &[f64], at: f64) -> f64 {
    let rank = (sorted.len() as f64 * at).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}
