//! The operations on texts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use rayon::prelude::*;
use tokio::sync::Semaphore;
use touchstone_api::embedding::{
    BM25, CHARS, Embedding as WireEmbedding, EmbeddingKind, EmbeddingRequest, EmbeddingResponse,
    Usage,
};
use touchstone_api::model::{Model, ModelStatus};
use touchstone_client::{ClientError, ModelClient};
use touchstone_error::chain;
use touchstone_identity::Caller;
use touchstone_lifecycle::Lifecycle;
use touchstone_text::Language;

use crate::batcher::{Batcher, background};
use crate::cache::{Vector, VectorCache, key};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::domain::lexical::{LexicalEncoder, Sparse};
use crate::error::Error;
use crate::metrics::{Metrics, Origin};

/// Most texts of a request.
pub const TEXTS_LIMIT: usize = 256;
/// The name under which the active model answers to OpenAI clients.
pub const ACTIVE: &str = touchstone_api::openai::TOUCHSTONE_MODEL;
/// Requests with fewer bytes of text are encoded where they are: a thread would take longer.
const INLINE_BYTES: usize = 2048;
/// Of the time that is left, what dense vectors may take, so that a degraded answer arrives.
const DENSE_SHARE: f64 = 0.8;

/// The embedding service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Embedding(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    encoder: LexicalEncoder,
    /// Whether character n-grams are indexed.
    char_grams: bool,
    /// Bounds the requests that are encoded at once.
    workers: Semaphore,
    catalog: Catalog,
    batcher: Batcher,
    cache: VectorCache,
    metrics: Metrics,
    dense_timeout: Duration,
    max_text_bytes: u64,
}

/// An answer and whether it lacks the dense vectors that it should have.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// The answer.
    pub response: EmbeddingResponse,
    /// Whether the active model did not answer.
    pub degraded: bool,
}

/// Dense vectors of several texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Which model.
    pub model: String,
    /// Its dimension.
    pub dimension: usize,
    /// One per text.
    pub vectors: Vec<Vector>,
}

impl Embedding {
    /// A service that has computed nothing yet.
    pub fn new(config: &Config, client: ModelClient, metrics: Metrics, life: &Lifecycle) -> Self {
        Self(Arc::new(Inner {
            encoder: LexicalEncoder::new(config.lexical.into()),
            char_grams: config.lexical.char_grams > 0,
            workers: Semaphore::new(config.lexical.workers),
            catalog: Catalog::new(client.clone(), config.models_ttl),
            batcher: Batcher::new(client, config.batch, metrics.clone(), life.clone()),
            cache: VectorCache::new(config.cache.size.as_u64()),
            metrics,
            dense_timeout: config.dense_timeout,
            max_text_bytes: config.max_text_bytes.as_u64(),
        }))
    }

    /// Sparse vectors, and dense ones when a model is named or active.
    ///
    /// When the active model does not answer, a query gets its sparse vectors alone, because half
    /// a search is better than none; a passage gets an error, because what is stored without
    /// its dense vector would be missing from every dense search until somebody notices.
    pub async fn embed(
        &self,
        caller: &Caller,
        request: EmbeddingRequest,
    ) -> Result<Embedded, Error> {
        let EmbeddingRequest {
            input,
            kind,
            model,
            language,
            sparse_only,
        } = request;
        self.check(&input)?;
        let language = language.map(|code| Language::from_code(&code));
        let texts: Arc<[String]> = input.into();
        let wanted = if sparse_only {
            Wanted::Nothing
        } else {
            Wanted::of(model)
        };
        let (sparse, dense) = tokio::join!(
            self.sparse(caller, Arc::clone(&texts), kind, language),
            self.dense(caller, &texts, kind, wanted),
        );
        let sparse = sparse?;
        let (dense, degraded) = dense?;
        let tokens = sparse.iter().map(|sparse| sparse.tokens).sum();
        self.0.metrics.texts.inc_by(sparse.len() as u64);
        let (model, dimension, vectors) = match dense {
            Some(Dense {
                model,
                dimension,
                vectors,
            }) => (Some(model), Some(dimension), vectors),
            None => (None, None, Vec::new()),
        };
        let mut vectors = vectors.into_iter();
        let chars = self.0.char_grams;
        let items = sparse
            .into_iter()
            .map(|sparse| item(sparse, chars, vectors.next()))
            .collect();
        let response = EmbeddingResponse {
            model,
            dimension,
            items,
            usage: Usage { tokens },
        };
        Ok(Embedded { response, degraded })
    }

