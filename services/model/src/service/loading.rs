//! Models into memory and out of it.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use touchstone_api::model::{Model, ModelTask};
use touchstone_error::chain;
use touchstone_identity::Caller;

use super::Models;
use crate::error::Error;
use crate::metrics::{ByOutcome, Outcome};
use crate::registry::{Entry, Origin, State};
use crate::runtime::{LoadError, Runtime, bert, hash, openai};

/// First and longest pause before a server that did not answer at start is asked again.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Models {
    /// Begins to load the models that are wanted from the start; the gate `models` opens when each
    /// of them is loaded or has failed.
    pub(super) fn load_wanted(&self) {
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
            while stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_some()
            {
                match models.load_entry(&entry).await {
                    Err(Error::Load { reason, .. }) if reason.is_transient() => {
                        pause = (pause * 2).min(RETRY_PAUSES.1);
                    }
                    _ => return,
                }
            }
        });
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
            return outcome
                .await
                .unwrap_or_else(|_| Err(Error::NotLoaded(entry.spec.id.clone())));
        }
        self.loaded(entry, None).await.map(|_| ())
    }

    /// Whether this call is the one that has to load; sets the memory aside.
    fn admit(&self, entry: &Entry) -> Result<bool, Error> {
        let _admission = self
            .0
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if matches!(*entry.state.borrow(), State::Loading(_) | State::Loaded(_)) {
            return Ok(false);
        }
        let wanted = entry.spec.origin.estimated_bytes();
        let free = self
            .0
            .memory_limit
            .saturating_sub(self.0.registry.memory_bytes());
        if wanted > free {
            let (wanted, free) = (ByteSize(wanted), ByteSize(free));
            return Err(Error::MemoryLimit {
                id: entry.spec.id.clone(),
                wanted,
                free,
            });
        }
        entry.state.send_replace(State::Loading(wanted));
        Ok(true)
    }

    async fn run_load(&self, entry: &Entry) -> Result<(), Error> {
        let id = &entry.spec.id;
        let start = Instant::now();
        let result = self.open(entry).await;
        let outcome = if result.is_ok() {
            Outcome::Ok
        } else {
            Outcome::Error
        };
        self.0
            .metrics
            .loads
            .get_or_create(&ByOutcome { outcome })
            .inc();
        let result = match result {
            Ok(runtime) => {
                let memory_bytes = runtime.memory_bytes();
                let duration_ms = start.elapsed().as_secs_f64() * 1e3;
                tracing::info!(
                    model.id = id,
                    memory_bytes,
                    duration_ms,
                    "loaded model `{id}`"
                );
                entry.state.send_replace(State::Loaded(Arc::new(runtime)));
                Ok(())
            }
            Err(reason) => {
                entry
                    .state
                    .send_replace(State::Failed(chain(&reason).to_string().into()));
                Err(Error::Load {
                    id: id.clone(),
                    reason: Arc::new(reason),
                })
            }
        };
        self.count_memory();
        result
    }

    async fn open(&self, entry: &Entry) -> Result<Runtime, LoadError> {
        match entry.spec.origin.clone() {
            Origin::Hash(dimension) => Ok(Runtime::Hash(hash::Embedder::new(dimension))),
            Origin::Openai(settings) => openai::Client::connect(settings)
                .await
                .map(Runtime::Openai)
                .map_err(LoadError::Trial),
            Origin::Folder {
                path,
                prefixes,
                max_tokens,
            } => {
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
                        Err(LoadError::Unsupported(
                            "loading this model panicked".to_owned(),
                        ))
                    })
            }
        }
    }

    /// Takes a model out of memory; computations that run end first, with their own hold on it.
    pub async fn unload(&self, caller: &Caller, id: &str) -> Result<Model, Error> {
        caller.require_admin().map_err(|_| Error::Forbidden)?;
        let entry = self.entry(id).await?;
        {
            let _admission = self
                .0
                .admission
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
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
        self.0
            .metrics
            .memory_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
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
