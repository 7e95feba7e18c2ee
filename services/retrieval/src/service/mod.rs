mod gather;
mod passages;
mod query;
mod ranking;
mod trace;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use touchstone_api::analytics::{QueryRecord, Record};
use touchstone_api::embedding::{BM25, CHARS, DENSE};
use touchstone_api::retrieval::{Hit, SearchMode, SearchResponse};
use touchstone_client::{DocumentClient, EmbeddingClient, VectorClient};
use touchstone_identity::Caller;
use touchstone_text::Language;
use touchstone_types::SparseVector;

use gather::{Candidate, Vectors};
use ranking::{Plan, Ranked, Ranking, rank};
use trace::Trace;

use crate::domain::expansion;
use crate::domain::record::normalised;
use crate::domain::rerank::FeatureWeights;
use crate::metrics::{DegradedLabels, SearchLabels, Signals};
use crate::{Config, Deps, Error, Metrics};

pub use query::Query;

/// Bytes of candidates that are ranked where the search runs: well below a millisecond of work.
const RANKED_AT_ONCE: usize = 16 * 1024;

/// Answers searches.
#[derive(Clone, Debug)]
pub struct Retrieval {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    deps: Deps,
    metrics: Metrics,
    /// Dense model of the last answer, for `/health`.
    model: RwLock<Option<String>>,
}

