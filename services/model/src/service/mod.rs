//! The operations on models.

mod loading;

pub use loading::load_folder;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytesize::ByteSize;
use touchstone_api::embedding::EmbeddingKind;
use touchstone_api::model::{
    EmbedRequest, EmbedResponse, Model, ModelTask, RerankRequest, RerankResponse,
};
use touchstone_identity::Caller;
use touchstone_lifecycle::Lifecycle;

use crate::config::Config;
use crate::error::{BuildError, Error};
use crate::metrics::{ByOutcome, Metrics, Outcome};
use crate::queue::{Lane, Queue, within};
use crate::registry::{Entry, Registry, State};
use crate::runtime::{Budget, ComputeError, Embedded, Runtime};

/// Most texts of an embed request.
const TEXTS_LIMIT: usize = 256;
/// Most documents of a rerank request.
const DOCUMENTS_LIMIT: usize = 100;

/// The model service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Models(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    queue: Queue,
    metrics: Metrics,
    life: Lifecycle,
    memory_limit: u64,
    batch_tokens: usize,
    max_text_bytes: u64,
    /// Held while memory is counted and set aside, so that two loads cannot both take the rest.
    admission: Mutex<()>,
}

impl Models {
    /// Gets to know the models and begins to load those that are wanted from the start.
    pub async fn start(
        config: &Config,
        metrics: Metrics,
        life: &Lifecycle,
    ) -> Result<Self, BuildError> {
        let models = Self(Arc::new(Inner {
            registry: Registry::new(config),
            queue: Queue::new(config.workers, config.queue, metrics.clone()),
            metrics,
            life: life.clone(),
            memory_limit: config.memory_limit.as_u64(),
            batch_tokens: config.batch_tokens,
            max_text_bytes: config.max_text_bytes.as_u64(),
            admission: Mutex::new(()),
        }));
        models.scan().await;
        if let Some(id) = config.active_id() {
            match models.0.registry.get(id).map(|entry| entry.spec.task) {
                None => {
                    let directory = config.directory.clone();
                    return Err(BuildError::UnknownActive {
                        id: id.to_owned(),
                        directory,
                    });
                }
                Some(ModelTask::Rerank) => {
                    return Err(BuildError::ActiveDoesNotEmbed(id.to_owned()));
                }
                Some(ModelTask::Embed) => {}
            }
        }
        models.load_wanted();
        Ok(models)
    }

    async fn scan(&self) {
        let models = self.clone();
        // A failed scan leaves what was known.
        let _ = tokio::task::spawn_blocking(move || models.0.registry.scan()).await;
    }

    async fn entry(&self, id: &str) -> Result<Arc<Entry>, Error> {
        if let Some(entry) = self.0.registry.get(id) {
            return Ok(entry);
        }
        self.scan().await;
        self.0
            .registry
            .get(id)
            .ok_or_else(|| Error::UnknownModel(id.to_owned()))
    }

    /// Every known model.
    pub async fn list(&self) -> Vec<Model> {
        self.scan().await;
        self.known()
    }

    /// Every known model, without a look at the disk.
    pub fn known(&self) -> Vec<Model> {
        self.0
            .registry
            .all()
            .iter()
            .map(|entry| entry.describe())
            .collect()
    }

    /// One model.
    pub async fn get(&self, id: &str) -> Result<Model, Error> {
        Ok(self.entry(id).await?.describe())
    }

    /// Id of the active embedder.
    pub fn active(&self) -> Option<&str> {
        self.0.registry.active()
    }

    /// The runtime of a loaded model; waits for one that is on its way.
    async fn loaded(
        &self,
        entry: &Entry,
        deadline: Option<Instant>,
    ) -> Result<Arc<Runtime>, Error> {
        let id = &entry.spec.id;
        let mut state = entry.state.subscribe();
        let budget = Budget::until(deadline);
        let settled = state.wait_for(|state| !matches!(state, State::Loading(_)));
        let settled = within(&budget, settled)
            .await
            .map_err(|source| Error::Compute {
                id: id.clone(),
                source: Arc::new(source),
            })?
            .map(|state| state.clone());
        match settled {
            Ok(State::Loaded(runtime)) => Ok(runtime),
            Ok(State::Failed(reason)) => Err(Error::Failed {
                id: id.clone(),
                reason,
            }),
            _ => Err(Error::NotLoaded(id.clone())),
        }
    }