    /// Dense vectors of a named model, or of the active one under the name `touchstone`, and the
    /// number of words.
    pub async fn embed_dense(
        &self,
        caller: &Caller,
        texts: Vec<String>,
        model: String,
    ) -> Result<(Dense, usize), Error> {
        self.check(&texts)?;
        let model = if model == ACTIVE {
            let active = self.0.catalog.active(caller).await.map_err(Error::Model)?;
            active.ok_or(Error::DenseOff)?
        } else {
            self.0.catalog.embedder(caller, &model).await?
        };
        let words = texts
            .iter()
            .map(|text| touchstone_text::words(text).count())
            .sum();
        let dense = self
            .vectors(caller, &model, EmbeddingKind::Passage, &texts)
            .await?;
        Ok((dense, words))
    }

    async fn sparse(
        &self,
        caller: &Caller,
        texts: Arc<[String]>,
        kind: EmbeddingKind,
        language: Option<Language>,
    ) -> Result<Vec<Sparse>, Error> {
        let encoder = self.0.encoder;
        let encode = move |text: &String| match kind {
            EmbeddingKind::Query => encoder.encode_query(text, language),
            EmbeddingKind::Passage => encoder.encode_passage(text, language),
        };
        let work = async {
            if texts.iter().map(String::len).sum::<usize>() <= INLINE_BYTES {
                return Ok(texts.iter().map(encode).collect());
            }
            let _permit = self
                .0
                .workers
                .acquire()
                .await
                .map_err(|_| Error::Stopping)?;
            tokio::task::spawn_blocking(move || texts.par_iter().map(encode).collect())
                .await
                .map_err(|_| Error::Encoder)
        };
        let start = Instant::now();
        let result = match caller.context.deadline {
            None => work.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), work)
                .await
                .unwrap_or(Err(Error::Deadline)),
        };
        self.0
            .metrics
            .sparse_seconds
            .observe(start.elapsed().as_secs_f64());
        result
    }

    async fn dense(
        &self,
        caller: &Caller,
        texts: &[String],
        kind: EmbeddingKind,
        wanted: Wanted,
    ) -> Result<(Option<Dense>, bool), Error> {
        match wanted {
            Wanted::Nothing => Ok((None, false)),
            Wanted::Named(id) => {
                let model = self.0.catalog.embedder(caller, &id).await?;
                Ok((
                    Some(self.vectors(caller, &model, kind, texts).await?),
                    false,
                ))
            }
            Wanted::Active => {
                let caller = self.hurried(caller);
                let active = match self.0.catalog.active(&caller).await {
                    Ok(None) => return Ok((None, false)),
                    Ok(Some(model)) => self.vectors(&caller, &model, kind, texts).await,
                    Err(error) => Err(Error::Model(error)),
                };
                match (active, kind) {
                    (Ok(dense), _) => Ok((Some(dense), false)),
                    (Err(error), EmbeddingKind::Query) => {
                        tracing::warn!(error = %chain(&error), "the query is answered without dense vectors");
                        self.0.metrics.degraded.inc();
                        Ok((None, true))
                    }
                    (Err(Error::Model(error)), EmbeddingKind::Passage) => {
                        Err(Error::DenseUnavailable(error))
                    }
                    (Err(_), EmbeddingKind::Passage) => {
                        Err(Error::DenseUnavailable(ClientError::Timeout {
                            service: "model",
                        }))
                    }
                }
            }
        }
    }

    /// The caller with a deadline that leaves time for a degraded answer.
    fn hurried(&self, caller: &Caller) -> Caller {
        let left = caller
            .context
            .remaining()
            .map(|left| left.mul_f64(DENSE_SHARE));
        caller.within(left.map_or(self.0.dense_timeout, |left| left.min(self.0.dense_timeout)))
    }

    async fn vectors(
        &self,
        caller: &Caller,
        model: &Model,
        kind: EmbeddingKind,
        texts: &[String],
    ) -> Result<Dense, Error> {
        let keys: Vec<_> = texts.iter().map(|text| key(model, kind, text)).collect();
        let mut found: Vec<_> = keys.iter().map(|key| self.0.cache.get(key)).collect();
        let missing: Vec<_> = (0..texts.len())
            .filter(|place| found[*place].is_none())
            .collect();
        self.0
            .metrics
            .count_dense(Origin::Cache, texts.len() - missing.len());
        if !missing.is_empty() {
            let wanted = missing.iter().map(|place| texts[*place].clone()).collect();
            let computed = self
                .0
                .batcher
                .embed(caller, &model.id, kind, wanted)
                .await?;
            self.0.metrics.count_dense(Origin::Model, computed.len());
            for (place, vector) in missing.into_iter().zip(computed) {
                self.0.cache.put(keys[place], Arc::clone(&vector));
                found[place] = Some(vector);
            }
        }
        let bad = || Error::BadAnswer(model.id.clone());
        let vectors: Vec<Vector> = found.into_iter().collect::<Option<_>>().ok_or_else(bad)?;
        let dimension = vectors.first().map_or(0, |vector| vector.len());
        if vectors.iter().any(|vector| vector.len() != dimension) {
            return Err(bad());
        }
        Ok(Dense {
            model: model.id.clone(),
            dimension,
            vectors,
        })
    }

    fn check(&self, texts: &[String]) -> Result<(), Error> {
        if texts.is_empty() || texts.len() > TEXTS_LIMIT {
            let count = texts.len();
            let rule = format!("`input` has {count} texts; 1 to {TEXTS_LIMIT} are read");
            return Err(Error::Invalid(rule));
        }
        if let Some(place) = texts
            .iter()
            .position(|text| text.len() as u64 > self.0.max_text_bytes)
        {
            let most = ByteSize(self.0.max_text_bytes);
            return Err(Error::Invalid(format!(
                "`input[{place}]` is longer than {most}"
            )));
        }
        Ok(())
    }

    /// What `/health` tells: the active model and whether it answers.
    pub async fn state(&self) -> State {
        let caller = background().within(self.0.dense_timeout.min(Duration::from_secs(2)));
        match self.0.catalog.active(&caller).await {
            Err(error) => State::Unknown(chain(&error).to_string()),
            Ok(None) => State::Off,
            Ok(Some(model)) if model.status == ModelStatus::Loaded => State::On(model),
            Ok(Some(model)) => State::Waiting(model),
        }
    }

    /// Names of the sparse vectors.
    pub fn sparse_names(&self) -> Vec<&'static str> {
        if self.0.char_grams {
            vec![BM25, CHARS]
        } else {
            vec![BM25]
        }
    }

    /// About how many dense vectors are kept.
    pub fn cached(&self) -> u64 {
        self.0.cache.len()
    }
}

/// State of the dense half.
#[derive(Debug, Clone)]
pub enum State {
    /// No model is active.
    Off,
    /// This one answers.
    On(Model),
    /// This one is active and not loaded.
    Waiting(Model),
    /// The model service does not answer.
    Unknown(String),
}

/// Which dense vectors a request wants.
enum Wanted {
    Nothing,
    Active,
    Named(String),
}

impl Wanted {
    fn of(model: Option<String>) -> Self {
        model.map_or(Self::Active, Self::Named)
    }
}

fn item(sparse: Sparse, with_chars: bool, dense: Option<Vector>) -> WireEmbedding {
    let Sparse {
        bm25,
        chars,
        language,
        ..
    } = sparse;
    let mut sparse = BTreeMap::from([(BM25.to_owned(), bm25)]);
    if with_chars {
        sparse.insert(CHARS.to_owned(), chars);
    }
    let dense = dense.map(|vector| vector.to_vec());
    WireEmbedding {
        dense,
        sparse,
        language: language.code().to_owned(),
    }
}