impl Retrieval {
    /// A service with these neighbours.
    pub fn new(config: Config, deps: Deps) -> Self {
        let metrics = Metrics::new(&deps.metrics);
        deps.recorder.show(&deps.metrics.scope(crate::SERVICE));
        Self {
            inner: Arc::new(Inner {
                config,
                deps,
                metrics,
                model: RwLock::new(None),
            }),
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The dense model that answered last; `None` when dense is off or nothing was asked yet.
    pub fn dense_model(&self) -> Option<String> {
        self.inner
            .model
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn remember_model(&self, model: Option<String>) {
        let known = self
            .inner
            .model
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if known != model {
            *self
                .inner
                .model
                .write()
                .unwrap_or_else(PoisonError::into_inner) = model;
        }
    }

    fn embedding(&self) -> &EmbeddingClient {
        &self.inner.deps.embedding
    }

    fn vector(&self) -> &VectorClient {
        &self.inner.deps.vector
    }

    fn document(&self) -> &DocumentClient {
        &self.inner.deps.document
    }

    /// Runs the query plan.
    ///
    /// # Errors
    /// [`Error`]; a search without candidates is an empty answer, not an error.
    ///
    /// # Cancellation
    /// Reads only; a dropped search leaves nothing behind.
    pub async fn search(&self, caller: &Caller, query: Query) -> Result<SearchResponse, Error> {
        let recorder = &self.inner.deps.recorder;
        let words = recorder.is_on().then(|| {
            let kept = self.config().record_queries;
            kept.then(|| normalised(&query.text))
        });
        let started = Instant::now();
        let found = self.run(caller, query).await?;
        if let Some(text) = words {
            recorder.record(Record::Query(QueryRecord {
                at: self.inner.deps.clock.now(),
                tenant_id: caller.tenant,
                text,
                hits: u32::try_from(found.hits.len()).unwrap_or(u32::MAX),
                degraded: !found.degraded.is_empty(),
                duration_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            }));
        }
        Ok(found)
    }

    async fn run(&self, caller: &Caller, query: Query) -> Result<SearchResponse, Error> {
        let caller = &caller.within(self.config().timeout);
        let mut trace = Trace::new(self.inner.metrics.clone(), query.explain);
        let since = Instant::now();
        let embedded = self.embed(caller, &query).await?;
        let mut degraded: Vec<String> = Vec::new();
        if embedded.degraded {
            degraded.push(DENSE.to_owned());
        }
        let note = format!(
            "language {}, dense: {}",
            embedded.vectors.language,
            embedded.model.as_deref().unwrap_or("off")
        );
        trace.stage("embed", since, Some(note), Vec::new, Vec::new);

        let mut vectors = embedded.vectors;
        let (candidates, no_dense) = self
            .candidates(caller, &query, &vectors, &mut trace)
            .await?;
        if no_dense {
            degraded.push(DENSE.to_owned());
            vectors.dense = None;
        }
        let model = embedded.model.filter(|_| vectors.dense.is_some());
        let plan = self.plan(&query, &vectors, model.as_deref());
        let (mut ranking, mut trace) = self.rank(plan.clone(), candidates, trace).await?;
        if query.expand {
            (ranking, trace) = self
                .expand(caller, &query, &plan, vectors, ranking, trace)
                .await?;
        }
        let mut context = Vec::new();
        if let Some(chars) = query.context_chars {
            let grown;
            (context, grown) = self.context(caller, &ranking.hits, chars, &mut trace).await;
            if !grown {
                degraded.push("context".to_owned());
            }
        }
        self.count(&plan, &ranking, &degraded);
        let weights = plan
            .weights
            .iter()
            .map(|(name, weight)| ((*name).to_owned(), *weight));
        Ok(SearchResponse {
            hits: ranking
                .hits
                .into_iter()
                .take(query.limit)
                .map(to_hit)
                .collect(),
            context,
            signals: plan.weights.keys().map(|name| (*name).to_owned()).collect(),
            dense_model: model,
            confidence: ranking.confidence,
            degraded,
            explain: trace.explain(weights.collect()),
        })
    }

    fn plan(&self, query: &Query, vectors: &Vectors, model: Option<&str>) -> Plan {
        let config = self.config();
        let configured = config.fusion.weights;
        let mut weights = BTreeMap::new();
        if query.mode == SearchMode::Dense {
            weights.insert(DENSE, 1.0);
        } else {
            weights.insert(BM25, configured.bm25);
            weights.insert(CHARS, configured.chars);
            if let Some(model) = model {
                let dense = if config.fusion.is_lexical(model) {
                    0.0
                } else {
                    configured.dense
                };
                weights.insert(DENSE, dense);
            }
        }
        let lexical = configured.bm25 + configured.chars;
        let dense = weights.get(DENSE).copied().unwrap_or(0.0);
        // Features are lexical: beside a dense signal they weigh as much as the lexical share.
        let share = if query.mode == SearchMode::Dense {
            1.0
        } else {
            lexical / (lexical + dense)
        };
        Plan {
            text: query.text.clone(),
            language: vectors.language,
            fusion: config.fusion.fusion(),
            weights,
            features: query
                .rerank
                .then(|| FeatureWeights::from(config.rerank.weights).scaled(share)),
            rerank_depth: config.rerank.depth,
            lambda: query.lambda,
            near_duplicate: config.diversity.near_duplicate,
            now: self.inner.deps.clock.now(),
        }
    }

    /// Ranks on a thread for work that keeps a processor busy, unless the way there is the longer part.
    async fn rank(
        &self,
        plan: Plan,
        candidates: Vec<Candidate>,
        mut trace: Trace,
    ) -> Result<(Ranking, Trace), Error> {
        let texts = candidates.iter().map(|found| found.payload.text.len());
        if texts.sum::<usize>() <= RANKED_AT_ONCE {
            return Ok((rank(&plan, candidates, &mut trace), trace));
        }
        let work = move || (rank(&plan, candidates, &mut trace), trace);
        tokio::task::spawn_blocking(work)
            .await
            .map_err(Error::Ranking)
    }

    /// Asks once more with the words that the best hits share, when the gate is open.
    async fn expand(
        &self,
        caller: &Caller,
        query: &Query,
        plan: &Plan,
        mut vectors: Vectors,
        ranking: Ranking,
        mut trace: Trace,
    ) -> Result<(Ranking, Trace), Error> {
        let since = Instant::now();
        let ranked: Vec<(&str, Language, f32)> = ranking
            .hits
            .iter()
            .map(|hit| {
                let payload = &hit.candidate.payload;
                (
                    payload.text.as_str(),
                    Language::from_code(&payload.language),
                    hit.score,
                )
            })
            .collect();
        let words = match expansion::terms(&query.text, &ranked, &self.config().expansion.into()) {
            Ok(words) => words,
            Err(shut) => {
                let note = Some(shut.reason().to_owned());
                trace.stage("expand", since, note, Vec::new, Vec::new);
                return Ok((ranking, trace));
            }
        };
        let Some(terms) = self.embed_terms(caller, &words).await else {
            let note = Some("the words cannot be embedded".to_owned());
            trace.stage("expand", since, note, Vec::new, Vec::new);
            return Ok((ranking, trace));
        };
        vectors.bm25 = SparseVector::from_pairs(vectors.bm25.iter().chain(terms.iter()).collect());
        let note = Some(format!("added: {}", words.join(", ")));
        trace.stage("expand", since, note, Vec::new, Vec::new);
        let (candidates, _) = self.candidates(caller, query, &vectors, &mut trace).await?;
        self.rank(plan.clone(), candidates, trace).await
    }

    fn count(&self, plan: &Plan, ranking: &Ranking, degraded: &[String]) {
        let metrics = &self.inner.metrics;
        let dense = plan.weights.contains_key(DENSE);
        let signals = match (plan.weights.contains_key(BM25), dense) {
            (true, true) => Signals::Hybrid,
            (false, true) => Signals::Dense,
            _ => Signals::Lexical,
        };
        metrics
            .searches
            .get_or_create(&SearchLabels { signals })
            .inc();
        if ranking.hits.is_empty() {
            metrics.empty.inc();
        } else {
            metrics.confidence.observe(f64::from(ranking.confidence));
        }
        for part in [DENSE, "context"] {
            if degraded.iter().any(|missing| missing == part) {
                metrics
                    .degraded
                    .get_or_create(&DegradedLabels { part })
                    .inc();
            }
        }
    }
}

fn to_hit(ranked: Ranked) -> Hit {
    let Ranked {
        candidate,
        score,
        scores,
    } = ranked;
    let payload = candidate.payload;
    Hit {
        chunk_id: candidate.id,
        document_id: payload.document_id,
        version: payload.version,
        title: payload.title,
        heading: payload.heading,
        start: payload.start,
        end: payload.end,
        text: payload.text,
        language: payload.language,
        source: payload.source,
        metadata: payload.metadata,
        score,
        scores,
    }
}
