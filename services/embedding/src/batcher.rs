//! Puts the texts of many requests into few calls of a model.
//!
//! Each model and kind of text has a line. A line has no task of its own: whoever puts a text into
//! a line without enough drainers starts one, and a drainer ends when its line is empty. So
//! nothing runs while nothing is asked, and nothing has to be stopped.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use touchstone_api::embedding::EmbeddingKind;
use touchstone_api::model::EmbedRequest;
use touchstone_client::ModelClient;
use touchstone_error::Classify;
use touchstone_identity::Caller;
use touchstone_lifecycle::Lifecycle;
use touchstone_types::TenantId;

use crate::cache::Vector;
use crate::config::BatchConfig;
use crate::error::Error;
use crate::metrics::Metrics;

/// The lines; cheap to clone.
#[derive(Debug, Clone)]
pub struct Batcher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: ModelClient,
    config: BatchConfig,
    metrics: Metrics,
    life: Lifecycle,
    /// Bounds the texts that wait, all lines together.
    places: Arc<Semaphore>,
    lines: Mutex<HashMap<(String, EmbeddingKind), Arc<Line>>>,
}

#[derive(Debug)]
struct Line {
    model: String,
    kind: EmbeddingKind,
    queue: Mutex<Queue>,
    /// Told when a batch is full, so that it does not wait for more.
    full: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    drainers: usize,
}

#[derive(Debug)]
struct Job {
    text: String,
    deadline: Option<Instant>,
    reply: oneshot::Sender<Result<Vector, Error>>,
    /// Given back when the job leaves the line.
    place: OwnedSemaphorePermit,
}

impl Batcher {
    /// No lines yet.
    pub fn new(
        client: ModelClient,
        config: BatchConfig,
        metrics: Metrics,
        life: Lifecycle,
    ) -> Self {
        let places = Arc::new(Semaphore::new(config.queue));
        let lines = Mutex::default();
        Self(Arc::new(Inner {
            client,
            config,
            metrics,
            life,
            places,
            lines,
        }))
    }

