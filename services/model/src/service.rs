//! The operations on models.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use touchstone_api::embedding::EmbeddingKind;
use touchstone_api::model::{
    EmbedRequest, EmbedResponse, Model, ModelTask, RerankRequest, RerankResponse,
};
use touchstone_error::chain;
use touchstone_identity::Caller;
use touchstone_lifecycle::Lifecycle;

use crate::config::Config;
use crate::error::{BuildError, Error};
use crate::metrics::{ByOutcome, Metrics, Outcome};
use crate::queue::{Lane, Queue, within};
use crate::registry::{Entry, Origin, Registry, State};
use crate::runtime::{Budget, ComputeError, Embedded, LoadError, Runtime, bert, hash, openai};

/// Most texts of an embed request.
const TEXTS_LIMIT: usize = 256;
/// Most documents of a rerank request.
const DOCUMENTS_LIMIT: usize = 100;
/// First and longest pause before a server that did not answer at start is asked again.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

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
                    return Err(BuildError::UnknownActive { id: id.to_owned(), directory });
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

    fn load_wanted(&self) {
        let gate = self.0.life.gate("models");
        let models = self.clone();
        self.0.life.spawn("model.auto-load", async move {
            for entry in models.0.registry.all() {
                if entry.spec.auto_load
                    && let Err(error) = models.load_entry(&entry).await
                {
                    let id = &entry.spec.id;
                    tracing::error!(model.id = id, error = %chain(&error), "model `{id}` is not loaded");
                    if matches!(entry.spec.origin, Origin::Openai(_)) {
                        models.retry(entry);
                    }
                }
            }
            gate.open();
        });
    }

    /// Asks a server again and again, because one that starts later than we do is usual.
    fn retry(&self, entry: Arc<Entry>) {
        let (models, stop) = (self.clone(), self.0.life.soft_stop());
        let name = format!("model.retry-{}", entry.spec.id);
        self.0.life.spawn(name, async move {
            let mut pause = RETRY_PAUSES.0;
            while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
                match models.load_entry(&entry).await {
                    Err(Error::Load { reason, .. }) if reason.is_transient() => {
                        pause = (pause * 2).min(RETRY_PAUSES.1);
                    }
                    _ => return,
                }
            }
        });
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
        self.0.registry.get(id).ok_or_else(|| Error::UnknownModel(id.to_owned()))
    }

    /// Every known model.
    pub async fn list(&self) -> Vec<Model> {
        self.scan().await;
        self.known()
    }

    /// Every known model, without a look at the disk.
    pub fn known(&self) -> Vec<Model> {
        self.0.registry.all().iter().map(|entry| entry.describe()).collect()
    }

    /// One model.
    pub async fn get(&self, id: &str) -> Result<Model, Error> {
        Ok(self.entry(id).await?.describe())
    }

    /// Id of the active embedder.
    pub fn active(&self) -> Option<&str> {
        self.0.registry.active()
    }

    /// Loads a model, or waits for a load that is under way.
    ///
    /// # Cancellation
    /// The load goes on when the caller leaves.
    pub async fn load(&self, caller: &Caller, id: &str) -> Result<Model, Error> {
        caller.require_admin().map_err(|_| Error::Forbidden)?;
        let entry = self.entry(id).await?;
        self.load_entry(&entry).await?;
        Ok(entry.describe())
    }

    async fn load_entry(&self, entry: &Arc<Entry>) -> Result<(), Error> {
        let (done, outcome) = tokio::sync::oneshot::channel();
        if self.admit(entry)? {
            let (models, loading) = (self.clone(), Arc::clone(entry));
            let name = format!("model.load-{}", entry.spec.id);
            self.0.life.spawn(name, async move {
                let result = models.run_load(&loading).await;
                // The caller may have left; the state tells everybody else.
                let _ = done.send(result);
            });
            // No answer means that the stack stops.
            return outcome.await.unwrap_or_else(|_| Err(Error::NotLoaded(entry.spec.id.clone())));
        }
        self.loaded(entry, None).await.map(|_| ())
    }

    /// Whether this call is the one that has to load; sets the memory aside.
    fn admit(&self, entry: &Entry) -> Result<bool, Error> {
        let _admission = self.0.admission.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*entry.state.borrow(), State::Loading(_) | State::Loaded(_)) {
            return Ok(false);
        }
        let wanted = entry.spec.origin.estimated_bytes();
        let free = self.0.memory_limit.saturating_sub(self.0.registry.memory_bytes());
        if wanted > free {
            let (wanted, free) = (ByteSize(wanted), ByteSize(free));
            return Err(Error::MemoryLimit { id: entry.spec.id.clone(), wanted, free });
        }
        entry.state.send_replace(State::Loading(wanted));
        Ok(true)
    }

    async fn run_load(&self, entry: &Entry) -> Result<(), Error> {
        let id = &entry.spec.id;
        let start = Instant::now();
        let result = self.open(entry).await;
        let outcome = if result.is_ok() { Outcome::Ok } else { Outcome::Error };
        self.0.metrics.loads.get_or_create(&ByOutcome { outcome }).inc();
        let result = match result {
            Ok(runtime) => {
                let memory_bytes = runtime.memory_bytes();
                let duration_ms = start.elapsed().as_secs_f64() * 1e3;
                tracing::info!(model.id = id, memory_bytes, duration_ms, "loaded model `{id}`");
                entry.state.send_replace(State::Loaded(Arc::new(runtime)));
                Ok(())
            }
            Err(reason) => {
                entry.state.send_replace(State::Failed(chain(&reason).to_string().into()));
                Err(Error::Load { id: id.clone(), reason: Arc::new(reason) })
            }
        };
        self.count_memory();
        result
    }

    async fn open(&self, entry: &Entry) -> Result<Runtime, LoadError> {
        match entry.spec.origin.clone() {
            Origin::Hash(dimension) => Ok(Runtime::Hash(hash::Embedder::new(dimension))),
            Origin::Openai(settings) => {
                openai::Client::connect(settings).await.map(Runtime::Openai).map_err(LoadError::Trial)
            }
            Origin::Folder { path, prefixes, max_tokens } => {
                let options = bert::Options {
                    name: entry.spec.id.clone(),
                    prefixes,
                    max_tokens,
                    batch_tokens: self.0.batch_tokens,
                };
                let task = entry.spec.task;
                tokio::task::spawn_blocking(move || load_folder(&path, task, &options))
                    .await
                    .unwrap_or_else(|_| {
                        Err(LoadError::Unsupported("loading this model panicked".to_owned()))
                    })
            }
        }
    }

    /// Takes a model out of memory; computations that run end first, with their own hold on it.
    pub async fn unload(&self, caller: &Caller, id: &str) -> Result<Model, Error> {
        caller.require_admin().map_err(|_| Error::Forbidden)?;
        let entry = self.entry(id).await?;
        {
            let _admission = self.0.admission.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*entry.state.borrow(), State::Loading(_)) {
                return Err(Error::Loading(id.to_owned()));
            }
            entry.state.send_replace(State::Unloaded);
        }
        self.count_memory();
        tracing::info!(model.id = id, "unloaded model `{id}`");
        Ok(entry.describe())
    }

    fn count_memory(&self) {
        let bytes = self.0.registry.memory_bytes();
        self.0.metrics.memory_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The runtime of a loaded model; waits for one that is on its way.
    async fn loaded(&self, entry: &Entry, deadline: Option<Instant>) -> Result<Arc<Runtime>, Error> {
        let id = &entry.spec.id;
        let mut state = entry.state.subscribe();
        let budget = Budget::until(deadline);
        let settled = state.wait_for(|state| !matches!(state, State::Loading(_)));
        let settled = within(&budget, settled)
            .await
            .map_err(|source| Error::Compute { id: id.clone(), source: Arc::new(source) })?
            .map(|state| state.clone());
        match settled {
            Ok(State::Loaded(runtime)) => Ok(runtime),
            Ok(State::Failed(reason)) => Err(Error::Failed { id: id.clone(), reason }),
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
            return Err(Error::WrongTask { id: id.to_owned(), wanted: "embed" });
        }
        let deadline = caller.context.deadline;
        let runtime = self.loaded(&entry, deadline).await?;
        let dimension = runtime.dimension().unwrap_or_default();
        let count = request.input.len() as u64;
        let result = self.run_embed(id, runtime, request, deadline).await;
        self.count_texts(result.is_ok(), count);
        let Embedded { vectors, tokens } = result?;
        self.0.metrics.tokens.inc_by(tokens as u64);
        Ok(EmbedResponse { model: id.to_owned(), dimension, vectors, tokens })
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
            self.0.metrics.compute_seconds.observe(start.elapsed().as_secs_f64());
            return result
                .map_err(|source| Error::Compute { id: id.to_owned(), source: Arc::new(source) });
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
            return Err(Error::WrongTask { id: id.to_owned(), wanted: "rerank" });
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
        Ok(RerankResponse { model: id.to_owned(), scores: result? })
    }

    fn count_texts(&self, well: bool, count: u64) {
        let outcome = if well { Outcome::Ok } else { Outcome::Error };
        self.0.metrics.texts.get_or_create(&ByOutcome { outcome }).inc_by(count);
    }

    fn check_texts(&self, field: &str, texts: &[String], limit: usize) -> Result<(), Error> {
        if texts.is_empty() || texts.len() > limit {
            let count = texts.len();
            return Err(Error::Invalid(format!("`{field}` has {count} texts; 1 to {limit} are read")));
        }
        if texts.iter().any(|text| text.len() as u64 > self.0.max_text_bytes) {
            let most = ByteSize(self.0.max_text_bytes);
            return Err(Error::Invalid(format!("a text of `{field}` is longer than {most}")));
        }
        Ok(())
    }
}

/// Loads what a folder holds. Reads the disk and computes: call it from a blocking thread.
pub fn load_folder(
    folder: &Path,
    task: ModelTask,
    options: &bert::Options,
) -> Result<Runtime, LoadError> {
    match task {
        ModelTask::Embed => bert::Embedder::load(folder, options).map(Runtime::Embedder),
        ModelTask::Rerank => bert::Reranker::load(folder, options).map(Runtime::Reranker),
    }
}
