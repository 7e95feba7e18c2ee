use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Semaphore, oneshot};

use crate::error::Error;

/// Threads for work that would hold up the async ones, with a bounded queue.
///
/// # Cancellation
/// A job whose caller has gone is not started; a running one is told by [`Stop`].
#[derive(Clone, Debug)]
pub struct CpuPool {
    threads: Arc<rayon::ThreadPool>,
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
}

/// Tells a job that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether the job may give up.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Requests the stop when the caller's future is dropped.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Counts a waiting caller for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CpuPool {
    /// A pool of `threads` (0: as many as processors) before which at most `max_waiting` wait.
    ///
    /// # Errors
    /// When the operating system gives no threads.
    pub fn new(threads: usize, max_waiting: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("vector-{number}"))
            .build()?;
        // One job per thread, so that the waiting line is here, where callers can leave it.
        let permits = Arc::new(Semaphore::new(threads.current_num_threads()));
        Ok(Self {
            threads: Arc::new(threads),
            permits,
            waiting: Arc::default(),
            max_waiting,
        })
    }

    /// Runs a small job where it is called, without a place in the line.
    ///
    /// # Errors
    /// [`Error::Panicked`] when it did.
    pub fn run_here<T>(job: impl FnOnce(&Stop) -> T) -> Result<T, Error> {
        let stop = Stop::default();
        catch_unwind(AssertUnwindSafe(|| job(&stop))).map_err(|_| Error::Panicked)
    }

    /// Runs a job.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many wait, [`Error::Panicked`] when the job did.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Stop) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let line = Waiting(&self.waiting);
        if waiting >= self.max_waiting {
            return Err(Error::Overloaded);
        }
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Error::Stopping)?;
        drop(line);
        let stop = Stop::default();
        let guard = StopOnDrop(stop.clone());
        let (sender, answer) = oneshot::channel();
        self.threads.spawn(move || {
            if !stop.requested()
                && let Ok(result) = catch_unwind(AssertUnwindSafe(|| job(&stop)))
            {
                // An error means that the caller has gone.
                let _ = sender.send(result);
            }
            drop(permit);
        });
        let result = answer.await.map_err(|_| Error::Panicked);
        drop(guard);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_pool_lives_on() {
        let pool = CpuPool::new(1, 8).unwrap();
        let died = pool.run(|_| -> u8 { panic!("on purpose") }).await;
        assert!(matches!(died, Err(Error::Panicked)));
        assert_eq!(pool.run(|_| 7).await.unwrap(), 7);
    }

    #[test]
    fn a_panic_of_a_small_job_is_an_error_as_well() {
        let died = CpuPool::run_here(|_| -> u8 { panic!("on purpose") });
        assert!(matches!(died, Err(Error::Panicked)));
    }

    #[tokio::test]
    async fn a_dropped_caller_stops_its_job_and_frees_the_thread() {
        let pool = CpuPool::new(1, 8).unwrap();
        let (started, running) = oneshot::channel();
        let endless = pool.run(move |stop| {
            started.send(()).unwrap();
            while !stop.requested() {
                std::thread::yield_now();
            }
        });
        tokio::select! {
            _ = endless => panic!("nobody asked it to stop"),
            _ = running => {}
        }
        assert_eq!(pool.run(|_| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn refuses_when_too_many_wait() {
        let pool = CpuPool::new(1, 0).unwrap();
        assert!(matches!(pool.run(|_| 7).await, Err(Error::Overloaded)));
    }
}