    /// Turns texts into vectors.
    pub async fn embed(
        &self,
        caller: &Caller,
        id: &str,
        request: EmbedRequest,
    ) -> Result<EmbedResponse, Error> {
        self.check_texts("input", &request.input, TEXTS_LIMIT)?;
        let entry = self.entry(id).await?;
        if entry.spec.task != ModelTask::Embed {
            return Err(Error::WrongTask {
                id: id.to_owned(),
                wanted: "embed",
            });
        }
        let deadline = caller.context.deadline;
        let runtime = self.loaded(&entry, deadline).await?;
        let dimension = runtime.dimension().unwrap_or_default();
        let count = request.input.len() as u64;
        let result = self.run_embed(id, runtime, request, deadline).await;
        self.count_texts(result.is_ok(), count);
        let Embedded { vectors, tokens } = result?;
        self.0.metrics.tokens.inc_by(tokens as u64);
        Ok(EmbedResponse {
            model: id.to_owned(),
            dimension,
            vectors,
            tokens,
        })
    }

    async fn run_embed(
        &self,
        id: &str,
        runtime: Arc<Runtime>,
        EmbedRequest { input, kind }: EmbedRequest,
        deadline: Option<Instant>,
    ) -> Result<Embedded, Error> {
        if let Runtime::Openai(client) = runtime.as_ref() {
            let budget = Budget::until(deadline);
            let start = Instant::now();
            let result = client.embed(&input, kind, &budget).await;
            self.0
                .metrics
                .compute_seconds
                .observe(start.elapsed().as_secs_f64());
            return result.map_err(|source| Error::Compute {
                id: id.to_owned(),
                source: Arc::new(source),
            });
        }
        let lane = match kind {
            EmbeddingKind::Query => Lane::Query,
            EmbeddingKind::Passage => Lane::Passage,
        };
        let work = move |budget: &Budget| match runtime.as_ref() {
            Runtime::Embedder(model) => model.embed(&input, kind, budget),
            Runtime::Hash(model) => model.embed(&input),
            // The task was checked, and servers answered above.
            Runtime::Reranker(_) | Runtime::Openai(_) => Err(ComputeError::Cancelled),
        };
        self.0.queue.run(id, lane, deadline, work).await
    }

    /// Scores texts against a query.
    pub async fn rerank(
        &self,
        caller: &Caller,
        id: &str,
        RerankRequest { query, documents }: RerankRequest,
    ) -> Result<RerankResponse, Error> {
        if query.is_empty() {
            return Err(Error::Invalid("`query` must not be empty".to_owned()));
        }
        self.check_texts("documents", &documents, DOCUMENTS_LIMIT)?;
        self.check_texts("query", std::slice::from_ref(&query), 1)?;
        let entry = self.entry(id).await?;
        if entry.spec.task != ModelTask::Rerank {
            return Err(Error::WrongTask {
                id: id.to_owned(),
                wanted: "rerank",
            });
        }
        let deadline = caller.context.deadline;
        let runtime = self.loaded(&entry, deadline).await?;
        let count = documents.len() as u64;
        let work = move |budget: &Budget| match runtime.as_ref() {
            Runtime::Reranker(model) => model.rerank(&query, &documents, budget),
            // The task was checked.
            _ => Err(ComputeError::Cancelled),
        };
        let result = self.0.queue.run(id, Lane::Query, deadline, work).await;
        self.count_texts(result.is_ok(), count);
        Ok(RerankResponse {
            model: id.to_owned(),
            scores: result?,
        })
    }

    fn count_texts(&self, well: bool, count: u64) {
        let outcome = if well { Outcome::Ok } else { Outcome::Error };
        self.0
            .metrics
            .texts
            .get_or_create(&ByOutcome { outcome })
            .inc_by(count);
    }

    fn check_texts(&self, field: &str, texts: &[String], limit: usize) -> Result<(), Error> {
        if texts.is_empty() || texts.len() > limit {
            let count = texts.len();
            return Err(Error::Invalid(format!(
                "`{field}` has {count} texts; 1 to {limit} are read"
            )));
        }
        if texts
            .iter()
            .any(|text| text.len() as u64 > self.0.max_text_bytes)
        {
            let most = ByteSize(self.0.max_text_bytes);
            return Err(Error::Invalid(format!(
                "a text of `{field}` is longer than {most}"
            )));
        }
        Ok(())
    }
}
