//! Runs computations on blocking threads, a few at once, with a bounded number waiting.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::error::Error;
use crate::metrics::Metrics;
use crate::runtime::{Budget, ComputeError};

/// Which line a computation stands in: queries never wait behind passages, because somebody
/// waits for the search, and passages come in hundreds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Short and urgent.
    Query,
    /// Long and patient.
    Passage,
}

/// The workers.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Bounds who waits, both lanes together.
    places: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    passages: Arc<Semaphore>,
    metrics: Metrics,
}

impl Queue {
    /// `workers` computations at once per lane, `places` waiting.
    pub fn new(workers: usize, places: usize, metrics: Metrics) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits));
        Self {
            places: semaphore(places),
            queries: semaphore(workers),
            passages: semaphore(workers),
            metrics,
        }
    }

    /// Runs `work` on a blocking thread.
    ///
    /// # Errors
    /// [`Error::Overloaded`] at once when all places are taken; the deadline and the work's own.
    ///
    /// # Cancellation
    /// Dropping the future gives the place back and cancels the budget; the thread ends at the
    /// work's next look at it.
    pub async fn run<T, F>(
        &self,
        id: &str,
        lane: Lane,
        deadline: Option<Instant>,
        work: F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Budget) -> Result<T, ComputeError> + Send + 'static,
    {
        let budget = Budget::until(deadline);
        let failed = |source| Error::Compute {
            id: id.to_owned(),
            source: Arc::new(source),
        };
        budget.check().map_err(failed)?;
        let Ok(place) = self.places.try_acquire() else {
            self.metrics.refused.inc();
            return Err(Error::Overloaded);
        };
        let workers = match lane {
            Lane::Query => &self.queries,
            Lane::Passage => &self.passages,
        };
        let waiting = Waiting::new(&self.metrics);
        let permit = within(&budget, Arc::clone(workers).acquire_owned())
            .await
            .map_err(failed)?
            .map_err(|_| failed(ComputeError::Cancelled))?;
        drop((place, waiting));
        let _guard = budget.guard();
        let inner = budget.clone();
        let seconds = self.metrics.compute_seconds.clone();
        let thread = tokio::task::spawn_blocking(move || {
            // Held until the work ends, even when nobody waits for it any more.
            let _permit = permit;
            let start = Instant::now();
            let result = inner.check().and_then(|()| work(&inner));
            seconds.observe(start.elapsed().as_secs_f64());
            result
        });
        within(&budget, thread)
            .await
            .map_err(failed)?
            .map_err(|_| Error::Panicked(id.to_owned()))?
            .map_err(failed)
    }
}

/// Waits no longer than the budget's deadline.
pub async fn within<T>(
    budget: &Budget,
    future: impl Future<Output = T>,
) -> Result<T, ComputeError> {
    match budget.deadline() {
        None => Ok(future.await),
        Some(deadline) => tokio::time::timeout_at(deadline.into(), future)
            .await
            .map_err(|_| ComputeError::Deadline),
    }
}

/// Counts itself in the gauge while it lives.
struct Waiting<'a>(&'a Metrics);

impl<'a> Waiting<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.waiting.inc();
        Self(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use touchstone_error::Classify;

    fn queue(workers: usize, places: usize) -> Queue {
        let scope = touchstone_telemetry::Metrics::new().scope("model");
        Queue::new(workers, places, Metrics::new(&scope))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn refuses_when_every_place_is_taken_and_serves_queries_past_passages() {
        let queue = queue(1, 1);
        let (release, wait) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let busy = {
            let queue = queue.clone();
            async move {
                let work = move |_: &Budget| {
                    let _ = started.send(());
                    wait.recv().map_err(|_| ComputeError::Cancelled)
                };
                queue.run("m", Lane::Passage, None, work).await
            }
        };
        let others = async {
            running.await.unwrap();
            let query = queue.run("m", Lane::Query, None, |_| Ok(7)).await;
            assert_eq!(query.unwrap(), 7);
            let mut waiting = Box::pin(queue.run("m", Lane::Passage, None, |_| Ok(1)));
            assert!(futures_util::poll!(&mut waiting).is_pending());
            let refused = queue.run("m", Lane::Passage, None, |_| Ok(2)).await;
            assert_eq!(refused.unwrap_err().code(), "model.overloaded");
            drop(waiting);
            let mut waiting = Box::pin(queue.run("m", Lane::Passage, None, |_| Ok(3)));
            assert!(futures_util::poll!(&mut waiting).is_pending());
            release.send(()).unwrap();
            assert_eq!(waiting.await.unwrap(), 3);
        };
        let (busy, ()) = tokio::join!(busy, others);
        busy.unwrap();
    }

    #[tokio::test]
    async fn a_passed_deadline_is_told_without_computing() {
        let passed = Some(Instant::now());
        let result = queue(1, 1).run("m", Lane::Query, passed, |_| Ok(())).await;
        assert_eq!(result.unwrap_err().code(), "model.deadline");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_frees_the_worker() {
        let queue = queue(1, 1);
        let work = |_: &Budget| -> Result<(), ComputeError> { panic!("on purpose") };
        let result = queue.run("m", Lane::Query, None, work).await;
        assert_eq!(result.unwrap_err().code(), "model.compute_failed");
        assert_eq!(
            queue.run("m", Lane::Query, None, |_| Ok(1)).await.unwrap(),
            1
        );
    }
}