    /// The vectors of texts, in order.
    ///
    /// # Cancellation
    /// Texts of a caller who left are dropped when their turn comes.
    pub async fn embed(
        &self,
        caller: &Caller,
        model: &str,
        kind: EmbeddingKind,
        texts: Vec<String>,
    ) -> Result<Vec<Vector>, Error> {
        let work = self.submit(caller, model, kind, texts);
        match caller.context.deadline {
            None => work.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), work)
                .await
                .unwrap_or(Err(Error::Deadline)),
        }
    }

    async fn submit(
        &self,
        caller: &Caller,
        model: &str,
        kind: EmbeddingKind,
        texts: Vec<String>,
    ) -> Result<Vec<Vector>, Error> {
        let line = self.line(model, kind);
        let mut replies = Vec::with_capacity(texts.len());
        for text in texts {
            let place = Arc::clone(&self.0.places).acquire_owned().await;
            let place = place.map_err(|_| Error::Stopping)?;
            let (reply, answer) = oneshot::channel();
            let deadline = caller.context.deadline;
            self.enqueue(
                &line,
                Job {
                    text,
                    deadline,
                    reply,
                    place,
                },
            );
            replies.push(answer);
        }
        let mut vectors = Vec::with_capacity(replies.len());
        for reply in replies {
            vectors.push(reply.await.unwrap_or(Err(Error::Stopping))?);
        }
        Ok(vectors)
    }

    fn line(&self, model: &str, kind: EmbeddingKind) -> Arc<Line> {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry((model.to_owned(), kind)).or_insert_with(|| {
            let (queue, full) = (Mutex::default(), Notify::new());
            Arc::new(Line {
                model: model.to_owned(),
                kind,
                queue,
                full,
            })
        });
        Arc::clone(line)
    }

    fn enqueue(&self, line: &Arc<Line>, job: Job) {
        let start = {
            let mut queue = line.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.jobs.push_back(job);
            self.0.metrics.waiting.inc();
            if queue.jobs.len() >= self.0.config.max_texts {
                line.full.notify_one();
            }
            let start = queue.drainers < self.0.config.in_flight;
            queue.drainers += usize::from(start);
            start
        };
        if start {
            let (batcher, drainer) = (self.clone(), Drainer::new(line));
            self.0.life.spawn(
                "embedding.batch",
                async move { batcher.drain(drainer).await },
            );
        }
    }

    async fn drain(&self, mut drainer: Drainer) {
        let line = Arc::clone(&drainer.line);
        let mut fresh = true;
        loop {
            if fresh && line.len() < self.0.config.max_texts {
                // A line that was empty: others may come along. Later batches have gathered while
                // the model worked.
                let wait = tokio::time::timeout(self.0.config.max_wait, line.full.notified());
                let _ = wait.await;
            }
            fresh = false;
            let Some(batch) = self.next_batch(&line, &mut drainer) else {
                return;
            };
            self.answer(&line, batch).await;
        }
    }

    /// The next jobs whose callers still wait. `None` when there are none; the drainer has then
    /// signed off under the same lock that a new job would take.
    fn next_batch(&self, line: &Line, drainer: &mut Drainer) -> Option<Vec<Job>> {
        let mut queue = line.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        while batch.len() < self.0.config.max_texts {
            let Some(job) = queue.jobs.pop_front() else {
                break;
            };
            self.0.metrics.waiting.dec();
            if !job.reply.is_closed() {
                batch.push(job);
            }
        }
        if batch.is_empty() {
            drainer.sign_off(&mut queue);
            return None;
        }
        Some(batch)
    }

    async fn answer(&self, line: &Line, batch: Vec<Job>) {
        let mut texts = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        let mut deadline = Some(None);
        for Job {
            text,
            deadline: own,
            reply,
            place,
        } in batch
        {
            drop(place);
            texts.push(text);
            replies.push(reply);
            // The latest deadline; none when one of the callers has none.
            deadline = match (deadline, own) {
                (Some(latest), Some(own)) => Some(latest.max(Some(own))),
                _ => None,
            };
        }
        let mut caller = background();
        caller.context.deadline = deadline.flatten();
        let results = self.call(&caller, line, texts).await;
        for (reply, result) in replies.into_iter().zip(results) {
            // Who left does not hear it.
            let _ = reply.send(result);
        }
    }

    /// A result per text. A batch that fails for a reason of its own is tried text by text, so
    /// that one text does not fail the others.
    async fn call(
        &self,
        caller: &Caller,
        line: &Line,
        texts: Vec<String>,
    ) -> Vec<Result<Vector, Error>> {
        let count = texts.len();
        let (failure, texts) = match self.call_once(caller, line, texts).await {
            Ok(vectors) => return vectors.into_iter().map(Ok).collect(),
            Err(failure) => failure,
        };
        if count == 1 || failure.kind().is_transient() || failure.kind().status() < 422 {
            return vec![Err(failure); count];
        }
        let mut results = Vec::with_capacity(count);
        for text in texts {
            let result = self.call_once(caller, line, vec![text]).await;
            results.push(match result {
                Ok(mut vectors) => vectors
                    .pop()
                    .ok_or_else(|| Error::BadAnswer(line.model.clone())),
                Err((error, _)) => Err(error),
            });
        }
        results
    }

    async fn call_once(
        &self,
        caller: &Caller,
        line: &Line,
        texts: Vec<String>,
    ) -> Result<Vec<Vector>, (Error, Vec<String>)> {
        self.0.metrics.batch_texts.observe(texts.len() as f64);
        let request = EmbedRequest {
            input: texts,
            kind: line.kind,
        };
        match self.0.client.embed(caller, &line.model, &request).await {
            Err(error) => Err((Error::Model(error), request.input)),
            Ok(answer) if answer.vectors.len() != request.input.len() => {
                Err((Error::BadAnswer(line.model.clone()), request.input))
            }
            Ok(answer) => Ok(answer.vectors.into_iter().map(Vector::from).collect()),
        }
    }
}

impl Line {
    fn len(&self) -> usize {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .jobs
            .len()
    }
}

/// One of a line's drainers. It signs off under the lock that a new job takes, so that no job is
/// left in a line that nobody drains; a panic or a stop signs it off on the way.
struct Drainer {
    line: Arc<Line>,
    signed_off: bool,
}

impl Drainer {
    fn new(line: &Arc<Line>) -> Self {
        Self {
            line: Arc::clone(line),
            signed_off: false,
        }
    }

    fn sign_off(&mut self, queue: &mut Queue) {
        queue.drainers = queue.drainers.saturating_sub(1);
        self.signed_off = true;
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        if !self.signed_off {
            let line = Arc::clone(&self.line);
            self.sign_off(&mut line.queue.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Batches are made of the texts of many tenants; the model sees texts only.
pub fn background() -> Caller {
    Caller::service("embedding", TenantId::from_uuid(uuid::Uuid::nil()))
}
